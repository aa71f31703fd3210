"""Owns whose way of preparing images a file that says nothing of it was most likely trained for; reads no files."""

from collections.abc import Mapping
from typing import Final

from app.checkpoints.rules import Layout
from app.package.variants import ViTConfig

# The SHA-256 of torchvision's released files, as far as their addresses say it (models/vision_transformer.py).
_RELEASED: Final = {
    **dict.fromkeys(("c867db91", "d86f8d99", "c7638314"), "torchvision"),
    "852ce7e3": "torchvision-l16",
    **dict.fromkeys(("9ac1b537", "4e70ced5", "4f3808c9", "4d563306", "80465313", "c1eb923e"), "torchvision-swag"),
}
# transformers' classes of the relatives, by what their names begin with.
_HF: Final = {"CLIP": "clip", "Siglip": "siglip", "Dinov2": "dinov2"}
_LARGEST_OF_V1_PX: Final = 256  # IMAGENET1K_V1 is at 224; SWAG's, trained end to end, at 384 to 518
_SWAG_ALONE: Final = (1280, 14)  # width and patch of `vit_h_14`
_SWAG_TOO: Final = ((768, 16), (1024, 16))  # of `vit_b_16` and `vit_l_16`


def assumed_family(layout: Layout, config: ViTConfig, name: str, sha256: Mapping[str, str]) -> tuple[str, str | None]:
    """One of preprocessing.FAMILIES, and what to say where it may as well be another.

    `name` is the source's, `sha256` of its files by their names.
    """
    if layout.format == "torchvision":
        return _torchvision(config, (name, *sha256), tuple(sha256.values()))
    if layout.format == "hf":
        family = "hf-deit" if config.distilled else "hf-vit" if config.backbone_layers is None else "hf-vit-hybrid"
        return next((each for start, each in _HF.items() if layout.name.startswith(start)), family), None
    if layout.format == "npz":
        return "google" if "SigLIP" in layout.name or "big_vision" not in layout.name else "big-vision", None
    if config.pre_norm:  # which only CLIP's have
        return "clip", None
    return "timm-deit" if config.distilled or "deit" in name.lower() else "timm-augreg", None


def _torchvision(config: ViTConfig, names: tuple[str, ...], digests: tuple[str, ...]) -> tuple[str, str | None]:
    if released := next((_RELEASED[digest[:8]] for digest in digests if digest[:8] in _RELEASED), None):
        return released, None
    shape = config.embed_dim, config.patch_size
    end_to_end = shape in _SWAG_TOO and min(config.img_size) > _LARGEST_OF_V1_PX
    if shape == _SWAG_ALONE or end_to_end or any("swag" in name.lower() for name in names):
        return "torchvision-swag", None
    family = "torchvision-l16" if shape == (1024, 16) else "torchvision"
    if shape not in _SWAG_TOO:
        return family, None
    return family, (
        "its weights come from IMAGENET1K_V1 or from IMAGENET1K_SWAG_LINEAR_V1, which look the same; "
        "if from the latter, --preprocess torchvision-swag"
    )
