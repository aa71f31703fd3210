"""What of an envelope is not looked at, and text that is cut where it must not be."""

import base64
import binascii
import json
import random
import time
from contextlib import suppress
from typing import Any

import pytest

from app.api.answering import Asked, Images, unpack_for_good
from app.api.base64_text import image_from_text, looks_like_text
from app.api.envelopes import unpack
from app.api.multipart import read_parts
from app.domain import Classification
from app.errors import MalformedRequest

JSON, FORM, URL_ENCODED = "application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"
PIECE = 256 * 1024
LARGE = random.Random(1).randbytes(600_000)
TEXT = base64.b64encode(LARGE).decode()


def test_a_long_content_type_is_not_searched() -> None:
    with pytest.raises(MalformedRequest, match="Content-Type"):
        unpack(b"not really a cat", "image/png;" + "a" * 1024, 4)


def test_fields_after_very_many_are_not_looked_at() -> None:
    one = b"image=aGVsbG8gd29ybGQsIGhlbGxv"
    few, many = [one + b"&a=1" * count + b"&" + one for count in (10, 100)]
    assert len(unpack(few, URL_ENCODED, 4).items) == 2
    assert len(unpack(many, URL_ENCODED, 4).items) == 1


def test_lines_after_very_many_of_a_parts_head_are_not_looked_at() -> None:
    name = b"Content-Disposition: form-data; name=image"
    for lines, found in ((10, "image"), (100, "")):
        body = b"--x\r\n" + b"a: b\r\n" * lines + name + b"\r\n\r\ncat\r\n--x--"
        assert [part.name for part in read_parts(body, FORM, 9)] == [found]


@pytest.mark.parametrize("quote", [b'"' + b"a" * 4000 + b";" * 4000, b'"' + b"\\a" * 4000, b'"' + b'\\"' * 4000])
def test_a_quote_that_never_ends_takes_linear_time_and_hides_no_name(quote: bytes) -> None:
    part = b"--x\r\nContent-Disposition: form-data; x=" + quote + b"; name=image\r\n\r\ncat\r\n"
    started_at = time.process_time()
    assert {found.name for found in read_parts(part * 96 + b"--x--", FORM, 96)} <= {"", "image"}
    assert time.process_time() - started_at < 1  # a careless pattern takes minutes


def test_what_a_quote_that_never_ends_hides_is_no_name() -> None:
    part = b'--x\r\nContent-Disposition: form-data; x="abc; name=image\r\n\r\ncat\r\n--x--'
    assert [found.name for found in read_parts(part, FORM, 9)] == [""]


@pytest.mark.parametrize(("length", "read"), [(70, True), (71, False)])
def test_a_boundary_has_its_length(length: int, read: bool) -> None:
    boundary = "x" * length
    body = f"--{boundary}\r\nContent-Disposition: form-data; name=image\r\n\r\ncat\r\n--{boundary}--".encode()
    if read:
        assert unpack(body, f"multipart/form-data; boundary={boundary}", 4).items == [b"cat"]
    else:
        with pytest.raises(MalformedRequest, match="boundary"):
            unpack(body, f"multipart/form-data; boundary={boundary}", 4)


def test_a_name_may_hold_a_quote() -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="a\\"b\\\\c"\r\n\r\ncat\r\n--x--'
    assert [found.name for found in read_parts(part, FORM, 9)] == ['a"b\\c']


@pytest.mark.parametrize("content", [b"[" * 50_000, b'{"image":' + b"[" * 50_000])
def test_depth_is_no_bug(content: bytes) -> None:
    with pytest.raises(MalformedRequest):
        unpack(content, JSON, 4)


async def never(picture: object, **how: object) -> Classification:
    raise AssertionError("nothing is classified here")


