"""Owns tiny networks, all numbers drawn, for the tests of checkpoints; does not test."""

from pathlib import Path
from typing import Any

import torch

from app.checkpoints.own import ModelPackage, save_package
from app.domain import PreprocessSpec
from app.network.vit import VisionTransformer
from app.package.preprocessing import with_channels
from app.package.variants import ViTConfig

TINY: dict[str, Any] = {"img_size": (32, 32), "embed_dim": 64, "depth": 2, "num_heads": 4, "num_classes": 5}
KINDS: dict[str, ViTConfig] = {
    "plain": ViTConfig(**TINY),
    "pre_logits": ViTConfig(**TINY, representation_size=24),
    "no_class_row": ViTConfig(**TINY, no_embed_class=True),
    "distilled": ViTConfig(**TINY, distilled=True),
    "hybrid": ViTConfig(**{**TINY, "patch_size": 1, "backbone_layers": (1, 2)}),
    "root": ViTConfig(**{**TINY, "patch_size": 4, "backbone_layers": ()}),
}
RELATIVES: dict[str, ViTConfig] = {
    "registers": ViTConfig(**TINY, reg_tokens=3, no_embed_class=True),
    "clip": ViTConfig(**TINY, pre_norm=True, norm_eps=1e-5),
    "layer_scale": ViTConfig(**TINY, init_values=1e-5),
    "average": ViTConfig(**TINY, class_token=False, global_pool="avg"),
    "average_of_normed": ViTConfig(**TINY, class_token=False, global_pool="avg", fc_norm=False),
    "map": ViTConfig(**TINY, class_token=False, global_pool="map"),
    "swiglu": ViTConfig(**TINY, mlp_layer="swiglu", qk_norm=True, proj_bias=False),
    "packed": ViTConfig(**TINY, mlp_layer="swiglu_packed", final_norm=False),
}


def drawn(config: ViTConfig, seed: int = 0) -> VisionTransformer:
    """A network in evaluation, with no number that a constructor left."""
    torch.manual_seed(seed)
    network = VisionTransformer(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(std=0.2)
    return network


def saved(folder: Path, config: ViTConfig, dtype: torch.dtype = torch.float32) -> VisionTransformer:
    """The network, and a package of it in `folder`."""
    network = drawn(config)
    labels = tuple(f"label {i}" for i in range(config.num_classes))
    spec = with_channels(PreprocessSpec(*config.img_size), config.in_chans)
    package = ModelPackage(
        name="vit_base_patch16_224.t",
        architecture="vit_base_patch16_224",
        network=network,
        labels=labels,
        preprocess=spec,
        sha256=None,
    )
    save_package(folder, package, dtype)
    return network
