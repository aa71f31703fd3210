"""Owns what the JSON files beside a checkpoint say of it, timm's and transformers'; does not read weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.domain import Interpolation, PreprocessSpec
from app.errors import UnknownVariant
from app.model.package import parse_config
from app.model.variants import variant

_RESAMPLE: Final[dict[int, Interpolation]] = {
    0: "nearest",
    1: "lanczos",
    2: "bilinear",
    3: "bicubic",
    4: "box",
    5: "hamming",
}
_ACTIVATIONS: Final = {"gelu": "erf", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
_MODEL_TYPES: Final = ("vit", "deit", "vit-hybrid", "vit_hybrid")
_HALF: Final = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Stated:
    """What is known without the weights; None where nothing is said."""

    num_heads: int | None = None
    img_size: tuple[int, int] | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)  # of ViTConfig
    labels: tuple[str, ...] | None = None
    preprocess: PreprocessSpec | None = None
    architecture: str | None = None
    tag: str | None = None


def stated(config: Mapping[str, Any] | None, preprocessor: Mapping[str, Any] | None) -> Stated:
    """Reads either library's files. Raises ValueError or TypeError, with a message fit for a person."""
    if config is None:
        return Stated()
    if "architecture" in config:
        return _timm(config)
    if "model_type" in config:
        return _transformers(config, preprocessor)
    raise ValueError("config.json is neither timm's (no 'architecture') nor transformers' (no 'model_type')")


def _timm(config: Mapping[str, Any]) -> Stated:
    architecture = str(config["architecture"])
    if (pool := config.get("global_pool", "token")) not in ("token", None, ""):
        raise ValueError(f"global_pool is {pool!r}; only the class token is served")
    args = config.get("model_args") or {}
    try:
        heads = args.get("num_heads", variant(architecture).num_heads)
    except UnknownVariant:
        heads = args.get("num_heads")
    # Of the shape only what the weights do not say is taken; the rest is theirs, whatever the architecture's name.
    plain = {key: value for key, value in config.items() if key not in ("model_args", "num_classes")}
    names = config.get("label_names", config.get("labels"))
    cfg = dict(plain.get("pretrained_cfg") or plain)
    names = names if names is not None else cfg.get("label_names")
    size = cfg.get("input_size", (3, 224, 224))
    count = len(names) if isinstance(names, list) else 1
    document = {"architecture": "vit_base_patch16_224", "pretrained_cfg": {**cfg, "num_classes": count}}
    _, _, labels, spec = parse_config({**document, "label_names": names})
    return Stated(
        num_heads=heads,
        img_size=(int(size[1]), int(size[2])),
        labels=labels if names is not None else None,
        preprocess=spec,
        architecture=architecture,
        tag=cfg.get("tag"),
    )


def _transformers(config: Mapping[str, Any], preprocessor: Mapping[str, Any] | None) -> Stated:
    kind = config["model_type"]
    if kind not in _MODEL_TYPES:
        raise ValueError(f"model_type is {kind!r}; of transformers' models, {', '.join(_MODEL_TYPES)} are served")
    if (act := config.get("hidden_act", "gelu")) not in _ACTIVATIONS:
        raise ValueError(f"hidden_act is {act!r}; {', '.join(_ACTIVATIONS)} are served")
    size = config.get("image_size", 384 if "hybrid" in kind else 224)
    height, width = size if isinstance(size, list) else (size, size)
    return Stated(
        num_heads=config.get("num_attention_heads", 12),
        img_size=(int(height), int(width)),
        constants={"norm_eps": config.get("layer_norm_eps", 1e-12), "gelu": _ACTIVATIONS[act]},
        labels=_id2label(config.get("id2label")),
        preprocess=_processor(preprocessor, kind, (height, width)) if preprocessor else None,
        architecture=None,
    )


def _id2label(names: Any) -> tuple[str, ...] | None:
    """The labels by number; None for what transformers fills in, `LABEL_0`. The inverse map would lose doubles."""
    if not isinstance(names, dict) or not names:
        return None
    by_number = {int(number): str(name) for number, name in names.items()}
    if sorted(by_number) != list(range(len(by_number))):
        raise ValueError("id2label does not number its labels from 0")
    labels = tuple(by_number[number] for number in range(len(by_number)))
    return None if all(label == f"LABEL_{i}" for i, label in enumerate(labels)) else labels


def _processor(document: Mapping[str, Any], kind: str, size: tuple[int, int]) -> PreprocessSpec:
    """`preprocessor_config.json` of either generation; what it leaves out is the class's default."""
    resize = document.get("size", {"shortest_edge": 384} if "hybrid" in kind else {"height": 224, "width": 224})
    crop = document.get("crop_size", document.get("size", size[0]))
    centre = document.get("do_center_crop", kind != "vit")
    mean, std = (tuple(document.get(name) or _HALF) for name in ("image_mean", "image_std"))
    if not document.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if not document.get("do_resize", True):
        raise ValueError("do_resize is false; images of any size must be brought to the network's")
    if isinstance(resize, int):  # the older generation
        resize = {"shortest_edge": resize} if "hybrid" in kind else {"height": resize, "width": resize}
    resample = _RESAMPLE[int(document.get("resample", 2 if kind == "vit" else 3))]
    height, width = _pair(crop) if centre else _pair(resize)
    spec: dict[str, Any] = {"height": height, "width": width, "interpolation": resample, "mean": mean, "std": std}
    if not centre or "height" in resize and _pair(resize) == (height, width):
        return PreprocessSpec(**spec, crop_mode="squash", crop_pct=1.0)
    if "shortest_edge" in resize:
        return PreprocessSpec(**spec, crop_mode="center", crop_pct=min(height, width) / resize["shortest_edge"])
    raise ValueError(
        f"the image is squashed to {_pair(resize)} and then cropped to {(height, width)}, as no spec here says"
    )


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, Mapping):
        edge = size.get("shortest_edge")
        return int(size.get("height", edge)), int(size.get("width", edge))
    return int(size), int(size)
