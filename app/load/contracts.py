"""Owns how a picture is asked about by each contract: path, type and body; does not know answers."""

import base64
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

if TYPE_CHECKING:
    from app.load.target import Target

APIS: Final = ("vit", "oip", "oip-json", "torchserve", "litserve", "huggingface", "multipart")
_TIMEOUT: Final = "X-Request-Timeout-Ms"
_SIGNATURES: Final = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"GIF8": "image/gif"}
Body = tuple[list[tuple[str, str]], bytes]  # headers and bytes


@dataclass(frozen=True, slots=True)
class Asking:
    """Which contract, and what servers differ in. `model`, where the path names one; `field`, where the body does.

    `deadline_ms`, which only vit-serve heeds, is sent to it.
    """

    api: str = "vit"
    model: str = "vit"
    field: str | None = None
    deadline_ms: float | None = None


def path_of(asking: Asking) -> str:
    """Where that contract takes pictures."""
    return {
        "vit": "/v1/classify",
        "oip": f"/v2/models/{asking.model}/infer",
        "oip-json": f"/v2/models/{asking.model}/infer",
        "torchserve": f"/predictions/{asking.model}",
        "litserve": "/predict",
        "huggingface": "/",
        "multipart": "/v1/classify",
    }[asking.api]


def requests_of(target: "Target", asking: Asking, pictures: Sequence[bytes]) -> list[bytes]:
    """A whole HTTP request for each."""
    make = _BODIES.get(asking.api, _raw)
    extra = []
    if asking.api == "vit" and asking.deadline_ms is not None:
        extra.append((_TIMEOUT, f"{asking.deadline_ms:g}"))
    made = [make(picture, asking.field) for picture in pictures]
    return [target.request("POST", [*headers, *extra], body) for headers, body in made]


def _raw(picture: bytes, _: str | None) -> Body:
    return [("Content-Type", _type(picture))], picture


def _litserve(picture: bytes, field: str | None) -> Body:
    text = json.dumps({field or "image_bytes": base64.b64encode(picture).decode()})
    return [("Content-Type", "application/json")], text.encode()


def _oip_json(picture: bytes, field: str | None) -> Body:
    data, parameters = [base64.b64encode(picture).decode()], {"content_type": "base64"}
    text = json.dumps({"inputs": [{**_tensor(field), "data": data, "parameters": parameters}]})
    return [("Content-Type", "application/json")], text.encode()


def _oip(picture: bytes, field: str | None) -> Body:
    data = struct.pack("<I", len(picture)) + picture
    head = json.dumps({"inputs": [{**_tensor(field), "parameters": {"binary_data_size": len(data)}}]}).encode()
    lengths = [("Content-Type", "application/octet-stream"), ("Inference-Header-Content-Length", str(len(head)))]
    return lengths, head + data


def _tensor(field: str | None) -> dict[str, object]:
    """`field` is the input's name, and after a colon its shape where that is not one of a single dimension."""
    name, _, shape = (field or "image").partition(":")
    return {"name": name, "datatype": "BYTES", "shape": [int(each) for each in shape.split(",")] if shape else [1]}


def _multipart(picture: bytes, field: str | None) -> Body:
    mark = uuid4().hex
    disposition = f'Content-Disposition: form-data; name="{field or "file"}"; filename="picture"'
    head = f"--{mark}\r\n{disposition}\r\nContent-Type: {_type(picture)}\r\n\r\n"
    return [("Content-Type", f"multipart/form-data; boundary={mark}")], b"".join(
        (head.encode(), picture, f"\r\n--{mark}--\r\n".encode())
    )


def _type(picture: bytes) -> str:
    return next((name for mark, name in _SIGNATURES.items() if picture.startswith(mark)), "application/octet-stream")


_BODIES: Final[dict[str, Callable[[bytes, str | None], Body]]] = {
    "litserve": _litserve,
    "oip": _oip,
    "oip-json": _oip_json,
    "multipart": _multipart,
}
