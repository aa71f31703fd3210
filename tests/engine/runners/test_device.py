import pytest
import torch

from app.domain import PreprocessSpec, Scoring
from app.engine.runners import device as tested
from app.errors import DeviceError
from app.network.vit import VisionTransformer
from app.package.variants import variant

SPEC = PreprocessSpec(32, 32)
CPU = torch.device("cpu")


def network() -> VisionTransformer:
    net = VisionTransformer(variant("vit_pico_patch4_32"))
    torch.manual_seed(0)
    net.init_weights()
    return net.eval().requires_grad_(False)


def test_cpu_is_always_there() -> None:
    assert tested.choose_device("cpu") == CPU


def test_auto_takes_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert tested.choose_device("auto") == torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert tested.choose_device("auto") == CPU


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=name):
        tested.choose_device(name)


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_a_named_precision_is_taken(name: str, dtype: torch.dtype) -> None:
    cast, chosen = tested.to_precision(name, network(), SPEC, CPU, Scoring())
    assert chosen == dtype
    assert {p.dtype for p in cast.parameters()} == {dtype}


def test_float16_on_a_cpu_is_refused() -> None:
    with pytest.raises(DeviceError, match="float16"):
        tested.to_precision("float16", network(), SPEC, CPU, Scoring())


def test_auto_takes_bfloat16_where_the_answers_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert tested.to_precision("auto", network(), SPEC, CPU, Scoring())[1] == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert tested.to_precision("auto", network(), SPEC, CPU, Scoring())[1] == torch.float32


def test_auto_stays_with_float32_where_rounding_changes_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    net = network()
    # Logits of 1000 and 1001 are one and the same number in bfloat16, but not near each other after a softmax.
    net.head.weight.zero_()
    net.head.bias.copy_(torch.arange(10.0) + 1000)
    cast, chosen = tested.to_precision("auto", net, SPEC, CPU, Scoring())
    assert chosen == torch.float32
    assert cast is net
