"""Owns timm's spelling, which is the tutorial's, DeiT's and our own too; does not read files."""

from typing import Final

from app.checkpoints.names import BACKBONE, BLOCK, EMBEDDING, HEADS, RELATIVES
from app.checkpoints.rules import PATCH, REGISTER_ROWS, SAME, Layout, Rule

_NAMES: Final = (*EMBEDDING, "dist_token", *BACKBONE, *BLOCK, *HEADS, *RELATIVES)
# As facebookresearch's DeiT III and DINOv2 spell them; these come last, for what is written is timm's.
_ALIASES: Final = {
    "blocks.{i}.ls1.gamma": "blocks.{i}.gamma_1",
    "blocks.{i}.ls2.gamma": "blocks.{i}.gamma_2",
    **{f"blocks.{{i}}.mlp.fc1.{leaf}": f"blocks.{{i}}.mlp.w12.{leaf}" for leaf in ("weight", "bias")},
    **{f"blocks.{{i}}.mlp.fc2.{leaf}": f"blocks.{{i}}.mlp.w3.{leaf}" for leaf in ("weight", "bias")},
}
_IGNORED: Final = {
    r"mask_token|decoder_(blocks|embed|pos_embed|norm|pred)\b.*": "only masked-image pre-training uses it"
}
_RULES: Final = (
    *(Rule(name, (name,), PATCH if name == "patch_embed.proj.weight" else SAME) for name in _NAMES),
    *(Rule(ours, (theirs,), SAME) for ours, theirs in _ALIASES.items()),
)
_REGISTERS: Final = (  # of facebookresearch's DINOv2, where positions are added before the registers come
    Rule("pos_embed", ("pos_embed", "register_tokens"), REGISTER_ROWS),
    Rule("reg_token", ("register_tokens",), SAME),
)

LAYOUTS: Final = (Layout("timm", "timm", _RULES, _IGNORED),)
READ_ONLY: Final = (
    Layout(
        "timm",
        "DINOv2 with registers",
        (*(rule for rule in _RULES if rule.ours not in ("pos_embed", "reg_token")), *_REGISTERS),
        _IGNORED,
    ),
)
