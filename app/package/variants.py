"""Owns the table of architectures under timm's names; does not build networks."""

from dataclasses import dataclass, replace
from math import prod
from typing import Final, Literal

from app.errors import UnknownVariant
from app.package.published import published_fields, published_names, unlike

Position = Literal["none", "1d", "2d", "relative", "1d_every_layer", "1d_shared", "2d_every_layer", "2d_shared"]
Gelu = Literal["erf", "tanh", "quick"]
Mlp = Literal["mlp", "swiglu", "swiglu_packed"]
Pool = Literal["token", "avg", "map", "token_avg"]
Standardization = Literal["variance", "deviation"]

_MAX_DEPTH: Final = 1000  # each block is a dozen objects before its first number


@dataclass(frozen=True, slots=True)
class LiteStage:
    """Blocks of one width in EfficientNet-Lite0, the first of which takes the stride."""

    width: int
    depth: int
    kernel: int
    stride: int
    expansion: int = 6  # channels in a block's middle, for each that enters


# Tan and Le, arXiv 1905.11946, table 1.
LITE_STAGES: Final = (
    LiteStage(16, 1, 3, 1, expansion=1),
    LiteStage(24, 2, 3, 2),
    LiteStage(40, 2, 5, 2),
    LiteStage(80, 3, 3, 2),
    LiteStage(112, 3, 5, 1),
    LiteStage(192, 4, 5, 2),
    LiteStage(320, 1, 3, 1),
)


