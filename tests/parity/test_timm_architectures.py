"""Owns the comparison of hybrid and distilled networks with timm's own, every parameter drawn anew, in float64."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from app.checkpoints.own import ModelPackage, save_package
from app.domain import PreprocessSpec
from app.network.hybrid import StdConv2d, standardise
from app.network.vit import VisionTransformer
from app.package.variants import VARIANTS, ViTConfig, variant

ATOL = 1e-10
pytestmark = pytest.mark.parity


def drawn(timm: Any, name: str, **changes: Any) -> Any:
    """timm's network in evaluation and float64, with every number drawn here (constructors zero some)."""
    with torch.device("meta"):  # drawing twice costs seconds
        network = timm.create_model(name, **changes)
    assert not list(network.buffers())
    torch.manual_seed(0)
    for key, parameter in network.double().to_empty(device="cpu").eval().requires_grad_(False).named_parameters():
        parameter.normal_(mean=1.0 if "norm" in key and key.endswith("weight") else 0.0, std=0.3)
    return network


def same_logits(theirs: Any, config: ViTConfig) -> VisionTransformer:
    """Our network with their parameters, which gives their logits and their tokens; strict about names and shapes."""
    with torch.device("meta"):
        ours = VisionTransformer(config)
    ours.load_state_dict(theirs.state_dict(), assign=True)
    ours.eval()
    x = torch.randn(2, 3, *config.img_size, dtype=torch.float64)
    expected = theirs(x)
    assert expected.std() > 1e-3
    with torch.inference_mode():
        torch.testing.assert_close(ours.forward_features(x), theirs.forward_features(x), atol=ATOL * 10, rtol=0)
        torch.testing.assert_close(ours(x), expected, atol=ATOL, rtol=0)
    return ours


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vit_tiny_r_s16_p8_224", (64, 64)),
        ("vit_tiny_r_s16_p8_224", (96, 64)),
        ("vit_small_r26_s32_224", (64, 64)),
        ("vit_base_r50_s16_224", (64, 64)),
        ("vit_large_r50_s32_224", (64, 96)),
        ("vit_base_r26_s32_224", (65, 64)),
    ],
)
def test_hybrids(timm: Any, name: str, size: tuple[int, int]):
    changes: dict[str, Any] = {"depth": 1, "num_classes": 11}
    theirs = drawn(timm, name, img_size=size, **changes)
    ours = same_logits(theirs, replace(variant(name), img_size=size, **changes))
    assert any(isinstance(module, StdConv2d) for module in ours.modules())
    x = torch.randn(1, 3, *size, dtype=torch.float64)
    with torch.inference_mode():
        expected = theirs(x)
        standardise(ours)  # as it is served
        torch.testing.assert_close(ours(x), expected, atol=ATOL, rtol=0)


@pytest.mark.parametrize("name", ["deit_tiny_distilled_patch16_224", "deit_small_distilled_patch16_224"])
def test_distilled(timm: Any, name: str):
    changes: dict[str, Any] = {"depth": 3, "num_classes": 7, "img_size": (48, 64)}
    theirs = drawn(timm, name, **changes)
    ours = same_logits(theirs, replace(variant(name), **changes))
    theirs.set_distilled_training(True)
    x = torch.randn(2, 3, 48, 64, dtype=torch.float64)
    for found, expected in zip(ours.train()(x), theirs.train()(x), strict=True):
        torch.testing.assert_close(found, expected, atol=ATOL, rtol=0)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"no_embed_class": True}, {"no_embed_class": True}),
        ({"qkv_bias": False}, {"qkv_bias": False}),
        ({"norm_eps": 1e-12}, {"norm_layer": partial(torch.nn.LayerNorm, eps=1e-12)}),
        ({"gelu": "tanh"}, {"act_layer": "gelu_tanh"}),
        ({"position": "none"}, {"pos_embed": "none"}),
    ],
    ids=str,
)
def test_the_constants_of_other_origins(timm: Any, ours: dict[str, Any], theirs: dict[str, Any]):
    changes: dict[str, Any] = {"depth": 2, "num_classes": 7, "img_size": (48, 32)}
    reference = drawn(timm, "vit_tiny_patch16_224", **changes, **theirs)
    same_logits(reference, replace(variant("vit_tiny_patch16_224"), **changes, **ours))


@pytest.mark.parametrize(
    "name",
    ["vit_tiny_patch16_224", "vit_tiny_r_s16_p8_224", "vit_small_r26_s32_224", "deit_tiny_distilled_patch16_224"],
)
def test_timm_serves_a_package_of_ours(timm: Any, tmp_path: Path, name: str):
    config = replace(variant(name), depth=1, num_classes=5, img_size=(64, 96))
    torch.manual_seed(0)
    ours = VisionTransformer(config).eval().requires_grad_(False)
    for parameter in ours.parameters():
        parameter.normal_(std=0.1)
    labels = tuple("abcde")
    save_package(
        tmp_path,
        ModelPackage(
            name=f"{name}.ours",
            architecture=name,
            network=ours,
            labels=labels,
            preprocess=PreprocessSpec(64, 96),
            sha256=None,
        ),
    )
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(theirs(x), ours(x), atol=1e-4, rtol=1e-4)


def test_every_variant_of_timms_name_has_timms_parameters(timm: Any):
    """Names and shapes, without memory: timm's own constructor on the meta device."""
    names = [name for name in VARIANTS if name in timm.list_models(name)]
    assert len(names) == len(VARIANTS) - 5  # all but ours
    for name in names:
        with torch.device("meta"):
            theirs = timm.create_model(name, num_classes=1000, depth=1)
            ours = VisionTransformer(replace(variant(name), depth=1))
        shapes = [{key: value.shape for key, value in network.state_dict().items()} for network in (ours, theirs)]
        assert shapes[0] == shapes[1], name
