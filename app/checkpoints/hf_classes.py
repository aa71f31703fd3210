"""Owns which of transformers' classes can hold a network, and its tensors as that class has them; writes no files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from app.checkpoints import hf, hf_relatives
from app.checkpoints.rules import Dims, Layout, write
from app.checkpoints.transformers_config import dino_mlp_ratio
from app.errors import PackageError
from app.package.variants import ViTConfig

_Values = Mapping[str, tuple[Any, ...]]  # a field of ViTConfig, or a feature in words → what it may be

_LATE_NORM: Final = "a norm after the pooling"
_ALL_TOKENS: Final = "a mean over the prefix tokens too"
_OBLONG: Final = "images that are not square"
_ROOT: Final = "a ResNet's root without stages"
_ODD_MLP: Final = "an MLP of another width than a whole mlp_ratio makes"
_VIT: Final[_Values] = {
    **{"class_token": (True,), "distilled": (False,), "reg_tokens": (0,), "pre_norm": (False,)},
    **{"final_norm": (True,), "global_pool": ("token",), "init_values": (None,), "mlp_layer": ("mlp",)},
    **{"qk_norm": (False,), "representation_size": (None,), "stem_widths": ((),), "lite_stages": (0,)},
    **{"backbone_layers": (None,), _LATE_NORM: (False,), _ALL_TOKENS: (False,), _ROOT: (False,)},
}
_MEAN: Final[_Values] = {"class_token": (False,), "global_pool": ("avg",)}
_SQUARE: Final[_Values] = {_OBLONG: (False,)}
_DINO: Final[_Values] = {
    "global_pool": ("token_avg", "token", "avg"),  # one half of the head's weights may be zero
    "mlp_layer": ("mlp", "swiglu_packed", "swiglu"),
    _ODD_MLP: (False,),
    **_SQUARE,
}
_NO_BIASES: Final = ("attn.proj", "mlp.fc1", "mlp.fc2")  # what no class can be without


@dataclass(frozen=True, slots=True)
class _Class:
    """One of transformers' classes, as far as it is not like ViT's own."""

    layout: Layout
    unlike: _Values = field(default_factory=dict)
    anything: tuple[str, ...] = ()  # fields that may have any value
    biases: tuple[str, ...] = _NO_BIASES  # of modules, which it always has
    # Tensors that it has and its classifier does not read: name → axes, the value.
    unread: Mapping[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def is_dino(self) -> bool:
        return self.unlike.get(_ODD_MLP) is not None

    def lacks(self, config: ViTConfig) -> list[str]:
        """What the network has and this class has no place for."""
        found = {**asdict(config), **_features(config)}
        allowed = {name: values for name, values in {**_VIT, **self.unlike}.items() if name not in self.anything}
        odd = [name for name, values in allowed.items() if found[name] not in values]
        return [name if " " in name else f"{name} {found[name]!r}" for name in odd]


def _features(config: ViTConfig) -> dict[str, bool]:
    height, width = config.img_size
    pooled = config.global_pool != "token"
    return {
        _LATE_NORM: pooled and config.final_norm and config.norms_pooled,
        _ALL_TOKENS: pooled and config.pool_include_prefix and config.num_prefix_tokens > 0,
        _OBLONG: height != width,
        _ROOT: config.backbone_layers == (),
        _ODD_MLP: dino_mlp_ratio(config) is None,
    }


def _named(name: str) -> Layout:
    return next(each for each in (*hf.LAYOUTS, *hf_relatives.LAYOUTS) if each.name == name)


def _dino(name: str, prefix: str, **unlike: tuple[Any, ...]) -> _Class:
    mask = {f"{prefix}.embeddings.mask_token": (2, 0.0)}
    anything = ("init_values", *(() if unlike else ("reg_tokens",)))
    return _Class(_named(name), {**_DINO, **unlike}, anything, unread=mask)


_DISTILLED: Final[_Values] = {"distilled": (True,)}
_TOWER: Final = (*_NO_BIASES, "attn.qkv")
_POST_NORM: Final = {"vision_model.post_layernorm.weight": (1, 1.0), "vision_model.post_layernorm.bias": (1, 0.0)}
# The first that can hold a network gets it. ViT-MSN's differs from ViT's in nothing but its name.
_CLASSES: Final = (
    _Class(_named("transformers 4, ViTForImageClassification"), anything=("backbone_layers",)),
    _Class(_named("transformers 4, ViTModel"), anything=("representation_size",)),  # if its head says nothing
    _Class(_named("transformers 4, DeiTForImageClassification"), _DISTILLED),  # if only one of two heads does
    _Class(_named("transformers 4, DeiTForImageClassificationWithTeacher"), _DISTILLED),
    _Class(
        _named("SiglipForImageClassification"),
        {**_MEAN, **_SQUARE, "gelu": ("tanh",), "qkv_bias": (True,)},  # any other is as well I-JEPA's
        biases=_TOWER,
    ),
    _Class(_named("IJepaForImageClassification"), _MEAN),
    _Class(
        _named("CLIPForImageClassification"),
        {"pre_norm": (True,), "final_norm": (False,), "global_pool": ("avg",), **_SQUARE},
        biases=_TOWER,
        unread=_POST_NORM,
    ),
    _dino("Dinov2ForImageClassification", "dinov2", reg_tokens=(0,)),
    _dino("Dinov2WithRegistersForImageClassification", "dinov2_with_registers"),
)
LAYOUTS: Final = tuple(each.layout for each in _CLASSES)


def class_of(layout: Layout) -> str:
    """The transformers class of one of its layouts."""
    return layout.name.rpartition(" ")[2]


def as_transformers(state: Mapping[str, Tensor], config: ViTConfig) -> tuple[Layout, dict[str, Tensor]]:
    """The names of the transformers class that computes the same, and all tensors that it has, under them.

    Raises PackageError that names what no class has.
    """
    problems: dict[str, list[str]] = {}
    for kind in _CLASSES:
        lacking = kind.lacks(config)
        if not lacking:
            mine = _rewritten(kind, state, config)
            written, left = write(kind.layout, mine, Dims(config.num_heads, config.reg_tokens))
            # A head of zeros says nothing.
            lacking = [name for name in left if not name.startswith("head") or state[name].any()]
        if not lacking:
            if config.mlp_layer != "mlp":  # which has a name of its own
                written = {_gated(name): tensor for name, tensor in written.items()}
            vector = state["blocks.0.norm1.weight"]
            for name, (axes, value) in kind.unread.items():
                written[name] = vector.new_full((*[1] * (axes - 1), len(vector)), value)
            return kind.layout, written
        problems[class_of(kind.layout)] = lacking
    nearest, lacking = min(problems.items(), key=lambda each: len(each[1]))
    listed = f"{', '.join(lacking[:6])}{' …' if len(lacking) > 6 else ''}"
    raise PackageError(
        f"hf has no place for {listed}: {nearest}, which comes nearest of transformers' classes, is without"
        f"{_advice(config, lacking)}"
    )


def _gated(name: str) -> str:
    return name.replace(".mlp.fc1.", ".mlp.weights_in.").replace(".mlp.fc2.", ".mlp.weights_out.")


def _advice(config: ViTConfig, lacking: list[str]) -> str:
    if lacking == [_OBLONG]:
        return "; convert it at a square --size first" + ("" if _unknown_to_timm(config) else ", or --to timm")
    return "" if _unknown_to_timm(config) else "; timm has: --to timm"


def _unknown_to_timm(config: ViTConfig) -> bool:
    return config.global_pool == "token_avg" or bool(config.stem_widths or config.lite_stages)


def _rewritten(kind: _Class, state: Mapping[str, Tensor], config: ViTConfig) -> dict[str, Tensor]:
    """The tensors of a network of this class with the same answers."""
    mine = {name.replace("fc_norm.", "norm."): tensor for name, tensor in state.items()}  # of the one token: the same
    if kind.is_dino:
        mine = _as_dino(mine, config)
    for name, weight in list(mine.items()):
        module, _, leaf = name.rpartition(".")
        if leaf == "weight" and module.endswith(kind.biases):
            mine.setdefault(f"{module}.bias", weight.new_zeros(len(weight)))
    return mine


def _as_dino(state: Mapping[str, Tensor], config: ViTConfig) -> dict[str, Tensor]:
    """With a LayerScale, a head that reads the class token and the patches' mean, and registers without positions."""
    mine = dict(state)
    if config.reg_tokens and (rows := mine["pos_embed"][:, 1 : 1 + config.reg_tokens]).any():
        together = rows.float() + mine["reg_token"].float()
        if not torch.equal(together.to(rows.dtype).float(), together):
            raise PackageError(
                "transformers adds no positions to registers, and together they are not exact in "
                f"{rows.dtype}{_advice(config, [])}"
            )
        mine["reg_token"] = together.to(rows.dtype)
    if config.global_pool != "token_avg":
        weight = mine["head.weight"]
        halves = (weight, torch.zeros_like(weight))
        mine["head.weight"] = torch.cat(halves if config.global_pool == "token" else halves[::-1], dim=1)
    for block in (f"blocks.{i}." for i in range(config.depth)):
        for n in "12":
            mine.setdefault(f"{block}ls{n}.gamma", torch.ones_like(mine[f"{block}norm{n}.weight"]))
        for leaf in ("weight", "bias"):
            if (gate := mine.pop(f"{block}mlp.fc1_g.{leaf}", None)) is not None:
                mine[f"{block}mlp.fc1.{leaf}"] = torch.cat([gate, mine.pop(f"{block}mlp.fc1_x.{leaf}")])
    return mine
