"""Owns the choice of an engine for a model: where it can run, what is fastest there; runs no requests.

A GPU is torch's. On a CPU OpenVINO and torch are measured once, and what wins among those that agree is remembered.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Final

from app.checkpoints.located import NOOP, locate
from app.domain import PreprocessSpec
from app.engine.client import Runner
from app.engine.make import torch_is_installed
from app.engine.opened import Opened, Wish
from app.engine.runners.noop import CLASSES, NoopRunner
from app.errors import DeviceError, ExportFailed
from app.graphs.folder import Pixels
from app.package.description import PackageDescription

logger = logging.getLogger(__name__)
_GPUS: Final = ("nvidia0", "dxg")  # in /dev, the latter in Windows' Linux


def open_model(name: str, wish: Wish) -> Opened:
    """A model that is ready to run. Raises SetupError where it cannot be had as it was asked for."""
    only_torch = wish.device.startswith("cuda") or wish.precision == "float16"
    if only_torch and wish.engine == "openvino":
        raise DeviceError("OpenVINO runs on the CPU here, in float32, bfloat16 or int8")
    if wish.precision == "int8":
        if only_torch or wish.engine == "torch":
            raise DeviceError("int8 is computed by OpenVINO, on a CPU")
        wish = replace(wish, engine="openvino")
    if only_torch:
        return _open_torch(name, wish)
    if name == NOOP:
        return _open_noop(wish)
    reason = "it was asked for" if wish.engine == "torch" else None
    if wish.engine == "auto" and wish.device == "auto" and _may_have_gpu():
        opened = _open_torch(name, wish)
        if opened.device != "cpu":
            return opened
    if wish.engine != "torch":
        from app.engine.open_openvino import open_openvino

        try:
            result = open_openvino(locate(name), wish)
        except ExportFailed as error:
            if wish.engine == "openvino":
                raise
            logger.warning("%s runs in torch: %s", name, error)
            reason = str(error)
        else:
            if isinstance(result, Opened):
                return result
            opened = _open_torch(name, replace(wish, device="cpu", precision=result.best.precision))
            return replace(opened, candidates=result.candidates)
    return replace(_open_torch(name, wish), reason=reason)


def _may_have_gpu() -> bool:
    """Whether torch is worth its seconds and memory to look for a GPU."""
    return torch_is_installed() and any((Path("/dev") / name).exists() for name in _GPUS)


def _open_torch(name: str, wish: Wish) -> Opened:
    if not torch_is_installed():
        raise DeviceError("torch is not installed here; this needs it")
    from app.engine.open_torch import open_torch  # seconds, and 200 MB

    return open_torch(name, wish)


def _open_noop(wish: Wish) -> Opened:
    batch_size = wish.batch_size(on_gpu=False)

    def runners(pixels: Pixels) -> list[Runner]:
        return [NoopRunner(batch_size) for _ in range(wish.lanes)]

    description = PackageDescription(
        name=NOOP,
        architecture=NOOP,
        labels=tuple(f"class_{i}" for i in range(CLASSES)),
        preprocess=PreprocessSpec(),
        sha256=None,
        notice="noop: no forward pass was made, the answer is always the same",
    )
    return Opened(description, 0, "noop", "cpu", "float32", batch_size, runners)
