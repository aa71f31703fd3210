"""Every architecture that can be built says in OpenVINO what it says in torch, read back from the written graph."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import pytest
import torch
from torch import nn

from app.domain import PreprocessSpec
from app.engine.runners.openvino import CompiledGraph, infer
from app.graphs.export import export
from app.graphs.folder import Logits, Pixels
from app.network.fold import fold_normalisation
from app.network.vit import VisionTransformer
from app.package.variants import VARIANTS, Position, ViTConfig
from tests.network.unsettle import unsettle

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]

# Blocks are alike, and all but the last run whole: two have every operation of twelve, in a fraction of the time.
DEPTH: Final = 2
# Units after the first two of a hybrid's stage are alike.
UNITS: Final = 2
# Four patches are as good as more: kernels, widths and strides are those of the variant. At full size the variants
# would take minutes; ours, which are small, and one of the paper's keep it.
GRID: Final = 2
WHOLE: Final = ("vit_tiny_patch16_224",)
TOLERANCE: Final = 1e-4  # of logits of size one and below, else relative
BASE: Final = ViTConfig((48, 48), 16, 64, DEPTH, 4, 7)
# What no variant has; each in a small network.
SWITCHES: Final[dict[str, dict[str, Any]]] = {
    "no position": {"position": "none"},
    "2d": {"position": "2d"},
    "2d, no class row": {"position": "2d", "no_embed_class": True},
    "relative": {"position": "relative"},
    "relative, distilled": {"position": "relative", "distilled": True},
    "relative, mirror": {"position": "relative", "mirror": True},
    "1d_every_layer": {"position": "1d_every_layer"},
    "1d_shared": {"position": "1d_shared"},
    "2d_every_layer": {"position": "2d_every_layer"},
    "2d_shared": {"position": "2d_shared"},
    "no class row": {"no_embed_class": True},
    "no class row, distilled": {"no_embed_class": True, "distilled": True},
    "mirror": {"mirror": True},
    "mirror, distilled": {"mirror": True, "distilled": True},
    "representation": {"representation_size": 32},
    "no qkv bias": {"qkv_bias": False},
    "registers": {"reg_tokens": 3, "no_embed_class": True},
    "CLIP": {"pre_norm": True, "gelu": "quick", "norm_eps": 1e-5},
    "CLIP in transformers": {"pre_norm": True, "gelu": "quick", "final_norm": False, "global_pool": "avg"},
    "DeiT III": {"init_values": 1e-6, "no_embed_class": True},
    "DINOv2 with a head": {"init_values": 1e-5, "mlp_layer": "swiglu_packed", "global_pool": "token_avg"},
    "SwiGLU, normalised heads": {"mlp_layer": "swiglu", "qk_norm": True, "qkv_bias": False, "proj_bias": False},
    "SigLIP": {"class_token": False, "global_pool": "map", "gelu": "tanh"},
    "average with a norm": {"class_token": False, "global_pool": "avg", "reg_tokens": 4},
    "average over all": {"global_pool": "avg", "fc_norm": False, "pool_include_prefix": True},
    "no positions, mirror": {"class_token": False, "global_pool": "avg", "position": "none", "mirror": True},
    "tanh GELU": {"gelu": "tanh"},
    "narrow MLP, large eps": {"mlp_ratio": 2.5, "norm_eps": 1e-3},
    "one block": {"depth": 1},
    "not square, pixels left over": {"img_size": (50, 83)},
    "JAX's hybrid": {
        **{"img_size": (64, 96), "patch_size": 1, "backbone_layers": (1, 1)},
        **{"standardization": "deviation", "standardization_eps": 1e-6, "group_norm_eps": 1e-6},
    },
    "hybrid with mirror": {"img_size": (64, 64), "patch_size": 2, "backbone_layers": (), "mirror": True},
    "stem, distilled, relative": {
        **{"img_size": (32, 32), "patch_size": 8, "stem_widths": (16, 32, 64)},
        **{"distilled": True, "position": "relative"},
    },
    "two stages of EfficientNet": {"img_size": (64, 64), "patch_size": 2, "lite_stages": 2},
}


def cut(name: str) -> ViTConfig:
    """The variant with two blocks, no more than two units in a hybrid's stage, and a small image."""
    config = VARIANTS[name]
    layers, size = config.backbone_layers, config.img_size
    units = None if layers is None else tuple(min(each, UNITS) for each in layers)
    if min(size) > 128 and name not in WHOLE:
        size = (GRID * config.patch_size * config.reduction,) * 2
    return replace(config, depth=DEPTH, backbone_layers=units, img_size=size)


def by_shape() -> dict[ViTConfig, str]:
    """Each shape among them once, with the names that have it: DeiT-Ti is ViT-Ti."""
    found: dict[ViTConfig, list[str]] = {}
    for name in VARIANTS:
        found.setdefault(cut(name), []).append(name)
    return {config: "=".join(names) for config, names in found.items()}


def drawn(config: ViTConfig) -> VisionTransformer:
    """No parameter and no statistic is as a constructor left it."""
    torch.manual_seed(0)
    network = VisionTransformer(config).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):  # which are left unset; `init_weights` takes seconds
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")  # numbers of size one: there GELU turns
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    unsettle(network)
    return network


def assert_same(found: Logits, expected: Logits) -> None:
    """Within the tolerance; and equality is no accident, for logits differ between classes."""
    assert expected.std(axis=1).min() > 1e-2
    assert np.abs(found - expected).max() <= TOLERANCE * max(1.0, float(np.abs(expected).max()))


def check(config: ViTConfig, folder: Path) -> None:
    """Torch's logits of the network as it was built, for normalised pixels, are the graph's for raw ones."""
    height, width = config.img_size
    spec = PreprocessSpec(height, width, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    pixels: Pixels = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
    network = drawn(config)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    with torch.inference_mode():
        logits = network((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std)
    expected: Logits = logits.numpy()
    fold_normalisation(network, spec)
    assert_same(export(network, pixels, folder / "float32.xml"), expected)
    request = CompiledGraph(folder / "float32.xml", "float32", cores=2, lanes=1).request()
    for size in (1, 3):
        found = infer(request, pixels[:size])
        assert found.shape == (size, config.num_classes)
        assert_same(found, expected[:size])


@pytest.mark.parametrize("config", [pytest.param(config, id=names) for config, names in by_shape().items()])
def test_variants(config: ViTConfig, tmp_path: Path) -> None:
    check(config, tmp_path)


@pytest.mark.parametrize("name", SWITCHES)
def test_switches(name: str, tmp_path: Path) -> None:
    check(replace(BASE, **SWITCHES[name]), tmp_path)


def test_every_position_is_among_them() -> None:
    assert {each.get("position", "1d") for each in SWITCHES.values()} == set(get_args(Position))
