"""Owns what each origin of checkpoints does to a photograph where no file says it; does not resize anything."""

from collections.abc import Callable
from typing import Final

from app.domain import PreprocessSpec

_IMAGENET: Final = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_HALF: Final = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
_SQUASH: Final = {"crop_mode": "squash", "crop_pct": 1.0, "interpolation": "bilinear"}


def _augreg(size: int) -> dict[str, object]:
    return {**_HALF, "crop_pct": 0.9 if size < 384 else 1.0}


def _deit(size: int) -> dict[str, object]:
    return {**_IMAGENET, "crop_pct": 0.9 if size < 384 else 1.0}


def _torchvision(size: int) -> dict[str, object]:
    if size > 256:  # the SWAG weights
        return {**_IMAGENET, "crop_pct": 1.0}
    return {**_IMAGENET, "interpolation": "bilinear", "crop_pct": 0.875}


FAMILIES: Final[dict[str, Callable[[int], dict[str, object]]]] = {
    "timm": _augreg,  # augreg, the original weights and hybrids, as timm evaluates them
    "deit": _deit,
    "tutorial": lambda _: {**_HALF, "interpolation": "bilinear", "crop_pct": 0.875},  # its predict script
    "hf": lambda _: {**_HALF, **_SQUASH},  # ViTImageProcessor's defaults
    "npz": lambda _: {**_HALF, **_SQUASH},  # vit_jax, input_pipeline.py
    "torchvision": _torchvision,
}


def preprocess_of(family: str, height: int, width: int) -> PreprocessSpec:
    """What `family`, one of FAMILIES, does to an image for a network of this input size in pixels."""
    return PreprocessSpec(height=height, width=width, **FAMILIES[family](min(height, width)))  # type: ignore[arg-type]