@dataclass(frozen=True, slots=True)
class ViTConfig:
    """The shape of one Vision Transformer; field names are timm's constructor arguments, where timm has them.

    Sizes in pixels as (height, width); rates are probabilities in [0, 1).
    """

    img_size: tuple[int, int] = (224, 224)
    patch_size: int = 16  # of the image, or of a hybrid's feature map
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    num_classes: int = 1000
    in_chans: int = 3
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    representation_size: int | None = None  # width of the tanh layer before the head; None: no such layer
    norm_eps: float = 1e-6  # PyTorch's default 1e-5 gives other logits from every public checkpoint
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    patch_drop_rate: float = 0.0
    mirror: bool = False  # in evaluation the mean of the logits of the image and of its mirror image
    stem_widths: tuple[int, ...] = ()  # channels of a convolutional stem's halving stages; (): patches are projected
    backbone_layers: tuple[int, ...] | None = None  # units of a hybrid's stages, (): its root alone; None: no hybrid
    lite_stages: int = 0  # of EfficientNet-Lite0's, in place of a hybrid's ResNet
    distilled: bool = False  # a second prefix token and head (DeiT, arXiv 2012.12877)
    position: Position = "1d"  # explained in position.py
    no_embed_class: bool = False  # the position table has no rows for prefix tokens (big_vision's layout)
    class_token: bool = True
    reg_tokens: int = 0  # registers, prefix tokens that no head reads
    global_pool: Pool = "token"  # what the head reads: explained in pooling.py
    pool_include_prefix: bool = False  # the mean, or the attention, is over the prefix tokens too
    fc_norm: bool | None = None  # the final norm comes after the pooling; None: where that is a mean
    final_norm: bool = True
    pre_norm: bool = False  # a norm before the encoder, and none of the patches' biases (CLIP)
    qk_norm: bool = False  # queries and keys are normalised in each head
    proj_bias: bool = True  # of attention's output and of the MLP
    init_values: float | None = None  # what LayerScale begins with; None: there is none
    mlp_layer: Mlp = "mlp"
    gelu: Gelu = "erf"  # tanh: the approximation that JAX takes unless told otherwise; quick: OpenAI's
    group_norm_eps: float = 1e-5
    standardization: Standardization = "variance"  # filters over √(variance + eps), or over deviation + eps (JAX)
    standardization_eps: float = 1e-8

    def __post_init__(self) -> None:
        if min(self.patch_size, self.embed_dim, self.depth, self.num_heads, self.num_classes, self.in_chans) < 1:
            raise ValueError("patch_size, embed_dim, depth, num_heads, num_classes and in_chans must be positive")
        layers, widths = self.backbone_layers or (), self.stem_widths
        if len(layers) > 4 or any(not 0 < units <= _MAX_DEPTH for units in layers):
            raise ValueError(f"backbone_layers {layers} are not at most 4 numbers from 1 to {_MAX_DEPTH}")
        if widths and (self.patch_size != 2 ** len(widths) or self.backbone_layers is not None):
            raise ValueError(
                f"stem_widths {widths} make patches of {2 ** len(widths)} px, patch_size is {self.patch_size}, "
                f"backbone_layers {self.backbone_layers}"
            )
        if not 0 <= self.lite_stages <= len(LITE_STAGES):
            raise ValueError(f"lite_stages {self.lite_stages} is not from 0 to {len(LITE_STAGES)}")
        if self.lite_stages and (widths or self.backbone_layers is not None):
            raise ValueError("lite_stages go neither with stem_widths nor with backbone_layers")
        if min(self.img_size) < 1 or min(self.grid_size) < 1:
            raise ValueError(f"an image of {self.img_size} px holds no patch of {self.patch_size * self.reduction} px")
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}")
        if self.embed_dim % 2 and self.position.startswith("2d"):
            raise ValueError(f"embed_dim {self.embed_dim} is odd; position {self.position!r} needs two halves")
        if self.depth > _MAX_DEPTH:
            raise ValueError(f"depth {self.depth} is over {_MAX_DEPTH}")
        if self.embed_dim * self.mlp_ratio < 1 or self.norm_eps < 0:
            raise ValueError(f"mlp_ratio {self.mlp_ratio} or norm_eps {self.norm_eps} is too small")
        if min(self.group_norm_eps, self.standardization_eps) < 0:
            raise ValueError("group_norm_eps and standardization_eps must not be negative")
        rates = self.drop_rate, self.attn_drop_rate, self.drop_path_rate, self.patch_drop_rate
        if not all(0 <= rate < 1 for rate in rates):
            raise ValueError(f"the drop rates {rates} are not all in [0, 1)")
        if self.distilled and self.representation_size:
            raise ValueError("a distilled network has no layer before its heads: representation_size must be left out")
        self._check_prefix()
        if self.patch_drop_rate and self.position not in ("none", "1d", "2d"):
            raise ValueError(f"position {self.position!r} counts all patches; patch_drop_rate must be 0")

    def _check_prefix(self) -> None:
        if self.reg_tokens < 0:
            raise ValueError(f"reg_tokens {self.reg_tokens} is negative")
        if self.distilled and (self.global_pool != "token" or self.reg_tokens):
            raise ValueError("a distilled network's heads read its class and its distillation token, and no registers")
        if not self.class_token and (self.distilled or self.global_pool in ("token", "token_avg")):
            raise ValueError(f"without a class token there is nothing to read for global_pool {self.global_pool!r}")
        if self.representation_size and self.global_pool == "token_avg":
            raise ValueError("global_pool 'token_avg' goes without a layer before the head")
        if self.mlp_layer == "swiglu_packed" and self.mlp_width % 2:
            raise ValueError(f"mlp_ratio {self.mlp_ratio} makes {self.mlp_width} channels, no two equal parts")

    @property
    def mlp_width(self) -> int:
        """Channels that an encoder layer's first projection gives."""
        return int(self.embed_dim * self.mlp_ratio)

    @property
    def norms_pooled(self) -> bool:
        """Whether the final norm comes after the pooling."""
        return self.global_pool == "avg" if self.fc_norm is None else self.fc_norm

    @property
    def pooled_width(self) -> int:
        """Numbers that a head reads."""
        return self.embed_dim * (2 if self.global_pool == "token_avg" else 1)

    @property
    def reduction(self) -> int:
        """Pixels of the image for one of the map that is cut into patches: 1, or a hybrid's 2 to 32."""
        if self.lite_stages:
            return 2 * prod(stage.stride for stage in LITE_STAGES[: self.lite_stages])
        if self.backbone_layers is None:
            return 1
        return int(4 * 2 ** max(len(self.backbone_layers) - 1, 0))

    @property
    def grid_size(self) -> tuple[int, int]:
        """Patches down and across; what is left over at the right and bottom edge is not seen."""
        height, width = (-(-size // self.reduction) // self.patch_size for size in self.img_size)
        return height, width

    @property
    def begins_with_maximum(self) -> bool:
        """Whether what stands before the encoder sees enough for a first answer, on which the encoder improves."""
        return bool(self.stem_widths or self.lite_stages)

    @property
    def num_prefix_tokens(self) -> int:
        """The class token, the distillation token and the registers."""
        return self.class_token + self.distilled + self.reg_tokens

    @property
    def num_prefix_rows(self) -> int:
        """Rows of a position table that belong to no patch."""
        return 0 if self.no_embed_class else self.num_prefix_tokens

    @property
    def num_tables(self) -> int:
        """Position tables, where there are any."""
        return self.depth if self.position.endswith("every_layer") else 1

    @property
    def num_tokens(self) -> int:
        """Patches plus the prefix tokens."""
        return self.grid_size[0] * self.grid_size[1] + self.num_prefix_tokens


def _vit(patch: int, width: int, depth: int, heads: int, size: int = 224) -> ViTConfig:
    return ViTConfig((size, size), patch, width, depth, heads)


_TINY, _SMALL, _BASE, _LARGE = _vit(16, 192, 12, 3), _vit(16, 384, 12, 6), _vit(16, 768, 12, 12), _vit(16, 1024, 24, 16)


def _hybrid(base: ViTConfig, layers: tuple[int, ...], patch: int = 1) -> ViTConfig:
    return replace(base, patch_size=patch, backbone_layers=layers)


# Paper table 1; Ti and S from Touvron et al., arXiv 2012.12877; hybrids from Steiner et al., arXiv 2106.10270.
_AT_224: Final[dict[str, ViTConfig]] = {
    "vit_tiny_patch16": _TINY,
    "vit_small_patch16": _SMALL,
    "vit_small_patch32": replace(_SMALL, patch_size=32),
    "vit_base_patch8": replace(_BASE, patch_size=8),
    "vit_base_patch16": _BASE,
    "vit_base_patch32": replace(_BASE, patch_size=32),
    "vit_large_patch16": _LARGE,
    "vit_large_patch32": replace(_LARGE, patch_size=32),
    "vit_huge_patch14": _vit(14, 1280, 32, 16),
    "vit_tiny_r_s16_p8": _hybrid(_TINY, (), 8),  # in truth one token for 32 px
    "vit_small_r26_s32": _hybrid(_SMALL, (2, 2, 2, 2)),
    "vit_base_r26_s32": _hybrid(_BASE, (2, 2, 2, 2)),
    "vit_base_r50_s16": _hybrid(_BASE, (3, 4, 9)),
    "vit_large_r50_s32": _hybrid(_LARGE, (3, 4, 6, 3)),
    "deit_tiny_patch16": _TINY,
    "deit_small_patch16": _SMALL,
    "deit_base_patch16": _BASE,
    "deit_tiny_distilled_patch16": replace(_TINY, distilled=True),
    "deit_small_distilled_patch16": replace(_SMALL, distilled=True),
    "deit_base_distilled_patch16": replace(_BASE, distilled=True),
}
# What timm has at 384 pixels too.
_AT_384: Final = (
    *("vit_tiny_patch16", "vit_small_patch16", "vit_small_patch32", "vit_base_patch16", "vit_base_patch32"),
    *("vit_large_patch16", "vit_large_patch32", "vit_tiny_r_s16_p8", "vit_small_r26_s32", "vit_base_r50_s16"),
    *("vit_large_r50_s32", "deit_base_patch16", "deit_base_distilled_patch16"),
)
# The last rows are ours, for small images.
VARIANTS: Final[dict[str, ViTConfig]] = {
    **{f"{name}_224": config for name, config in _AT_224.items()},
    **{f"{name}_384": replace(_AT_224[name], img_size=(384, 384)) for name in _AT_384},
    "vit_pico_patch4_32": replace(_vit(4, 128, 4, 2, 32), num_classes=10),
    "vit_nano_patch4_32": replace(_vit(4, 192, 6, 3, 32), num_classes=10),
    "vit_nano_conv8_32": replace(_vit(8, 256, 2, 4, 32), num_classes=10, mirror=True, stem_widths=(64, 256, 256)),
    "vit_nano_lite0_s32_128": replace(_vit(1, 256, 2, 4, 128), num_classes=10, lite_stages=7),
    "vit_micro_patch4_32": replace(_vit(4, 256, 8, 4, 32), num_classes=10),
}


def variant_names() -> tuple[str, ...]:
    """All that `variant` knows: ours, and timm's names of the relatives."""
    return tuple(dict.fromkeys((*VARIANTS, *published_names())))


def variant(name: str) -> ViTConfig:
    """The config called `name`, ``vit_base_patch16_224`` for example, or as timm calls a relative.

    Raises UnknownVariant, listing the names there are.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    if (fields := published_fields(name)) is not None:
        return ViTConfig(**fields)
    reason = f": timm's has {found}, which this network has not" if (found := unlike(name)) else ""
    raise UnknownVariant(
        f"no variant is called {name!r}{reason}; there are: {', '.join(VARIANTS)}, and timm's names of its relatives"
    )
