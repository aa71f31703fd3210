import base64
import json
import time
import tracemalloc
from collections.abc import Sequence

import pytest
from starlette.requests import Request

from app.api.body import Images, read_images
from app.errors import EmptyBody, MalformedRequest, RequestError, TooManyImages
from tests.api.conftest import body_of

JSON, FORM = "application/json", "multipart/form-data; boundary=x"
CAT = b"not really a cat"
TEXT = base64.b64encode(CAT).decode()


async def read(body: bytes, content_type: str = JSON, max_images: int = 4) -> Images:
    headers = [(b"content-type", content_type.encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, body_of(body))
    return await read_images(request, max_images, timeout_s=10)


def field(name: str, content: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), content)


@pytest.mark.parametrize(
    ("body", "content_type", "expected", "many"),
    [
        (CAT, "image/png", [CAT], False),
        (b"--x but no form", "image/png", [b"--x but no form"], False),
        (b"\xff\xd8\xff raw, called JSON", JSON, [b"\xff\xd8\xff raw, called JSON"], False),
        (b"\xff\xd8 raw in a form's clothes", FORM, [b"\xff\xd8 raw in a form's clothes"], False),
        (field("image", CAT) + b"--x--", FORM, [CAT], False),
        (field("a", b"1") + field("image", CAT) + field("b", b"2") + b"--x--", FORM, [CAT], False),
        (field("image", CAT) + field("image", b"") + b"--x--", FORM, [CAT, b""], True),
        (field("image", b"\x80\xff") + b"--x--", FORM + "; charset=utf-16", [b"\x80\xff"], False),
        (json.dumps({"image": TEXT}).encode(), JSON, [CAT], False),
        (json.dumps({"image": TEXT}).encode(), "application/vnd.api+json; charset=utf-8", [CAT], False),
        (b" \n" + json.dumps({"image": TEXT}).encode(), "application/x-www-form-urlencoded", [CAT], False),
        (json.dumps({"image": f"data:image/png;base64,{TEXT}"}).encode(), JSON, [CAT], False),
        (json.dumps({"image": "\r\n ".join(TEXT)}).encode(), JSON, [CAT], False),
        (json.dumps({"images": [TEXT]}).encode(), JSON, [CAT], True),
        (json.dumps({"image": TEXT}).encode("utf-8-sig"), JSON, [CAT], False),
        (json.dumps({"image": TEXT}).encode("utf-16"), JSON, [CAT], False),
        (json.dumps({"image": TEXT}).encode("utf-32"), JSON, [CAT], False),
        (f'{{"image": 1, "image": "{TEXT}", "more": NaN}}'.encode(), JSON, [CAT], False),
    ],
)
async def test_envelopes(body: bytes, content_type: str, expected: Sequence[bytes], many: bool) -> None:
    assert await read(body, content_type) == Images(list(expected), many)


async def test_what_is_kept_of_a_form_are_its_images() -> None:
    headers = [(b"content-type", FORM.encode())]
    chunks = [field("image", bytes(2**20)), b"--x--"]
    request = Request({"type": "http", "method": "POST", "headers": headers}, body_of(*chunks))
    del chunks
    tracemalloc.start()
    images = await read_images(request, 4, timeout_s=10)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(images.items) == 1
    assert 2**20 <= kept < 1.5 * 2**20


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (b"", JSON, EmptyBody),
        (b"null", JSON, MalformedRequest),
        (b"NaN", JSON, MalformedRequest),
        (b"1" * 5000, JSON, MalformedRequest),
        (b'{"image": 1e999}', JSON, MalformedRequest),
        (b'{"image": null}', JSON, MalformedRequest),
        (b'{"image": "\\ud800"}', JSON, MalformedRequest),
        (b'{"image": "aGk"}', JSON, MalformedRequest),
        (b'{"image": "aGk=="}', JSON, MalformedRequest),
        (b'{"image": "\xff"}', JSON, MalformedRequest),
        (b'{"images": {"0": "aGk="}}', JSON, MalformedRequest),
        (b'{"picture": "aGk="}', JSON, MalformedRequest),
        (b'{"images": []}', JSON, EmptyBody),
        (b"--x--", FORM, MalformedRequest),
        (field("file", CAT) + b"--x--", FORM, MalformedRequest),
        (field("file", CAT) + b"--x--", FORM + "; charset=punycode", MalformedRequest),
        (field("image", CAT) * 5 + b"--x--", FORM, TooManyImages),
        (field("image", CAT) * 5000 + b"--x--", FORM, TooManyImages),
        (json.dumps({"images": [TEXT] * 5}).encode(), JSON, TooManyImages),
        (json.dumps({"images": [TEXT] * 5000}).encode(), JSON, TooManyImages),
    ],
)
async def test_refusals(body: bytes, content_type: str, error: type[RequestError]) -> None:
    with pytest.raises(error):
        await read(body, content_type)


async def test_one_bad_image_of_several_stays_in_its_place() -> None:
    images = await read(json.dumps({"images": [TEXT, 7, TEXT, "§"]}).encode())
    assert images.many
    assert [type(item) for item in images.items] == [bytes, MalformedRequest, bytes, MalformedRequest]


MEGABYTE = 2**20


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"images":[' + b"{}," * (5 * MEGABYTE) + b"{}]}", JSON),  # 400 MB of objects, if it were parsed
        (b'{"a":' * (3 * MEGABYTE), JSON),
        (b'{"image":' + b"1" * (16 * MEGABYTE) + b"}", JSON),
        (json.dumps({"image": "a " * (8 * MEGABYTE) + "!"}).encode(), JSON),
        (b"--x\r\n" + b"\r\n--" * (4 * MEGABYTE), FORM),
        (b"--x\r\n\r\n" + b"\r\n--xX" * (2 * MEGABYTE), FORM),
        (b"--x\r\n\r\n\r\n" * MEGABYTE, FORM),
        (field("other", b"") * (MEGABYTE // 4), FORM),
    ],
    ids=range(8),
)
async def test_hostile_megabytes_are_refused_at_once(body: bytes, content_type: str) -> None:
    started_at = time.process_time()
    with pytest.raises((MalformedRequest, TooManyImages)):
        await read(body, content_type)
    assert time.process_time() - started_at < 1  # it takes milliseconds; a careless parser takes many seconds


async def test_a_document_of_too_many_values_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(body: bytes) -> None:
        raise AssertionError("it was parsed")

    monkeypatch.setattr("app.api.body.json.loads", loads)
    with pytest.raises(TooManyImages):
        await read(b'{"images":[' + b"{}," * 1000 + b"{}]}")
