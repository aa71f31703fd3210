"""Owns the table of architectures under timm's names; does not build networks."""

from dataclasses import dataclass, replace
from typing import Final

from app.errors import UnknownVariant

_MAX_DEPTH: Final = 1000  # each block is a dozen objects before its first number


@dataclass(frozen=True, slots=True)
class ViTConfig:
    """The shape of one Vision Transformer; field names are timm's constructor arguments.

    Sizes in pixels as (height, width); rates are probabilities in [0, 1).
    """

    img_size: tuple[int, int] = (224, 224)
    patch_size: int = 16
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
    stem_widths: tuple[
        int, ...
    ] = ()  # channels of each halving stage of a convolutional stem; (): patches are projected

    def __post_init__(self) -> None:
        if min(self.patch_size, self.embed_dim, self.depth, self.num_heads, self.num_classes, self.in_chans) < 1:
            raise ValueError("patch_size, embed_dim, depth, num_heads, num_classes and in_chans must be positive")
        if min(self.img_size) < self.patch_size:
            raise ValueError(f"an image of {self.img_size} px holds no patch of {self.patch_size} px")
        if self.embed_dim % self.num_heads:
            raise ValueError(f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}")
        if self.stem_widths and self.patch_size != (made := 2 ** len(self.stem_widths)):
            raise ValueError(
                f"stem_widths {self.stem_widths} make patches of {made} px, patch_size is {self.patch_size}"
            )
        if self.depth > _MAX_DEPTH:
            raise ValueError(f"depth {self.depth} is over {_MAX_DEPTH}")
        if self.embed_dim * self.mlp_ratio < 1 or self.norm_eps < 0:
            raise ValueError(f"mlp_ratio {self.mlp_ratio} or norm_eps {self.norm_eps} is too small")
        rates = self.drop_rate, self.attn_drop_rate, self.drop_path_rate, self.patch_drop_rate
        if not all(0 <= rate < 1 for rate in rates):
            raise ValueError(f"the drop rates {rates} are not all in [0, 1)")

    @property
    def grid_size(self) -> tuple[int, int]:
        """Patches down and across; what is left over at the right and bottom edge is not seen."""
        return self.img_size[0] // self.patch_size, self.img_size[1] // self.patch_size

    @property
    def num_tokens(self) -> int:
        """Patches plus the class token."""
        return self.grid_size[0] * self.grid_size[1] + 1


def _vit(patch: int, width: int, depth: int, heads: int, size: int = 224) -> ViTConfig:
    return ViTConfig((size, size), patch, width, depth, heads)


# Paper table 1; Ti and S from Touvron et al., arXiv 2012.12877. The last rows are ours, for 32x32 images.
VARIANTS: Final[dict[str, ViTConfig]] = {
    "vit_tiny_patch16_224": _vit(16, 192, 12, 3),
    "vit_small_patch16_224": _vit(16, 384, 12, 6),
    "vit_small_patch32_224": _vit(32, 384, 12, 6),
    "vit_base_patch8_224": _vit(8, 768, 12, 12),
    "vit_base_patch16_224": _vit(16, 768, 12, 12),
    "vit_base_patch32_224": _vit(32, 768, 12, 12),
    "vit_large_patch16_224": _vit(16, 1024, 24, 16),
    "vit_large_patch32_224": _vit(32, 1024, 24, 16),
    "vit_huge_patch14_224": _vit(14, 1280, 32, 16),
    "vit_pico_patch4_32": replace(_vit(4, 128, 4, 2, 32), num_classes=10),
    "vit_nano_patch4_32": replace(_vit(4, 192, 6, 3, 32), num_classes=10),
    "vit_nano_conv8_32": replace(_vit(8, 256, 4, 4, 32), num_classes=10, stem_widths=(64, 192, 320)),
    "vit_micro_patch4_32": replace(_vit(4, 256, 8, 4, 32), num_classes=10),
}


def variant(name: str) -> ViTConfig:
    """The config called `name`, ``vit_base_patch16_224`` for example.

    Raises UnknownVariant, listing the names there are.
    """
    try:
        return VARIANTS[name]
    except KeyError:
        raise UnknownVariant(f"no variant is called {name!r}; there are: {', '.join(VARIANTS)}") from None
