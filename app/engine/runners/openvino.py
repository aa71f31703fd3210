"""Owns the forward pass in OpenVINO: slots in, best classes out; does not choose a number format or count lanes."""

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from app.domain import Scoring
from app.engine.client import Scores
from app.engine.heap import return_unused_memory
from app.engine.runners.best import best_classes
from app.errors import DeviceError, InferenceFailed, PackageError
from app.graphs.folder import Logits, Pixels
from app.graphs.library import openvino

_HINTS: Final = {"float32": "f32", "bfloat16": "bf16"}
# A graph is compiled a second time so that one image alone gets all cores: for 25 MB and the weights. Not where the
# weights are larger than this, or an image takes a core less than that.
_TWICE_BELOW_BYTES: Final = 128 * 2**20
_TWICE_ABOVE_S: Final = 0.003
_TIMED: Final = 4


@dataclass(frozen=True, slots=True)
class CPU:
    """What OpenVINO says of the processor."""

    name: str
    bfloat16: bool  # natively, and so faster


def this_cpu() -> CPU:
    """The processor of this machine."""
    core = openvino.Core()
    name, capabilities = (core.get_property("CPU", key) for key in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES"))
    return CPU(str(name), "BF16" in capabilities)


class CompiledGraph:
    """A graph as machine code, for `lanes` batches at once, which share `cores` cores. Thread-safe."""

    def __init__(self, path: Path, computes_in: str, cores: int, lanes: int) -> None:
        """`computes_in`: "float32" or "bfloat16", in an int8 graph that of the layers which were left in float.

        Raises PackageError for a file that this version of OpenVINO cannot read, DeviceError for one it cannot compile.
        """
        core = openvino.Core()
        try:
            model = core.read_model(path)
        except RuntimeError as error:
            raise PackageError(f"{path}: OpenVINO {openvino.__version__} cannot read it: {_reason(error)}") from error
        shared = {
            "INFERENCE_PRECISION_HINT": _HINTS[computes_in],
            "INFERENCE_NUM_THREADS": cores,
            "ENABLE_HYPER_THREADING": True,  # a core here is what the operating system calls so
            "ENABLE_CPU_PINNING": False,  # decoders use the same cores
        }
        try:
            self._lanes = core.compile_model(model, "CPU", {**shared, "NUM_STREAMS": lanes})
            one_core_s = self._time(model.inputs[0].partial_shape)
            small = path.with_suffix(".bin").stat().st_size < _TWICE_BELOW_BYTES
            twice = lanes > 1 and small and one_core_s > _TWICE_ABOVE_S
            alone = core.compile_model(model, "CPU", {**shared, "NUM_STREAMS": 1}) if twice else None
        except RuntimeError as error:
            raise DeviceError(f"{path}: OpenVINO cannot compile it for this CPU: {_reason(error)}") from error
        self._alone = alone.create_infer_request() if alone else None
        self._alone_lock = threading.Lock()

    def _time(self, shape: "openvino.PartialShape") -> float:
        """Seconds that a lane takes for one image."""
        request, picture = self.request(), np.zeros([1, *(each.get_length() for each in shape[1:])], np.uint8)
        took = list[float]()
        for _ in range(_TIMED):  # the first makes the kernels, and the next finds caches cold
            started_at = time.perf_counter()
            infer(request, picture)
            took.append(time.perf_counter() - started_at)
        return min(took)

    def request(self) -> "openvino.InferRequest":
        """What one lane runs its batches with."""
        return self._lanes.create_infer_request()

    def run_alone(self, request: "openvino.InferRequest", pixels: Pixels) -> Logits:
        """`infer` on all cores, where the lanes' `request` has but a share of them."""
        if self._alone is None:
            return infer(request, pixels)
        with self._alone_lock:  # as a rule nobody waits: only one lane is alone
            return infer(self._alone, pixels)


def infer(request: "openvino.InferRequest", pixels: Pixels) -> Logits:
    """uint8 (n, height, width, 3), contiguous → logits (n, classes)."""
    request.infer([openvino.Tensor(pixels, shared_memory=True)], share_inputs=True)
    logits: Logits = request.output_tensors[0].data.copy()  # the next call writes there again
    return logits


class OpenVINORunner:
    """One lane. The compiled graph is shared between lanes.

    Batches of any size run without compiling again, but each size that ever ran keeps machine code and buffers, some
    10 MB. So few sizes run: powers of two, of which any batch is made.
    """

    def __init__(self, graph: CompiledGraph, pixels: Pixels, max_batch_size: int, scoring: Scoring) -> None:
        self.max_batch_size = max_batch_size
        self._graph, self._request, self._scoring = graph, graph.request(), scoring
        self._pixels = pixels  # (slots, height, width, 3)
        self._batch = np.empty((max_batch_size, *pixels.shape[1:]), np.uint8)

    def warm_up(self) -> None:
        """Runs every batch size once, largest first, so that memory is claimed once; and one image on all cores.

        Raises InferenceFailed if what comes out are no numbers.
        """
        for size in parts((1 << self.max_batch_size.bit_length()) - 1):  # all powers of two that fit
            self.run([0] * size, [1] * size, alone=False)
        for _ in range(2):  # the first call with a size also makes its kernels
            [best] = self.run([0], [1], alone=True)
        if not math.isfinite(best.scores[0]):
            raise InferenceFailed("the network gives no finite scores, for whatever image")
        return_unused_memory()

    def run(self, slots: Sequence[int], top_ks: Sequence[int], alone: bool) -> list[Scores]:
        """The best classes of each slot, as many as `top_ks` says, 0: all logits."""
        batch = self._batch[: len(slots)]
        np.take(self._pixels, slots, axis=0, out=batch, mode="clip")  # other modes copy twice
        done, logits = 0, list[Logits]()
        for size in parts(len(slots)):
            part = batch[done : done + size]
            logits.append(self._graph.run_alone(self._request, part) if alone else infer(self._request, part))
            done += size
        return best_classes(np.concatenate(logits), self._scoring, top_ks)


def parts(size: int) -> list[int]:
    """A batch's size as powers of two, descending: 7 → 4, 2, 1."""
    return [1 << bit for bit in reversed(range(size.bit_length())) if size >> bit & 1]


def _reason(error: RuntimeError) -> str:
    """The last line: those before it say where in OpenVINO."""
    return str(error).strip().rpartition("\n")[2]
