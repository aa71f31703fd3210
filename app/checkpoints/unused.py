"""Owns what is said and done about tensors that have no place in the network; does not read them."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from app.checkpoints.rules import Match

_LISTED: Final = 6  # keys; a network of 40 layers would otherwise fill the screen
# What only training uses: losses and metrics, the masked patches' token, a masked autoencoder's decoder (MAE).
_TRAINING: Final = re.compile(
    r"(\w+_)?((loss|losses|criterions?)(_\w+)?|metrics|accuracy|acc\d?)\..+"
    r"|n_averaged|([\w.]+\.)?mask_token|(\w+\.)?decoder_(embed|blocks|pos_embed|norm|pred)(\..+)?"
)
# Parts of a Vision Transformer, however it is spelled: what stands below one of them takes part in every answer.
_PART: Final = re.compile(
    r"blocks?|layers?|encoder|encoder_?layers?|encoder(_layer_|block_)\d+|encoderblock|(res)?blocks|stages?|backbone|stem"
    r"|transformer|trunk|visual|vision_\w+|vit|deit|block\d+|unit\d+"
    r"|\w*embed(ding|dings)?|patch_embed\w*|pos_embed\w*|position_\w+|posembed_\w+|patch_\w+"
    r"|cls|\w+_token|\w+_tokens|class_embedding"
    r"|\w*norm\w*|ln|ln_\w+|bn\d*|\w*attn\w*|\w*attention\w*|mlp\w*|ffn|qkv|[qkv]|[qkv]_\w+|out_proj|fc\d"
    r"|gamma\w*|ls\d|layer_?scale\w*|lambda\w*|rope\w*|rotary\w*|rel\w*_pos\w*|relative_\w+|inv_freq"
    r"|conv\w*|gn\w*|downsample|running_(mean|var)|num_batches_tracked"
    r"|pre_logits|heads?|head_dist|(\w+_)?classifier|pooler",
    re.IGNORECASE,
)


def problems(found: Match, drop: bool) -> list[str]:
    """Why this match of a file with a layout cannot be read; `drop`: that tensors are left out is wished.

    What lies inside the network cannot be left out: the answers would be another network's.
    """
    said = [f"key {_list(found.missing)} is missing"] if found.missing else []
    inside, training, others = _sorted(found.unused)
    if found.layout.format == "torchvision" and (head := [key for key in inside if key.startswith("heads.")]):
        inside = [key for key in inside if key not in head]
        read = [str(found.sources[name].keys[0]) for name in ("head.weight", "head.bias") if name in found.sources]
        said.append(
            f"its head has more than one layer ({_list([*read, *head])}), and an activation between them "
            "would leave no tensor: only one linear layer is read, or torchvision's own heads (pre_logits, tanh, head)"
        )
    if inside:
        said.append(f"{_list(inside)} {_belong(inside)} inside the network, which would be another without")
    if training and not drop:
        said.append(f"key {_list(training)} is not part of a ViT (leave it out with --drop-unused)")
    if others and not drop:
        said.append(
            f"key {_list(others)} is not part of a ViT, and no name says what for: --drop-unused leaves it out, which "
            "is right only if no answer passes through it"
        )
    return said


def _sorted(keys: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Those inside the network, those of training alone, and those of which nothing is known."""
    inside, training, others = list[str](), list[str](), list[str]()
    for key in keys:
        if _TRAINING.fullmatch(key):
            training.append(key)
        elif any(_PART.fullmatch(part) for part in re.split(r"[./]", key)):
            inside.append(key)
        else:
            others.append(key)
    return inside, training, others


def _belong(keys: Sequence[str]) -> str:
    return "belongs" if len(keys) == 1 else "belong"


def _list(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _LISTED:,} more" if len(keys) > _LISTED else ""
    return ", ".join(map(repr, keys[:_LISTED])) + more
