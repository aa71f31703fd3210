"""Owns the tiny networks and packages that the pictures are tried on; does not test."""

from dataclasses import replace

import torch

from app.checkpoints.own import ModelPackage
from app.domain import PreprocessSpec
from app.network.vit import VisionTransformer
from app.package.preprocessing import with_channels
from app.package.variants import ViTConfig

SMALL = ViTConfig(img_size=(24, 40), patch_size=8, embed_dim=24, depth=3, num_heads=2, num_classes=7)  # 3 x 5 patches
HYBRID = replace(SMALL, img_size=(64, 96), patch_size=1, backbone_layers=(1, 1, 1))  # 4 x 6 patches
DISTILLED = replace(SMALL, distilled=True)
STEM = replace(SMALL, stem_widths=(8, 12, 16))


def random_network(config: ViTConfig = SMALL) -> VisionTransformer:
    """Weights large enough that attention is far from uniform."""
    network = VisionTransformer(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.detach().copy_(torch.randn(parameter.shape, generator=generator) * 0.8)
    return network.eval().requires_grad_(False)


def random_package(config: ViTConfig = SMALL, name: str = "vit_test.$random") -> ModelPackage:
    labels = tuple(f"class_{i}" for i in range(config.num_classes))
    return ModelPackage(
        name=name,
        architecture="vit_test",
        network=random_network(config),
        labels=labels,
        preprocess=with_channels(PreprocessSpec(*config.img_size), config.in_chans),
        sha256=None,
    )
