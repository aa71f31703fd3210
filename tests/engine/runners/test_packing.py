"""Owns the tests of engine/runners/packing.py."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from app.domain import PreprocessSpec
from app.engine.runners.packing import pack_weights
from app.model.fold import fold_normalisation
from app.model.precision import computes_in_bfloat16
from app.model.variants import variant
from app.model.vit import VisionTransformer

NATIVE = computes_in_bfloat16(torch.device("cpu"))
BODIES: list[dict[str, Any]] = [
    {},
    {"stem_widths": (8, 24), "patch_size": 4, "mirror": True},
    {"backbone_layers": (1,), "patch_size": 2},
    {"distilled": True, "qkv_bias": False},
    {"position": "relative", "representation_size": 48},
    {"depth": 1},
]


def network(**changes: Any) -> VisionTransformer:
    torch.manual_seed(3)
    net = (
        VisionTransformer(replace(variant("vit_pico_patch4_32"), **{"depth": 2, **changes}))
        .eval()
        .requires_grad_(False)
    )
    net.init_weights()
    for name, parameter in net.named_parameters():
        if name.startswith("head"):
            nn.init.normal_(parameter)
    fold_normalisation(net, PreprocessSpec(32, 32))
    return net


def pixels(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(0, 256, (count, 32, 32, 3), generator=generator).permute(0, 3, 1, 2) - 128.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("changes", BODIES, ids=str)
def test_packed_weights_give_the_same_answers(changes: dict[str, Any], dtype: torch.dtype) -> None:
    net = network(**changes).to(dtype)
    packed = copy.deepcopy(net)
    pack_weights(packed, dtype)
    left: dict[Any, int] = {nn.Conv2d: 0, nn.Linear: 1} if dtype == torch.bfloat16 else {nn.Conv2d: 0}
    if dtype == torch.float32 or NATIVE:
        for kind, count in left.items():
            assert sum(type(module).forward is kind.forward for module in packed.modules()) == count
    with torch.inference_mode():
        for count in (1, 3, 8):
            expected = net(pixels(count).to(dtype))
            assert expected.std() > 0.1
            torch.testing.assert_close(packed(pixels(count).to(dtype)), expected, atol=0.02, rtol=0)


def test_convolutions_that_pad_by_themselves_are_left() -> None:
    net = network(backbone_layers=(1,), patch_size=2)
    before = [type(module) for module in net.patch_embed.backbone.modules()]
    pack_weights(net, torch.float32)
    assert [type(module) for module in net.patch_embed.backbone.modules()] == before


def test_nothing_is_packed_without_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    monkeypatch.setattr("app.engine.runners.packing.computes_in_bfloat16", lambda device: False)
    pack_weights(net, torch.bfloat16)
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    pack_weights(net, torch.float32)
    assert isinstance(net.patch_embed.proj, nn.Conv2d)
