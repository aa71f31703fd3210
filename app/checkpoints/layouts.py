"""Owns the telling of a checkpoint's format from its keys; does not read files."""

from collections.abc import Collection
from typing import Final

from app.checkpoints import hf, npz, timm, torchvision
from app.checkpoints.refusals import relative
from app.checkpoints.rules import Layout, Match, match
from app.errors import PackageError

LAYOUTS: Final[tuple[Layout, ...]] = (*timm.LAYOUTS, *hf.LAYOUTS, *torchvision.LAYOUTS, *npz.LAYOUTS)


def sniff(keys: Collection[str], where: str) -> Match:
    """The layout that has a place for most of the keys, and those places.

    Raises PackageError, its message starting with `where`, if it is a relative that is not served or unknown.
    """
    best = max((match(layout, keys) for layout in LAYOUTS), key=lambda each: -len(each.unused))
    if (name := relative(best.unused)) is not None:
        raise PackageError(f"{where}: not a ViT of the paper; it has {name}")
    if "patch_embed.proj.weight" not in best.sources or "blocks.0.norm1.weight" not in best.sources:
        some = ", ".join(sorted(keys)[:6])
        raise PackageError(f"{where}: its keys are none of timm's, Hugging Face's, torchvision's or Google's: {some} …")
    if "cls_token" not in best.sources:
        raise PackageError(f"{where}: it has no class token, so it pools its patches, which is not served")
    return best
