"""Owns what tells a Vision Transformer's relatives, which are not served, by their keys; does not read files."""

import re
from collections.abc import Iterable
from typing import Final

# What such a key is a sign of.
_SIGNS: Final = {
    r"(^|\.)(gamma_[12]|layer_scale[12]?\.|lambda_[12])": "LayerScale (CaiT, BEiT)",
    r"\.mlp\.(w12|w1|w3|gate_proj|weights_in)\.": "a gated MLP (SwiGLU)",
    r"\.self_attention\.[qk]_norm\.": "normalised queries and keys",
    r"\.mlp\.norm\.|\.attn\.norm\.": "a norm inside attention or the MLP (EVA-02, BEiT-3)",
    r"\.attn\.(q_bias|v_bias|lambda_)": "biases or scales inside attention (BEiT, EVA, differential attention)",
    r"relative_position_bias|rel_pos": "relative position biases (BEiT, Swin)",
    r"(^|[./])(attn_pool|MAPHead_0)[./]|vision_model\.head\.": "attention pooling (SigLIP)",
    r"(^|\.)rope|rotary": "rotary positions",
    r"(^|\.)conv_proj\.(conv_bn_relu|conv_last)": "a convolutional stem (torchvision's conv_stem_configs)",
    r"running_mean$": "BatchNorm in its backbone",
    r"(^|\.)(visual|vision_model|text_model|transformer\.resblocks)\.": "a CLIP tower",
}


def relative(keys: Iterable[str]) -> str | None:
    """All that the keys have and a plain, hybrid or distilled ViT has not, each with a key; None: nothing known."""
    found = list(keys)
    signs = [
        f"{name}, seen at {key!r}"
        for pattern, name in _SIGNS.items()
        if (key := next((key for key in found if re.search(pattern, key)), None))
    ]
    return "; ".join(signs) or None
