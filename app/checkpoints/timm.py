"""Owns timm's spelling, which is the tutorial's, DeiT's and our own too; does not read files."""

from typing import Final

from app.checkpoints.names import BACKBONE, BLOCK, EMBEDDING, HEADS
from app.checkpoints.rules import PATCH, SAME, Layout, Rule

_NAMES: Final = (*EMBEDDING, "dist_token", *BACKBONE, *BLOCK, *HEADS)

LAYOUTS: Final = (
    Layout(
        "timm",
        "timm",
        tuple(Rule(name, (name,), PATCH if name == "patch_embed.proj.weight" else SAME) for name in _NAMES),
    ),
)
