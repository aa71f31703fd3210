"""Owns the tests of what is sent by each contract."""

import base64
import email
import json
import struct

import pytest

from app.load.contracts import APIS, Asking, path_of, requests_of
from app.load.target import target_of

JPEG = b"\xff\xd8\xff\xe0 and \r\n\r\n so on"


def sent(asking: Asking) -> tuple[dict[str, str], bytes]:
    [request] = requests_of(target_of("http://h/x"), asking, [JPEG])
    head, _, body = request.partition(b"\r\n\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ") for line in head.decode().split("\r\n")[1:])}
    assert int(headers["content-length"]) == len(body)
    return headers, body


@pytest.mark.parametrize(
    ("api", "path"),
    [
        ("vit", "/v1/classify"),
        ("oip", "/v2/models/m/infer"),
        ("oip-json", "/v2/models/m/infer"),
        ("torchserve", "/predictions/m"),
        ("litserve", "/predict"),
        ("huggingface", "/"),
        ("multipart", "/v1/classify"),
    ],
)
def test_every_contract_has_its_path(api: str, path: str):
    assert path_of(Asking(api, "m")) == path
    assert api in APIS


@pytest.mark.parametrize("api", ["vit", "torchserve", "huggingface"])
def test_the_picture_as_it_is(api: str):
    headers, body = sent(Asking(api))
    assert body == JPEG
    assert headers["content-type"] == "image/jpeg"
    assert "x-request-timeout-ms" not in headers


def test_vit_serve_alone_is_told_the_deadline():
    assert sent(Asking("vit", deadline_ms=250.0))[0]["x-request-timeout-ms"] == "250"
    assert "x-request-timeout-ms" not in sent(Asking("torchserve", deadline_ms=250.0))[0]


@pytest.mark.parametrize(("field", "name"), [(None, "image_bytes"), ("image", "image")])
def test_litserve(field: str | None, name: str):
    headers, body = sent(Asking("litserve", field=field))
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {name: base64.b64encode(JPEG).decode()}


@pytest.mark.parametrize(
    ("field", "name", "shape"), [(None, "image", [1]), ("raw", "raw", [1]), ("raw:1,1", "raw", [1, 1])]
)
def test_the_open_inference_protocol(field: str | None, name: str, shape: list[int]):
    _, body = sent(Asking("oip-json", field=field))
    [tensor] = json.loads(body)["inputs"]
    assert base64.b64decode(tensor["data"][0]) == JPEG
    headers, body = sent(Asking("oip", field=field))
    head = int(headers["inference-header-content-length"])
    [binary] = json.loads(body[:head])["inputs"]
    assert body[head:] == struct.pack("<I", len(JPEG)) + JPEG
    assert binary["parameters"] == {"binary_data_size": len(JPEG) + 4}
    for each in (tensor, binary):
        assert (each["name"], each["datatype"], each["shape"]) == (name, "BYTES", shape)


def test_a_form():
    headers, body = sent(Asking("multipart", field="picture"))
    form = email.message_from_bytes(f"Content-Type: {headers['content-type']}\r\n\r\n".encode() + body)
    _, part = form.walk()
    assert part.get_param("name", header="content-disposition") == "picture"
    assert part.get_payload(decode=True) == JPEG
