"""Owns the telling of a checkpoint's format from its keys; does not read files."""

from collections.abc import Collection
from typing import Final

from app.checkpoints import hf, hf_relatives, npz, timm, torchvision
from app.checkpoints.refusals import relative
from app.checkpoints.rules import Layout, Match, match
from app.errors import NotOurNetwork

LAYOUTS: Final[tuple[Layout, ...]] = (
    *timm.LAYOUTS,
    *timm.READ_ONLY,
    *hf.LAYOUTS,
    *hf_relatives.LAYOUTS,
    *torchvision.LAYOUTS,
    *npz.LAYOUTS,
    *npz.READ_ONLY,
)


def sniff(keys: Collection[str], where: str) -> Match:
    """The layout that has a place for most of the keys, and those places.

    Raises NotOurNetwork, its message starting with `where`, if it is a relative that is not served or unknown.
    """
    best = max((match(layout, keys) for layout in LAYOUTS), key=lambda each: -len(each.unused))
    if (name := relative(best.unused)) is not None:
        raise NotOurNetwork(f"{where}: not a ViT of the paper; it has {name}")
    if "patch_embed.proj.weight" not in best.sources or "blocks.0.norm1.weight" not in best.sources:
        some = ", ".join(sorted(keys)[:6])
        raise NotOurNetwork(
            f"{where}: its keys are none of timm's, Hugging Face's, torchvision's or Google's: {some} …"
        )
    return best
