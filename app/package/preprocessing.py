"""Owns how a family's preprocessing becomes a PreprocessSpec; does not touch pixels.

Three sources: timm's `pretrained_cfg`, Hugging Face's `preprocessor_config.json`, a family's name for a bare file.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, get_args

from app.domain import CropMode, Interpolation, Library, PreprocessSpec
from app.errors import PackageError
from app.package.hf_preprocessing import CLIP_MEAN, CLIP_STD, read_preprocessor
from app.package.values import items, number, numbers, one_of, whole

HALF: Final = (0.5, 0.5, 0.5)
_OWN_KEYS: Final = ("interpolation", "resize_px", "library")
_MAX_SIZE_PX: Final = 8192
_SMALLEST_STD: Final = 1e-6


def _half(height: int, width: int, **fields: Any) -> PreprocessSpec:
    return PreprocessSpec(height, width, mean=HALF, std=HALF, **fields)


# For files that say nothing of it. Sizes are the network's input; PreprocessSpec's own mean and std are ImageNet's.
_NAMED: Final[dict[str, Callable[[int, int], PreprocessSpec]]] = {
    "timm-augreg": lambda h, w: _half(h, w, crop_pct=0.9 if min(h, w) < 384 else 1.0),
    "timm-miil": lambda h, w: PreprocessSpec(h, w, "bilinear", 0.875, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    "timm-deit": lambda h, w: PreprocessSpec(h, w, crop_pct=0.9 if min(h, w) < 384 else 1.0),
    "deit": lambda h, w: PreprocessSpec(h, w, crop_pct=0.875),
    "torchvision": lambda h, w: PreprocessSpec(h, w, "bilinear", 0.875),
    "torchvision-l16": lambda h, w: PreprocessSpec(h, w, "bilinear", 0.925),  # 242 px for 224
    "torchvision-swag": lambda h, w: PreprocessSpec(h, w, crop_pct=1.0),
    "google": lambda h, w: _half(
        h, w, interpolation="bilinear", crop_pct=1.0, crop_mode="squash", library="tensorflow"
    ),
    "big-vision": lambda h, w: _half(
        h, w, interpolation="area", crop_pct=6 / 7, resize_px=round(min(h, w) * 7 / 6), library="tensorflow"
    ),
    "hf-vit": lambda h, w: _half(h, w, interpolation="bilinear", crop_pct=1.0, crop_mode="squash"),
    "hf-deit": lambda h, w: PreprocessSpec(
        h,
        w,
        crop_pct=0.875,
        crop_mode="squash",
        resize_px=(int(h / 0.875), int(w / 0.875)),
        library="huggingface",
    ),
    "hf-vit-hybrid": lambda h, w: _half(h, w, crop_pct=1.0, resize_px=min(h, w), library="huggingface"),
    "clip": lambda h, w: PreprocessSpec(
        h, w, crop_pct=1.0, mean=CLIP_MEAN, std=CLIP_STD, resize_px=min(h, w), library="huggingface"
    ),
    "siglip": lambda h, w: _half(h, w, crop_pct=1.0, crop_mode="squash"),
    "dinov2": lambda h, w: PreprocessSpec(
        h, w, crop_pct=0.875, resize_px=int(min(h, w) / 0.875), library="huggingface"
    ),
    "tutorial": lambda h, w: _half(h, w, interpolation="bilinear", crop_pct=0.875),
}
FAMILIES: Final = tuple(_NAMED)


def at_size(spec: PreprocessSpec, height: int, width: int) -> PreprocessSpec:
    """The same preprocessing for another size of the network's input, in pixels: the crop keeps its share."""
    resize_px = spec.resize_px
    if isinstance(resize_px, int):
        resize_px = round(resize_px * min(height, width) / min(spec.height, spec.width))
    elif resize_px is not None:
        resize_px = (round(resize_px[0] * height / spec.height), round(resize_px[1] * width / spec.width))
    return replace(spec, height=height, width=width, resize_px=resize_px)


def with_channels(spec: PreprocessSpec, channels: int) -> PreprocessSpec:
    """That of RGB for a network of another number of input channels: each takes the colours' average.

    Raises ValueError if it is that of neither.
    """
    if spec.channels == channels:
        return spec
    if spec.channels != 3:
        raise ValueError(f"there are {spec.channels} mean values for images of {channels} channels")
    mean, std = (round(sum(values) / len(values), 9) for values in (spec.mean, spec.std))
    return replace(spec, mean=(mean,) * channels, std=(std,) * channels)


def check_pictures(spec: PreprocessSpec) -> None:
    """Raises PackageError unless pictures have as many channels as the network takes."""
    if spec.channels not in (1, 3):
        raise PackageError(
            f"it takes images of {spec.channels} channels, and pictures have one (grey) or three (RGB): it can be "
            "inspected and converted, but not served, trained from or exported as a graph"
        )


