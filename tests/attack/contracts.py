"""Owns attacks through the contracts of other servers: what in them may be a lie or without end; does not judge."""

import asyncio
import base64
import itertools
import json
import struct
import time
from contextlib import suppress
from functools import cache
from typing import Any, Final

from tests.attack.registry import Target, attack, hammer
from tests.attack.report import Report
from tests.attack.wire import HOST, request

MODEL: Final = "m"  # an alias of what is attacked
_MOST: Final = 16 * 2**20 - 1024
_LITTLE: Final = 64 * 1024 - 512  # just below what threads are for
_INFER: Final = b"/v2/models/m/infer"
_PREDICT: Final = b"/v1/models/m:predict"
_JSON: Final = b"Content-Type: application/json"
_JPEG: Final = b"\xff\xd8\xff"
_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"


def _post(path: bytes, body: bytes, *fields: bytes) -> bytes:
    return request(b"POST " + path + b" HTTP/1.1", body, _JSON, *fields)


def _infer(shape: Any, data: Any, name: str = "image", datatype: str = "BYTES", **more: Any) -> bytes:
    tensor = {"name": name, "datatype": datatype, "shape": shape, "data": data}
    return _post(_INFER, json.dumps({"inputs": [tensor], **more}).encode())


def _binary(shape: Any, raw: bytes, size: Any = None, more: int = 0) -> bytes:
    parameters = {"binary_data_size": len(raw) if size is None else size}
    tensor = {"name": "image", "datatype": "BYTES", "shape": shape, "parameters": parameters}
    head = json.dumps({"inputs": [tensor]}).encode()
    return _post(_INFER, head + raw, b"Inference-Header-Content-Length: %d" % (len(head) + more))


def tensors(photograph: bytes) -> tuple[bytes, ...]:
    """Shapes, sizes and lengths that are not those of what follows, and as much answer as there is."""
    text, element = base64.b64encode(photograph).decode(), struct.pack("<I", len(photograph)) + photograph
    all_classes = [{"name": name, "parameters": {"classification": 2**62}} for name in ("logits", "probabilities")]
    pixels, values = [1, 224, 224, 3], [1, 3, 224, 224]
    return (
        *(_infer(shape, [text]) for shape in ([2**62, 2**62], [-1], [], [True], [float("inf")], [2**31 - 1])),
        *(_binary([1], element, size) for size in (-1, 2**62, True, 10**4000, len(element) - 1)),
        *(_binary([1], element, more=more) for more in (-1, 1, 10**9)),
        *(_binary([32], raw) for raw in (b"\xff" * 4, bytes(128), bytes(4 * 10**6))),
        *(_infer([1], [text], outputs=all_classes) for _ in range(2)),
        _infer([32], [text] * 32, outputs=all_classes),
        _infer([1], [1] * 5000),
        _infer(pixels, [1] * 150_528, "pixels", "UINT8"),
        _infer(values, [0.1] * 150_528, "pixel_values", "FP32"),
        _infer(values, [10**400] * 5000, "pixel_values", "FP32"),
        _infer(values, [[0.1]] * 150_527 + [{}], "pixel_values", "FP32"),
        _infer([1], [text], parameters={"timeout": "\ud800"}),
        _infer([1], [text], id="\ud800" * 3),
    )


@cache
def texts() -> tuple[bytes, ...]:
    """Documents of many small parts, just below what threads are for and as long as may be; images that are none."""
    parts = (b'"",', b"[],", b"{},", b'{"":0},', b"0,", b'"' + b'\\"' * 40 + b'",', b"[[1],")
    doors = ((_INFER, b'{"inputs":['), (_PREDICT, b'{"instances":['), (b"/", b'{"inputs":['))
    bodies = [
        (path, start + part * (size // len(part)) + b"0]}")
        for (path, start), part, size in itertools.product(doors, parts, (_LITTLE, _MOST))
    ]
    pictures = [(path, _JPEG + part * (_MOST // len(part))) for path, _ in doors for part in (b'"",', b"[]")]
    deep = [(path, start + b"[" * _LITTLE) for path, start in doors]
    return tuple(_post(path, body) for path, body in (*bodies, *pictures, *deep))


def long_paths() -> tuple[bytes, ...]:
    """What the routes' patterns are to go back and forth in."""
    parts = (b"a", b"/", b"/versions/", b"/versions/1/infer", b":predict", b"%2F", b"%00", b"%ED%A0%80")
    starts = (b"/v2/models/", b"/v1/models/", b"/models/", b"/predictions/")
    return tuple(_post(start + part * (8000 // len(part)), b"abc") for start in starts for part in parts)


def messages() -> tuple[bytes, ...]:
    """For gRPC: tiny fields, as many as the event loop reads by itself, and very many."""
    return tuple(
        field * (size // len(field)) for size in (4096, 10**6) for field in (b"\x2a\0", b"\x3a\0", b"\x2a\2\x2a\0")
    )


@attack("tensors that lie")
async def lies(target: Target, report: Report) -> None:
    """Each in turn, of the Open Inference Protocol."""
    await hammer(target, report, tensors(target.photograph), clients=4, per_s=40)


@attack("JSON of others, of many parts", texts)
async def many_parts(target: Target, report: Report) -> None:
    """Strings, lists and objects without end, and JSON that begins as a JPEG does."""
    await hammer(target, report, texts(), clients=4, per_s=12)


@attack("paths of 8 kB to models")
async def paths(target: Target, report: Report) -> None:
    """Names that might be versions, and versions that might be names."""
    await hammer(target, report, long_paths(), clients=4, per_s=40)


@attack("calls by gRPC that say nothing, or leave")
async def calls(target: Target, report: Report) -> None:
    """A hundred that send no message, and a few at a time that do and are cancelled, or are answered."""
    import grpc.aio

    until, small = time.monotonic() + target.seconds, itertools.cycle(messages())
    async with grpc.aio.insecure_channel(f"{HOST}:{target.grpc_port}") as channel:
        silent = [channel.stream_unary(_METHOD)() for _ in range(100)]
        for number in itertools.count():
            if time.monotonic() > until:
                break
            call = channel.unary_unary(_METHOD)(next(small), timeout=1)
            if number % 2:
                asyncio.get_running_loop().call_later(0.01, call.cancel)
            with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
                await call
            report.fates[str(await call.code())] += 1
            for each in silent[:: 1 + number % 7]:
                each.cancel()
