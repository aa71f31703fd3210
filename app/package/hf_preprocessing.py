"""Owns the reading of Hugging Face's `preprocessor_config.json`, both generations; does not touch pixels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.domain import Interpolation, PreprocessSpec
from app.package.values import flag, items, number, numbers, whole

_HALF: Final = (0.5, 0.5, 0.5)
_MEAN: Final = (0.485, 0.456, 0.406)  # ImageNet's
_STD: Final = (0.229, 0.224, 0.225)
CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)
_RESAMPLE: Final[tuple[Interpolation, ...]] = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
_MODEL_TYPES: Final = {
    **dict.fromkeys(("vit", "vit_msn", "vit_mae", "ijepa"), "ViT"),
    **{"deit": "DeiT", "vit-hybrid": "ViTHybrid", "dinov2": "Bit", "dinov2_with_registers": "Bit"},
    **dict.fromkeys(("clip", "clip_vision_model", "metaclip_2"), "CLIP"),
    **dict.fromkeys(("siglip", "siglip_vision_model"), "Siglip"),
    **dict.fromkeys(("swin", "swinv2", "swiftformer", "dinat", "nat"), "ViT"),
    **dict.fromkeys(("focalnet", "hiera", "bit"), "Bit"),
    **dict.fromkeys(("convnext", "convnextv2", "cvt", "regnet", "resnet", "van"), "ConvNext"),
    **{"beit": "Beit", "data2vec-vision": "Beit", "efficientnet": "EfficientNet", "levit": "Levit"},
    **{"mobilenet_v1": "MobileNetV1", "mobilenet_v2": "MobileNetV2", "mobilevit": "MobileViT"},
    **{"mobilevitv2": "MobileViT", "poolformer": "PoolFormer", "pvt": "Pvt", "pvt_v2": "Pvt", "segformer": "Segformer"},
}
# What other classes do that no PreprocessSpec says, or not exactly.
_OTHERWISE: Final = {
    "DINOv3ViT": "resizes in floating point, and here the network's input is bytes",
    "Perceiver": "crops before it resizes",
    "EfficientFormer": "is of transformers 4, whose networks of that name 5 has no more",
    "Siglip2": "makes patches of any number, and here every image has one size",
    "ImageGPT": "makes numbers of a palette out of pixels",
    "Donut": "shrinks and pads, so that the picture's shape decides what is seen",
}
# Suffixes of one and the same class: by generation, and by what computes.
_SUFFIXES: Final = ("FeatureExtractor", "ImageProcessorFast", "ImageProcessorPil", "ImageProcessor")


_Values = tuple[float, ...]  # one a channel
_Size = int | tuple[int, int]  # a short side, or (height, width)
# Of classes that resize to another size than the one stated: what they resize to, and what they cut out of it.
_Rule = Callable[[Mapping[str, Any], _Size], tuple[_Size, tuple[int, int] | None]]


def _convnext(document: Mapping[str, Any], size: _Size) -> tuple[_Size, tuple[int, int] | None]:
    if isinstance(size, tuple):
        raise ValueError("size has no shortest_edge, which this class needs")
    if flag(document.get("do_center_crop", False), "do_center_crop"):
        raise ValueError("do_center_crop is true, which not every version of this class does")
    if size >= 384:
        return (size, size), (size, size)
    return int(size / number(document.get("crop_pct", 224 / 256), "crop_pct")), (size, size)


def _levit(document: Mapping[str, Any], size: _Size) -> tuple[_Size, tuple[int, int] | None]:
    return (size if isinstance(size, tuple) else int((256 / 224) * size)), None


def _poolformer(document: Mapping[str, Any], size: _Size) -> tuple[_Size, tuple[int, int] | None]:
    if isinstance(size, tuple) and size[0] != size[1]:
        raise ValueError("size is no square, of which not every version of this class makes the same")
    side = size[0] if isinstance(size, tuple) else size
    return int(side / number(document["crop_pct"], "crop_pct")), None


@dataclass(frozen=True, slots=True)
class _Processor:
    """The defaults of one class; a size that is one number is a square, or the short side."""

    size: int
    square: bool
    resample: Interpolation
    crop_size: int | None = None
    mean: _Values = _HALF
    std: _Values = _HALF
    normalize: bool = True
    needs: tuple[str, ...] = ()  # what must be stated, for transformers 4 and 5 differ where it is not
    rule: _Rule | None = None
    flip: bool = False  # of the channels' order
    twice: bool = False  # the standard deviation divides twice


_PROCESSORS: Final = {
    "ViT": _Processor(224, True, "bilinear"),
    "DeiT": _Processor(256, True, "bicubic", 224),
    "ViTHybrid": _Processor(224, False, "bicubic", 224, CLIP_MEAN, CLIP_STD),
    "CLIP": _Processor(224, False, "bicubic", 224, CLIP_MEAN, CLIP_STD),
    "Siglip": _Processor(224, True, "bicubic"),
    "Bit": _Processor(224, False, "bicubic", 224, CLIP_MEAN, CLIP_STD),  # the same, and still in transformers 5
    "Beit": _Processor(256, True, "bicubic", 224, needs=("size", "do_center_crop")),
    "ConvNext": _Processor(384, False, "bicubic", needs=("resample",), rule=_convnext),
    "EfficientNet": _Processor(346, True, "bicubic", needs=("resample",), twice=True),
    "Levit": _Processor(224, False, "bicubic", 224, mean=_MEAN, std=_STD, rule=_levit),
    "MobileNetV1": _Processor(256, False, "bilinear", 224),
    "MobileNetV2": _Processor(256, False, "bilinear", 224),
    "MobileViT": _Processor(224, False, "bicubic", 256, normalize=False, needs=("resample",), flip=True),
    "PoolFormer": _Processor(224, False, "bicubic", 224, mean=_MEAN, std=_STD, needs=("crop_pct",), rule=_poolformer),
    "Pvt": _Processor(224, True, "bicubic", mean=_MEAN, std=_STD, needs=("resample",)),
    "Segformer": _Processor(512, True, "bilinear", mean=_MEAN, std=_STD),
}


def read_preprocessor(document: Mapping[str, Any], model_type: str) -> PreprocessSpec:
    """What `preprocess_from_hf` promises, before its checks. Raises ValueError or TypeError."""
    document = {key: value for key, value in document.items() if value is not None}
    default = _processor(document, model_type)
    if not flag(document.get("do_resize", True), "do_resize"):
        raise ValueError("do_resize is false, so images of any size would reach the network")
    if flag(document.get("do_pad", False), "do_pad"):
        raise ValueError("do_pad is true, which no ViT's processor is known to need")
    if absent := [name for name in default.needs if name not in document]:
        raise ValueError(f"it does not say {absent[0]}, of which versions of transformers make different things")
    resize_px, cut = _size(document.get("size", default.size), default.square), None
    if default.rule is not None:
        resize_px, cut = default.rule(document, resize_px)
    crop = document.get("crop_size", default.crop_size)
    if cut is not None:
        height, width = cut
    elif flag(document.get("do_center_crop", default.crop_size is not None), "do_center_crop"):
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


def flips_channels(document: Mapping[str, Any], model_type: str) -> bool:
    """Whether the network gets blue first, which no PreprocessSpec says. Raises ValueError or TypeError."""
    given = {key: value for key, value in document.items() if value is not None}
    default = _processor(given, model_type).flip
    return default and flag(given.get("do_flip_channel_order", default), "do_flip_channel_order")


def _processor(document: Mapping[str, Any], model_type: str) -> _Processor:
    key = "image_processor_type" if "image_processor_type" in document else "feature_extractor_type"
    if key in document:
        name = str(document[key])
        stem = next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)
        if stem in _OTHERWISE:
            raise ValueError(f"{key} {name!r} {_OTHERWISE[stem]}")
        if stem not in _PROCESSORS:
            raise ValueError(f"{key} {name!r} is none of those that are read: {', '.join(_PROCESSORS)}")
        return _PROCESSORS[stem]
    if model_type not in _MODEL_TYPES:
        raise ValueError(f"no processor is known for model_type {model_type!r}")
    return _PROCESSORS[_MODEL_TYPES[model_type]]


def _size(value: Any, square: bool) -> _Size:
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


def _normalisation(document: Mapping[str, Any], default: _Processor) -> tuple[_Values, _Values]:
    """(x·r - mean) / std = (x / 255 - mean / 255r) / (std / 255r), for the rescale factor r."""
    mean: _Values = (0.0, 0.0, 0.0)
    std: _Values = (1.0, 1.0, 1.0)
    if flag(document.get("do_normalize", default.normalize), "do_normalize"):
        mean = _channels(document.get("image_mean", default.mean), "image_mean")
        std = _channels(document.get("image_std", default.std), "image_std")
    factor = 1.0
    if flag(document.get("do_rescale", True), "do_rescale"):
        factor = number(document.get("rescale_factor", 1 / 255), "rescale_factor")
    if default.twice:
        mean, std = _twice(document, mean, std, default)
    by = 255 * factor
    if not 1e-6 < by < 1e6:
        raise ValueError(f"rescale_factor {factor} is not sensible")
    if abs(by - 1) < 1e-9:  # as exactly as the file's own digits say it
        return mean, std
    return tuple(value / by for value in mean), tuple(value / by for value in std)


def _channels(value: Any, name: str) -> _Values:
    return numbers(value if isinstance(value, list | tuple) else [value] * 3, name)


def _twice(document: Mapping[str, Any], mean: _Values, std: _Values, default: _Processor) -> tuple[_Values, _Values]:
    """EfficientNet's: the pixels minus 1, if they are to lie around 0, and for a classifier divided once more."""
    if flag(document.get("rescale_offset", False), "rescale_offset") and document.get("do_rescale", True):
        mean = tuple(value + 1 for value in mean)
    if flag(document.get("include_top", True), "include_top"):
        again = _channels(document.get("image_std", default.std), "image_std")
        std = tuple(once * more for once, more in zip(std, again, strict=True))
    return mean, std