def preprocess_named(name: str, height: int, width: int) -> PreprocessSpec:
    """The preprocessing of a family (one of FAMILIES) for a network with this input, in pixels.

    Raises PackageError, listing the names there are.
    """
    if name not in _NAMED:
        raise PackageError(f"no preprocessing is called {name!r}; there are: {', '.join(FAMILIES)}")
    return _NAMED[name](height, width)


def preprocess_from_timm(config: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> PreprocessSpec:
    """timm's `pretrained_cfg` → spec; what is missing takes timm's defaults (bicubic, 0.875, centre, ImageNet).

    `own` is what stands under `vit_serve.preprocess`, for what timm cannot say. Raises ValueError or TypeError.
    """
    config, own = {key: value for key, value in config.items() if value is not None}, own or {}
    default = PreprocessSpec()
    _, height, width = (
        whole(size, "input_size") for size in items(config.get("input_size", (3, 224, 224)), "input_size", 3)
    )
    if unknown := sorted(set(own) - set(_OWN_KEYS)):
        raise ValueError(f"vit_serve.preprocess {unknown} are not understood")
    kernel = own.get("interpolation", config.get("interpolation", default.interpolation))
    return _checked(
        PreprocessSpec(
            height=height,
            width=width,
            interpolation=one_of(kernel, get_args(Interpolation), "interpolation"),
            crop_pct=_fraction(config.get("crop_pct", default.crop_pct)),
            crop_mode=one_of(config.get("crop_mode", default.crop_mode), get_args(CropMode), "crop_mode"),
            mean=numbers(config.get("mean", default.mean), "mean"),
            std=numbers(config.get("std", default.std), "std"),
            resize_px=_resize_px(own.get("resize_px")),
            library=one_of(own.get("library", default.library), get_args(Library), "library"),
        )
    )


def preprocess_to_timm(spec: PreprocessSpec) -> tuple[dict[str, Any], dict[str, Any]]:
    """The spec as keys of `pretrained_cfg`, and what of it must stand under `vit_serve.preprocess`, mostly nothing.

    Where timm cannot say it, its keys hold the nearest that it can.
    """
    timm: dict[str, Any] = {
        "input_size": [spec.channels, spec.height, spec.width],
        "interpolation": "box" if spec.interpolation == "area" else spec.interpolation,
        "crop_pct": spec.crop_pct,
        "crop_mode": spec.crop_mode,
        "mean": list(spec.mean),
        "std": list(spec.std),
    }
    own: dict[str, Any] = {}
    if spec.resize_px is not None:
        own["resize_px"] = list(spec.resize_px) if isinstance(spec.resize_px, tuple) else spec.resize_px
    if spec.library != "torchvision":
        own["library"] = spec.library
    if timm["interpolation"] != spec.interpolation:
        own["interpolation"] = spec.interpolation
    return timm, own


def preprocess_from_hf(document: Mapping[str, Any], model_type: str) -> PreprocessSpec:
    """Hugging Face's `preprocessor_config.json` → spec, as its Pillow-backed processors compute.

    Both generations are read: `size` as a number (a square, or the short side for the hybrid) or as an object, and
    files that leave out what their class has a default for. The class is the file's `image_processor_type` or
    `feature_extractor_type`, else `model_type`'s. Another rescale factor than 1/255 goes into mean and std.
    Raises PackageError that names the key.
    """
    try:
        return _checked(read_preprocessor(document, model_type))
    except (ValueError, TypeError) as error:
        raise PackageError(f"preprocessor_config.json: {error}") from error


def _checked(spec: PreprocessSpec) -> PreprocessSpec:
    sizes = spec.resize_px if isinstance(spec.resize_px, tuple) else (spec.resize_px or 0,)
    if max(*sizes, spec.height, spec.width) > _MAX_SIZE_PX:
        raise ValueError(f"a size of {max(*sizes, spec.height, spec.width)} px is over {_MAX_SIZE_PX}")
    if len(spec.mean) != len(spec.std):
        raise ValueError(f"there are {len(spec.mean)} mean values and {len(spec.std)} std values")
    if min(spec.std) < _SMALLEST_STD:
        raise ValueError(f"std {spec.std} holds a value that nothing can be divided by")
    if spec.library == "tensorflow" and spec.interpolation not in ("bilinear", "area"):
        raise ValueError(f"interpolation {spec.interpolation!r} is not known of TensorFlow")
    if spec.library != "tensorflow" and spec.interpolation == "area":
        raise ValueError("interpolation 'area' is TensorFlow's alone")
    return spec


def _fraction(value: Any) -> float:
    if not 0.01 <= number(value, "crop_pct") <= 1:
        raise ValueError(f"crop_pct {value} is not in 0.01 … 1")
    return float(value)


def _resize_px(value: Any) -> int | tuple[int, int] | None:
    if value is None:
        return None
    pair = [whole(size, "resize_px") for size in (items(value, "resize_px", 2) if isinstance(value, list) else [value])]
    return (pair[0], pair[1]) if len(pair) == 2 else pair[0]