@pytest.mark.parametrize(
    "text", ['{"images": ["%s"]}', '{"images": ["%s", "*%s"]}', '{"image": "%s*"}', '{"image": "%s" 1}', "[%s"]
)
def test_a_body_is_empty_once_its_images_need_it_no_more(text: str) -> None:
    body = bytearray(text.replace("%s", TEXT).encode())
    with suppress(MalformedRequest):
        unpack_for_good(lambda body: Asked(unpack(body, JSON, 4), never), body)
    assert not body
    raw = bytearray(LARGE)
    asked = unpack_for_good(lambda body: Asked(unpack(body, "image/png", 4), never), raw)
    assert asked.images.items == [LARGE] and raw == LARGE


@pytest.mark.parametrize("kept", range(5))
@pytest.mark.parametrize("digits", range(4))
def test_text_may_be_cut_anywhere(kept: int, digits: int) -> None:
    text = "A" * (PIECE - kept) + "%2B" + "A" * (PIECE - 5 + digits) + "%2F" + "AB" * 5000
    plain = text.replace("%2B", "+").replace("%2F", "/")
    plain, text = plain[: len(plain) // 4 * 4], text[: len(text) - len(plain) % 4]
    assert image_from_text(text.encode()) == base64.b64decode(plain)


def test_no_call_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    decode = binascii.a2b_base64

    def noted(data: bytes, **options: Any) -> bytes:
        sizes.append(len(data))
        return decode(data, **options)

    monkeypatch.setattr(binascii, "a2b_base64", noted)
    assert image_from_text(TEXT.encode()) == LARGE
    assert sum(sizes) == len(TEXT) and max(sizes) <= PIECE


def test_no_call_of_the_json_parser_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    loads = json.loads

    def noted(text: bytes | bytearray) -> Any:
        sizes.append(len(text))
        return loads(text)

    monkeypatch.setattr("app.api.json_document.json.loads", noted)
    escaped = TEXT.replace("/", "\\/")
    assert unpack(f'{{"image": "{escaped}"}}'.encode(), JSON, 4).items == [LARGE]
    assert max(sizes) < 70_000


def test_only_the_start_tells_a_text() -> None:
    text = TEXT[:100].encode()
    assert looks_like_text(b" " * 900 + text)
    assert not looks_like_text(b" " * 1024 + text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32"])
def test_a_long_string_in_any_encoding_of_json(encoding: str) -> None:
    body = json.dumps({"name": 'C:\\"pictures"\\', "image": TEXT}).encode(encoding)
    assert unpack(body, JSON, 4) == Images([LARGE], False)


def test_a_long_string_behind_one_that_ends_in_a_backslash() -> None:
    body = json.dumps({"name": "C:\\pictures\\", "images": [TEXT, TEXT]}).encode()
    assert unpack(body, JSON, 4) == Images([LARGE, LARGE], True)


@pytest.mark.parametrize("at", range(8))
def test_a_long_string_of_escapes_may_be_cut_anywhere(at: int) -> None:
    text = "A" * at + "\\u002B" * 40_000 + "\\/" * 40_000
    expected = base64.b64decode("A" * at + "+" * 40_000 + "/" * 40_000 + "=" * (-at % 4) if at % 4 != 1 else "")
    if at % 4 == 1:  # so many digits are no bytes
        with pytest.raises(MalformedRequest):
            unpack(f'{{"image": "{text}"}}'.encode(), JSON, 4)
    else:
        assert unpack(f'{{"image": "{text}"}}'.encode(), JSON, 4).items == [expected]


def test_a_long_string_that_is_none_is_refused() -> None:
    with pytest.raises(MalformedRequest, match="not valid"):
        unpack(b'{"image": "' + b"A" * 5000 + b'\\x"}', JSON, 4)


@pytest.mark.parametrize("part", ['"",', '{"":0},', '"' + '\\"' * 40 + '",'])
def test_very_many_strings_and_quotes_are_not_looked_at(part: str) -> None:
    body = ('{"image": [' + part * (60_000 // len(part)) + "0]}").encode()
    started_at = time.thread_time()
    with pytest.raises(MalformedRequest, match="too many strings"):
        unpack(body, JSON, 4)
    assert time.thread_time() - started_at < 0.005  # all of them: 0.02 s
