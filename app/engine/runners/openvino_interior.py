"""Owns features and attention by OpenVINO: slots in, numbers out; does not change graphs or choose what is asked."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from app.engine.client import Runner, Scores
from app.engine.heap import return_unused_memory
from app.engine.interior import Looks, Sight
from app.engine.nice import go_last
from app.engine.runners.openvino import parts
from app.errors import NotSupported
from app.graphs.folder import Pixels
from app.graphs.library import openvino
from app.graphs.rollout import embedding_graph, explaining_graph

_EMBEDDINGS: Final = 4  # in a batch at most
_EXPLANATIONS: Final = 2  # each has its attention in memory, of all layers
Numbers = npt.NDArray[np.float32]


class OpenVINOInterior:
    """Reads the graph that is served again, from its file, and has OpenVINO compute more of it, in float32."""

    def __init__(self, path: Path, cores: int) -> None:
        self._path, self._cores = path, cores

    def width(self) -> int:
        """Numbers in an embedding. Raises NotSupported."""
        return int(embedding_graph(self._model()).outputs[0].get_partial_shape()[1].get_length())

    def sight(self) -> Sight:
        """What can be seen of the attention. Raises NotSupported."""
        graph, found = explaining_graph(self._model())
        layers, heads = (graph.outputs[2].get_partial_shape()[axis].get_length() for axis in (1, 2))
        return Sight(found.grid, layers, heads, ("rollout", "attention"))

    def embedders(self, pixels: Pixels) -> list[Runner]:
        """One for each core."""
        graph = _Compiled(lambda: embedding_graph(self._model()), self._cores)
        return [_Embedder(graph, pixels, _EMBEDDINGS) for _ in range(self._cores)]

    def explainers(self, pixels: Pixels, looks: Looks) -> list[Runner]:
        """One."""
        sight = self.sight()
        return [_Explainer(_Compiled(lambda: explaining_graph(self._model())[0], 1), pixels, sight, looks)]

    def _model(self) -> "openvino.Model":
        if not self._path.is_file():
            raise NotSupported("the model's graph could not be kept, so that nothing more can be read of it")
        return openvino.Core().read_model(self._path)


class _Compiled:
    """A graph as machine code, for so many lanes of one core each; made by the first that needs it."""

    def __init__(self, graph: "Callable[[], openvino.Model]", lanes: int) -> None:
        self._graph, self._lanes, self._lock = graph, lanes, threading.Lock()

    @cached_property
    def _compiled(self) -> "openvino.CompiledModel":
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": self._lanes,
            "NUM_STREAMS": self._lanes,  # then who asks computes, in the priority that its thread has
            "ENABLE_CPU_PINNING": False,
        }
        return openvino.Core().compile_model(self._graph(), "CPU", options)

    def request(self) -> "openvino.InferRequest":
        with self._lock:
            return self._compiled.create_infer_request()


class _Lane(ABC):
    """Runs batches; what is said of each image is its subclass's."""

    def __init__(self, graph: _Compiled, pixels: Pixels, max_batch_size: int) -> None:
        self._graph, self._pixels, self.max_batch_size = graph, pixels, max_batch_size

    def warm_up(self) -> None:
        """Compiles the graph, unless another lane has, and runs one image."""
        go_last()
        self._request = self._graph.request()
        self._infer([0])
        return_unused_memory()

    def run(self, slots: Sequence[int], top_ks: Sequence[int], alone: bool) -> list[Scores]:
        """Numbers of each slot."""
        done, found = 0, list[Scores]()
        for size in parts(len(slots)):  # each other size would keep buffers of its own
            found += self._said(slots[done : done + size])
            done += size
        return found

    def _infer(self, slots: Sequence[int]) -> list[Numbers]:
        """All outputs, (images or twice as many, …)."""
        self._request.infer([openvino.Tensor(self._pixels[list(slots)], shared_memory=True)], share_inputs=True)
        return [each.data.copy() for each in self._request.output_tensors]

    @abstractmethod
    def _said(self, slots: Sequence[int]) -> list[Scores]:
        """Of each slot, in order."""


class _Embedder(_Lane):
    def _said(self, slots: Sequence[int]) -> list[Scores]:
        [features] = self._infer(slots)
        return [Scores(row, []) for row in features.reshape(-1, len(slots), features.shape[1]).mean(axis=0)]


class _Explainer(_Lane):
    def __init__(self, graph: _Compiled, pixels: Pixels, sight: Sight, looks: Looks) -> None:
        super().__init__(graph, pixels, _EXPLANATIONS)
        self._grid, self._looks = sight.grid, looks

    def _said(self, slots: Sequence[int]) -> list[Scores]:
        logits, rollout, attention = self._infer(slots)
        rollout, attention = (unmirrored(each, len(slots), self._grid) for each in (rollout, attention))
        found = list[Scores]()
        for number, slot in enumerate(slots):
            look = self._looks[slot]
            assert look is not None  # whoever submits says what it wants
            seen = attention[number, look.layer] if look.method == "attention" else rollout[number]
            found.append(Scores(np.concatenate([logits[number], seen.ravel()]), []))
        return found


def unmirrored(maps: Numbers, images: int, grid: tuple[int, int]) -> Numbers:
    """(images, …, patches); of a network that sees each image's mirror image too, the mean of both as one sees it."""
    if len(maps) == images:
        return maps
    as_seen, mirrored = maps.reshape(2, images, *maps.shape[1:-1], *grid)
    both: Numbers = (as_seen + mirrored[..., ::-1]) / 2
    return both.reshape(*both.shape[:-2], -1)
