"""Owns the outputs of the model and how they are written, as JSON and in binary; does not compute logits."""

import json
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.api.protocols.oip_request import InferRequest, Wanted
from app.domain import Logits, ModelInfo
from app.errors import MalformedRequest
from app.graphs.scores import scores_of

OUTPUTS: Final = ("probabilities", "logits")
_PIECE: Final = 2000  # elements that are written as JSON at a time: half a millisecond


class Output(NamedTuple):
    """One output: float32 numbers (n, classes), or n times k elements of BYTES."""

    name: str
    shape: tuple[int, ...]
    data: NDArray[np.float32] | list[bytes]
    binary: bool

    @property
    def datatype(self) -> str:
        """As the protocol names it."""
        return "BYTES" if isinstance(self.data, list) else "FP32"

    def raw(self) -> bytes:
        """The elements in binary."""
        if isinstance(self.data, list):
            return b"".join(struct.pack("<I", len(each)) + each for each in self.data)
        return self.data.astype("<f4", copy=False).tobytes()


def wanted_outputs(asked: InferRequest) -> list[Wanted]:
    """What is asked for, or all. Raises MalformedRequest for what there is not."""
    wanted = asked.outputs or [Wanted(name, binary=asked.binary) for name in OUTPUTS]
    for each in wanted:
        if each.name not in OUTPUTS:
            raise MalformedRequest(f"there is no output {each.name[:40]!r}; there are {', '.join(OUTPUTS)}")
    if len({each.name for each in wanted}) < len(wanted):
        raise MalformedRequest("an output is asked for twice")
    return wanted


def outputs_of(answers: Sequence[Logits], wanted: Sequence[Wanted], info: ModelInfo) -> list[Output]:
    """The outputs for the images of one request, in order."""
    logits = np.array([each.values for each in answers], np.float32)
    return [
        _output(scores_of(logits, info.scoring) if each.name == OUTPUTS[0] else logits, each, info) for each in wanted
    ]


def _output(values: NDArray[np.float32], wanted: Wanted, info: ModelInfo) -> Output:
    if not wanted.classes:
        return Output(wanted.name, values.shape, values, wanted.binary)
    classes = min(wanted.classes, values.shape[1])
    best = np.argsort(-values, axis=1, kind="stable")[:, :classes]
    data = [
        f"{values[row, index]:f}:{index}:{info.labels[index]}".encode()
        for row, each in enumerate(best)
        for index in each
    ]
    return Output(wanted.name, best.shape, data, wanted.binary)


def write(head: dict[str, Any], outputs: Sequence[Output]) -> tuple[bytes, int | None]:
    """The body of an answer, and how much of it is JSON where binary tensors follow."""
    described, raws = list[str](), list[bytes]()
    for output in outputs:
        what: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": output.shape}
        if output.binary:
            raws.append(output.raw())
            described.append(json.dumps({**what, "parameters": {"binary_data_size": len(raws[-1])}}))
        else:
            described.append(json.dumps(what)[:-1] + f', "data": [{", ".join(_texts(output))}]}}')
    text = (json.dumps(head)[:-1] + f', "outputs": [{", ".join(described)}]}}').encode()
    return b"".join([text, *raws]), len(text) if raws else None


def _texts(output: Output) -> Iterator[str]:
    """The elements as JSON, in pieces; numbers in as many digits as float32 has."""
    if isinstance(output.data, list):
        elements = iter(output.data)
        while piece := list(islice(elements, _PIECE)):
            yield json.dumps([each.decode() for each in piece])[1:-1]
        return
    flat = output.data.ravel()
    for at in range(0, flat.size, _PIECE):
        yield ", ".join([f"{number:.9g}" for number in flat[at : at + _PIECE].tolist()])
