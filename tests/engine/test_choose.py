"""Owns the tests of engine/choose.py, through bootstrap."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from app.errors import DeviceError, PackageError, UnknownVariant
from tests.engine.opening import Maker, start

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "openvino", "device": "cuda"}, "OpenVINO runs on the CPU"),
        ({"engine": "openvino", "device": "cuda:3"}, "OpenVINO runs on the CPU"),
        ({"engine": "openvino", "precision": "float16"}, "in float32, bfloat16 or int8"),
        ({"engine": "torch", "precision": "int8"}, "int8 is computed by OpenVINO, on a CPU"),
        ({"device": "cuda", "precision": "int8"}, "int8 is computed by OpenVINO, on a CPU"),
        ({"engine": "torch", "precision": "float16"}, "float16 is for GPUs"),
        ({"precision": "float16"}, "float16 is for GPUs"),
        ({"device": "cuda:31"}, "'cuda:31' was asked for"),
    ],
)
@pytest.mark.parametrize("carries", ["bare", "built"])
def test_what_no_engine_can_do_is_refused_at_once(
    carries: str, settings: dict[str, Any], message: str, cache: Path, maker: Maker, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(DeviceError, match=message):
        start(request.getfixturevalue(carries), cache, **settings)
    assert maker.made() == []


def test_torch_that_was_asked_for_exports_nothing(bare: Path, cache: Path, maker: Maker) -> None:
    info = start(bare, cache, engine="torch").info
    assert (info.engine, info.engine_reason, info.candidates) == ("torch", "it was asked for", ())
    assert maker.made() == []
    assert not cache.exists()


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize("settings", [{"engine": "torch"}, {"device": "cuda"}, {"precision": "float16"}])
def test_where_only_torch_will_do_and_is_not_installed_it_says_so(
    built: Path, cache: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(DeviceError, match="torch is not installed"):
        start(built, cache, **settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU, and torch takes it")
def test_where_a_gpu_might_be_torch_looks_and_openvino_serves_if_there_is_none(
    built: Path, cache: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr("app.engine.choose._may_have_gpu", lambda: not looked.append("once"))  # type: ignore[func-returns-value]
    assert start(built, cache, device="auto").info.engine == "openvino"
    assert looked == ["once"]
    start(built, cache, device="cpu")
    start(built, cache, device="auto", engine="openvino")
    assert looked == ["once"]


@pytest.mark.gpu
def test_a_gpu_is_torchs(built: Path, cache: Path, maker: Maker) -> None:
    info = start(built, cache, device="auto").info
    assert (info.engine, info.device) == ("torch", "cuda:0")
    assert maker.made() == []


def test_the_format_in_which_torch_won_is_the_one_it_runs_in(bare: Path, cache: Path, maker: Maker) -> None:
    maker.torch_factor = 1e6
    for precision in ("float32", "bfloat16"):
        info = start(bare, cache, precision=precision).info
        assert (info.engine, info.precision, info.device) == ("torch", precision, "cpu")
        assert info.candidates


@pytest.mark.parametrize("name", ["/nowhere/at/all", "random:none", "nonsense"])
def test_what_is_no_model_is_said_before_any_child_is_started(name: str, cache: Path, maker: Maker) -> None:
    with pytest.raises((PackageError, UnknownVariant)):
        start(name, cache)
    assert maker.made() == []


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize("engine", ["auto", "openvino", "torch"])
def test_noop_needs_no_torch(cache: Path, maker: Maker, engine: str) -> None:
    found = start("noop", cache, engine=engine)
    assert (found.info.engine, found.info.parameters, found.info.lanes) == ("noop", 0, 2)
    assert (found.scores == found.scores[0]).all()
    assert found.scores[0].argmax() == 999
    assert maker.made() == []


def test_noop_is_served_without_importing_any_engine(cache: Path) -> None:
    code = (
        "import asyncio, sys\nfrom app.bootstrap import open_classifier\nfrom app.settings import Settings\n"
        "async def run():\n async with open_classifier(Settings(model='noop')) as served: await served.ready()\n"
        "asyncio.run(run())\nassert not {'torch', 'openvino'} & sys.modules.keys()"
    )
    environment = {**os.environ, "VIT_CACHE_DIR": str(cache)}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, timeout=50)
