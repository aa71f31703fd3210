"""Owns the tests of engine/runners/packing.py."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from app.domain import PreprocessSpec
from app.engine.runners.packing import pack_weights
from app.network.fold import fold_normalisation
from app.network.precision import computes_in_bfloat16
from app.network.vit import VisionTransformer
from app.package.variants import variant

CPU = torch.device("cpu")
NEEDS_BFLOAT16 = pytest.mark.skipif(not computes_in_bfloat16(CPU), reason="this CPU does not compute in bfloat16")
ATOL = {torch.float32: 1e-4, torch.bfloat16: 0.02}
BODIES: list[dict[str, Any]] = [
    {},
    {"stem_widths": (8, 24), "patch_size": 4, "mirror": True},
    {"backbone_layers": (1,), "patch_size": 2},
    {"lite_stages": 7, "patch_size": 1},
    {"lite_stages": 3, "patch_size": 2, "img_size": (33, 39)},
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


def pixels(count: int, size: tuple[int, int] = (32, 32)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(0, 256, (count, *size, 3), generator=generator).permute(0, 3, 1, 2) - 128.0


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=NEEDS_BFLOAT16)])
@pytest.mark.parametrize("changes", BODIES, ids=str)
def test_packed_weights_give_the_same_answers(changes: dict[str, Any], dtype: torch.dtype) -> None:
    net = network(**changes).to(dtype)
    packed = copy.deepcopy(net)
    pack_weights(packed, CPU, dtype)
    with torch.inference_mode():
        for count in (1, 3, 8):
            x = pixels(count, net.config.img_size).to(dtype)
            expected = net(x)
            assert expected.std() > 0.1
            torch.testing.assert_close(packed(x), expected, atol=ATOL[dtype], rtol=0)


@NEEDS_BFLOAT16
@pytest.mark.parametrize("changes", BODIES, ids=str)
def test_only_what_is_taken_apart_keeps_its_weights(changes: dict[str, Any]) -> None:
    net = network(**changes).bfloat16()
    pack_weights(net, CPU, torch.bfloat16)
    left = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    assert left == [f"blocks.{net.config.depth - 1}.attn.qkv"]
    packed = (net.patch_embed.backbone,) if net.config.lite_stages else (net.patch_embed.stem,)
    assert not any(isinstance(module, nn.Conv2d) for part in packed for module in part.modules())


@NEEDS_BFLOAT16
@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize(
    "changes", [{"stem_widths": (64, 256), "patch_size": 4}, {"lite_stages": 7, "img_size": (128, 128)}], ids=str
)
def test_no_call_reorders_packed_weights(
    changes: dict[str, Any], count: int, capfd: pytest.CaptureFixture[str]
) -> None:
    net = network(**{"patch_size": 1, **changes}).bfloat16()

    def reorders() -> int:
        with torch.inference_mode(), torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
            net(pixels(count, net.config.img_size).bfloat16())
        return sum(",reorder," in line for line in capfd.readouterr().out.splitlines())

    before = reorders()
    pack_weights(net, CPU, torch.bfloat16)
    assert before > 5
    assert reorders() <= 1  # of the patch projection


def test_nothing_is_packed_without_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(stem_widths=(8, 8), patch_size=4)
    before = [type(module) for module in net.modules()]
    pack_weights(net, torch.device("cuda"), torch.float32)
    monkeypatch.setattr("app.engine.runners.packing.computes_in_bfloat16", lambda device: False)
    pack_weights(net, CPU, torch.bfloat16)
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    pack_weights(net, CPU, torch.float32)
    assert [type(module) for module in net.modules()] == before
