"""Images per second of the network alone in torch, by batch size, and its share of the device's matrix rate."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest
import torch

from app.engine.runners.device import choose_device
from app.insight.summary import summarise
from app.settings import Settings
from tests.benchmark.bare_torch import as_served
from tests.benchmark.options import TINY, seconds
from tests.benchmark.report import Report

_ON_GPU: Final = ("random:vit_base_patch16_224", "random:vit_large_patch16_224")
_BATCHES_ON_GPU: Final = (1, 8, 32, 128, 256)
_ON_CPU: Final = ("embedded", TINY)
_BATCHES_ON_CPU: Final = (1, 8, 32)

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600 + 20 * seconds())]


def test_forward_pass_by_batch_size(report: Report) -> None:
    on_gpu = choose_device(Settings().device).type == "cuda"
    table = report.table("The network alone in torch, by batch size")
    for model in _ON_GPU if on_gpu else _ON_CPU:
        figures = _measure(model, _BATCHES_ON_GPU if on_gpu else _BATCHES_ON_CPU)
        for row in figures["batches"]:
            table.row(model=model, **row)
        table.note(
            f"{model} in {figures['precision']} on {figures['device']}: {figures['gmacs']:.2f} GMACs an image. Just "
            f"before, square matrices of {figures['matrix']} multiplied at {figures['matrix_rate'] / 1e12:.2f} TFLOP/s."
        )
        report.record(f"forward_{model}", figures)
        assert all(0 < row["share_of_matrix_rate"] < 1.5 for row in figures["batches"])


@torch.inference_mode()
def _measure(model: str, batches: tuple[int, ...]) -> dict[str, Any]:
    settings = Settings()
    network, spec, device, dtype = as_served(model, settings.device, settings.precision)
    macs = summarise(network.config).served_macs
    each_s = seconds() / len(batches)
    matrix = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(matrix, matrix, device=device, dtype=dtype) for _ in range(2))
    matrix_rate = 2 * matrix**3 * _calls_per_s(lambda: left @ right, device, each_s)
    rows = []
    for batch in batches:
        pixels = torch.randn(batch, spec.height, spec.width, 3, device=device, dtype=dtype)
        images = pixels.permute(0, 3, 1, 2)  # the strides that decoded pixels have
        rate = batch * _calls_per_s(partial(network, images), device, each_s)
        rows.append(
            {
                "batch": batch,
                "images__s": rate,
                "ms__batch": 1000 * batch / rate,
                "TFLOP__s": 2 * macs * rate / 1e12,
                "share_of_matrix_rate": 2 * macs * rate / matrix_rate,
            }
        )
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} cores"
    return {
        "precision": str(dtype).removeprefix("torch."),
        "device": name,
        "gmacs": macs / 1e9,
        "matrix": matrix,
        "matrix_rate": matrix_rate,
        "batches": rows,
    }


def _calls_per_s(work: Callable[[], object], device: torch.device, duration_s: float) -> float:
    """Calls one after another; a GPU is waited for after every fourth, so that it always has the next one at hand."""
    for _ in range(3):
        work()
    _wait(device)
    started_at, calls = time.monotonic(), 0
    while time.monotonic() - started_at < duration_s:
        for _ in range(4):
            work()
        calls += 4
        _wait(device)
    return calls / (time.monotonic() - started_at)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
