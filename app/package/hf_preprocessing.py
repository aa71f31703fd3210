"""Owns the reading of Hugging Face's `preprocessor_config.json`, both generations; does not touch pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.domain import Interpolation, PreprocessSpec
from app.package.values import flag, items, number, triple, whole

_HALF: Final = (0.5, 0.5, 0.5)
_CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)
_RESAMPLE: Final[tuple[Interpolation, ...]] = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
_MODEL_TYPES: Final = {"vit": "ViT", "deit": "DeiT", "vit-hybrid": "ViTHybrid"}
# Suffixes of one and the same class: by generation, and by what computes.
_SUFFIXES: Final = ("FeatureExtractor", "ImageProcessorFast", "ImageProcessorPil", "ImageProcessor")


@dataclass(frozen=True, slots=True)
class _Processor:
    """The defaults of one class; a size that is one number is a square, or the short side."""

    size: int
    square: bool
    resample: Interpolation
    crop_size: int | None = None
    mean: tuple[float, float, float] = _HALF
    std: tuple[float, float, float] = _HALF


_PROCESSORS: Final = {
    "ViT": _Processor(224, True, "bilinear"),
    "DeiT": _Processor(256, True, "bicubic", 224),
    "ViTHybrid": _Processor(224, False, "bicubic", 224, _CLIP_MEAN, _CLIP_STD),
    "Bit": _Processor(224, False, "bicubic", 224, _CLIP_MEAN, _CLIP_STD),  # the same, and still in transformers 5
}


def read_preprocessor(document: Mapping[str, Any], model_type: str) -> PreprocessSpec:
    """What `preprocess_from_hf` promises, before its checks. Raises ValueError or TypeError."""
    document = {key: value for key, value in document.items() if value is not None}
    default = _processor(document, model_type)
    if not flag(document.get("do_resize", True), "do_resize"):
        raise ValueError("do_resize is false, so images of any size would reach the network")
    if flag(document.get("do_pad", False), "do_pad"):
        raise ValueError("do_pad is true, which no ViT's processor is known to need")
    resize_px = _size(document.get("size", default.size), default.square)
    crop = document.get("crop_size", default.crop_size)
    if flag(document.get("do_center_crop", default.crop_size is not None), "do_center_crop"):
        height, width = _pair(crop, "crop_size")
    elif isinstance(resize_px, tuple):
        height, width = resize_px
    else:
        raise ValueError("size is a short side and do_center_crop is false, so the input would not have one size")
    mean, std = _normalisation(document, default)
    kernel = _interpolation(document["resample"]) if "resample" in document else default.resample
    squash = isinstance(resize_px, tuple)
    short = min(resize_px) if isinstance(resize_px, tuple) else resize_px
    return PreprocessSpec(
        height,
        width,
        kernel,
        crop_pct=min(max(min(height, width) / short, 0.01), 1.0),
        crop_mode="squash" if squash else "center",
        mean=mean,
        std=std,
        resize_px=None if resize_px == (height, width) else resize_px,
        library="torchvision" if resize_px == (height, width) else "huggingface",
    )


def _processor(document: Mapping[str, Any], model_type: str) -> _Processor:
    key = "image_processor_type" if "image_processor_type" in document else "feature_extractor_type"
    if key in document:
        name = str(document[key])
        stem = next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)
        if stem not in _PROCESSORS:
            raise ValueError(f"{key} {name!r} is none of those that are read: {', '.join(_PROCESSORS)}")
        return _PROCESSORS[stem]
    if model_type not in _MODEL_TYPES:
        raise ValueError(f"no processor is known for model_type {model_type!r}")
    return _PROCESSORS[_MODEL_TYPES[model_type]]


def _size(value: Any, square: bool) -> int | tuple[int, int]:
    """A short side, or (height, width)."""
    if isinstance(value, dict) and "shortest_edge" in value:
        if value.get("longest_edge"):
            raise ValueError("size has a longest_edge; only height and width, or a shortest_edge alone, are read")
        return whole(value["shortest_edge"], "size.shortest_edge")
    if isinstance(value, dict | list) or square:
        return _pair(value, "size")
    return whole(value, "size")


def _pair(value: Any, name: str) -> tuple[int, int]:
    if isinstance(value, dict):
        return whole(value.get("height"), f"{name}.height"), whole(value.get("width"), f"{name}.width")
    height, width = items(value, name, 2) if isinstance(value, list) else (value, value)
    return whole(height, name), whole(width, name)


def _interpolation(value: Any) -> Interpolation:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(_RESAMPLE):
        raise ValueError(f"resample is {value!r}; Pillow's kernels are 0 … {len(_RESAMPLE) - 1}")
    return _RESAMPLE[value]


def _normalisation(
    document: Mapping[str, Any], default: _Processor
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """(x·r - mean) / std = (x / 255 - mean / 255r) / (std / 255r), for the rescale factor r."""
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if flag(document.get("do_normalize", True), "do_normalize"):
        mean = _channels(document.get("image_mean", default.mean), "image_mean")
        std = _channels(document.get("image_std", default.std), "image_std")
    factor = 1.0
    if flag(document.get("do_rescale", True), "do_rescale"):
        factor = number(document.get("rescale_factor", 1 / 255), "rescale_factor")
    by = 255 * factor
    if not 1e-6 < by < 1e6:
        raise ValueError(f"rescale_factor {factor} is not sensible")
    if abs(by - 1) < 1e-9:  # as exactly as the file's own digits say it
        return mean, std
    return (mean[0] / by, mean[1] / by, mean[2] / by), (std[0] / by, std[1] / by, std[2] / by)


def _channels(value: Any, name: str) -> tuple[float, float, float]:
    return triple(value if isinstance(value, list | tuple) else [value] * 3, name)
