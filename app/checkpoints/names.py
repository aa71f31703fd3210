"""Owns our own parameter names, which are timm's, as the left side of every key map; does not know other spellings."""

from typing import Final

EMBEDDING: Final = ("cls_token", "reg_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias")
BLOCK: Final = tuple(
    f"blocks.{{i}}.{module}.{leaf}"
    for module in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    for leaf in ("weight", "bias")
)
RELATIVES: Final = (  # what only some relatives of the paper's network have
    *(f"norm_pre.{leaf}" for leaf in ("weight", "bias")),
    *(f"fc_norm.{leaf}" for leaf in ("weight", "bias")),
    *(f"blocks.{{i}}.ls{n}.gamma" for n in "12"),
    *(
        f"blocks.{{i}}.{module}.{leaf}"
        for module in ("attn.q_norm", "attn.k_norm", "mlp.fc1_g", "mlp.fc1_x")
        for leaf in ("weight", "bias")
    ),
    "attn_pool.latent",
    *(
        f"attn_pool.{module}.{leaf}"
        for module in ("q", "kv", "proj", "norm", "mlp.fc1", "mlp.fc2")
        for leaf in ("weight", "bias")
    ),
)
HEADS: Final = tuple(
    f"{module}.{leaf}" for module in ("norm", "pre_logits.fc", "head", "head_dist") for leaf in ("weight", "bias")
)
_UNIT: Final = "patch_embed.backbone.stages.{s}.blocks.{u}"
BACKBONE: Final = (
    *(
        f"patch_embed.backbone.{stem}{leaf}"
        for stem in ("stem.", "")
        for leaf in ("conv.weight", "norm.weight", "norm.bias")
    ),
    *(f"{_UNIT}.{leaf}" for n in "123" for leaf in (f"conv{n}.weight", f"norm{n}.weight", f"norm{n}.bias")),
    *(f"{_UNIT}.downsample.{leaf}" for leaf in ("conv.weight", "norm.weight", "norm.bias")),
)
