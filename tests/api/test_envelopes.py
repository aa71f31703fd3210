import base64
import json
import random
import time
import urllib.parse
from collections.abc import Sequence

import pytest

from app.api.answering import Images
from app.api.envelopes import unpack
from app.errors import EmptyBody, MalformedRequest, RequestError, TooManyImages

JSON, FORM = "application/json", "multipart/form-data; boundary=x"
CAT = b"not really a cat"
TEXT = base64.b64encode(CAT).decode()


def read(body: bytes, content_type: str = JSON, max_images: int = 4) -> Images:
    return unpack(body, content_type, max_images)


def field(name: str, content: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), content)


@pytest.mark.parametrize(
    ("body", "content_type", "expected", "many"),
    [
        (CAT, "image/png", [CAT], False),
        (b"--x but no form", "image/png", [b"--x but no form"], False),
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
def test_envelopes(body: bytes, content_type: str, expected: Sequence[bytes], many: bool) -> None:
    assert read(body, content_type) == Images(list(expected), many)


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (b"null", JSON, MalformedRequest),
        (b"NaN", JSON, MalformedRequest),
        (b"1" * 5000, JSON, MalformedRequest),
        (b'{"image": 1e999}', JSON, MalformedRequest),
        (b'{"image": null}', JSON, MalformedRequest),
        (b'{"image": "\\ud800"}', JSON, MalformedRequest),
        (b'{"image": "aGk=aGk="}', JSON, MalformedRequest),
        (b'{"image": "aGkaa"}', JSON, MalformedRequest),
        (b'{"image": "data:image/png;base64"}', JSON, MalformedRequest),
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
def test_refusals(body: bytes, content_type: str, error: type[RequestError]) -> None:
    with pytest.raises(error):
        read(body, content_type)


def test_one_bad_image_of_several_stays_in_its_place() -> None:
    images = read(json.dumps({"images": [TEXT, 7, TEXT, "§"]}).encode())
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
        ((b"--x\r\nContent-Disposition: form-data;" + b" " * 7900 + b"\r\n\r\n\r\n") * 96 + b"--x--", FORM),
        (b"data:," + b"%41" * (5 * MEGABYTE), "text/plain"),
        (b'{"image":"' + b'\\"' * (8 * MEGABYTE) + b'"}', JSON),
        (b'{"image":"' + b"\\" * (16 * MEGABYTE) + b'"}', JSON),
        (b"\xff\xfe{", JSON),
    ],
    ids=range(13),
)
def test_hostile_megabytes_are_refused_at_once(body: bytes, content_type: str) -> None:
    started_at = time.process_time()
    with pytest.raises((MalformedRequest, TooManyImages)):
        read(body, content_type)
    assert time.process_time() - started_at < 0.5  # it takes milliseconds; a careless parser takes many seconds


def test_a_document_too_long_for_its_images_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(body: bytes) -> None:
        raise AssertionError("it was parsed")

    monkeypatch.setattr("app.api.json_document.json.loads", loads)
    with pytest.raises(TooManyImages):
        read(b'{"images":[' + b"{}," * 30_000 + b"{}]}")


def test_other_values_beside_the_image_are_left_aside() -> None:
    document = {"caption": "a, " * 200, "numbers": list(range(300)), "image": TEXT, "more": {"image": "x"}}
    assert read(json.dumps(document).encode()) == Images([CAT], False)
    assert read(b"\xef\xbb\xbf" + json.dumps({"image": TEXT}).encode(), "text/plain") == Images([CAT], False)
    assert read(b"a preamble\r\n" + field("image", CAT) + b"--x--", FORM) == Images([CAT], False)


def test_thirty_two_small_pictures_fit() -> None:
    texts = [base64.b64encode(bytes([i]) * size).decode() for i in range(16) for size in (180, 3000)]
    assert len(read(json.dumps({"images": texts}).encode(), max_images=32).items) == 32


@pytest.mark.parametrize("text", ["long string 0", "\\u0000long string 0", "0", "-1"])
def test_no_string_passes_for_another(text: str) -> None:
    body = f'{{"x": "{LARGE_TEXT}", "images": ["{text}"]}}'.encode()
    assert LARGE not in read(body).items


def test_a_small_data_url_need_not_be_base64() -> None:
    raw = urllib.parse.quote(LARGE[:1000], safe="")
    assert read(f'{{"image": "data:image/png,{raw}"}}'.encode()) == Images([LARGE[:1000]], False)
    with pytest.raises(MalformedRequest, match="base64"):
        read(f'{{"image": "data:image/png,{raw * 500}"}}'.encode())


LARGE = random.Random(0).randbytes(600_001)
LARGE_TEXT = base64.b64encode(LARGE).decode()
PLUS = LARGE_TEXT.replace("+", "\\u002B").replace("/", "\\/")


@pytest.mark.parametrize(
    "text",
    [
        LARGE_TEXT,
        LARGE_TEXT.rstrip("="),
        base64.urlsafe_b64encode(LARGE).decode(),
        urllib.parse.quote(LARGE_TEXT, safe=""),
        f"data:image/png;base64,{LARGE_TEXT}",
        f"DATA:;BASE64,{urllib.parse.quote(LARGE_TEXT, safe='')}",
        base64.encodebytes(LARGE).decode().replace("\n", "\\r\\n"),
        PLUS,
        "data:image\\/png;base64," + PLUS,
    ],
    ids=["plain", "unpadded", "url-safe", "percent", "data", "data, percent", "lines", ".NET", "PHP"],
)
def test_base64_as_people_send_it(text: str) -> None:
    assert read(f'{{"image": "{text}"}}'.encode()) == Images([LARGE], False)
    several = read(f'{{"a": "b\\"c", "images": ["{text}", "{TEXT}", "{text}"]}}'.encode())
    assert several == Images([LARGE, CAT, LARGE], True)


@pytest.mark.parametrize("text", [TEXT * 1, LARGE_TEXT.rstrip("="), f"data:image/png;base64,{TEXT}"])
def test_text_in_a_form_or_for_itself(text: str) -> None:
    expected = LARGE if len(text) > 1000 else CAT
    assert read(field("image", text.encode()) + b"--x--", FORM) == Images([expected], False)
    assert read(text.encode(), "text/plain") == Images([expected], False)
    form = b"a=1&image=" + text.encode()
    assert read(form[4:], "application/x-www-form-urlencoded") == Images([expected], False)
    quoted = urllib.parse.urlencode({"image": text}).encode()
    assert read(quoted, "application/x-www-form-urlencoded") == Images([expected], False)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'form-data; name="image"', True),
        (b"form-data; name=image", True),
        (b'form-data; filename="a; name=b"; name="image"', True),
        (b'form-data; filename="a\\"; name=b"; name="image"', True),
        (b'form-data;NAME = "image" ; filename=x', True),
        (b'form-data; name="ima\\ge"', False),
        (b'form-data; filename="; name=image"', False),
        (b'form-data; xname="image"', False),
        (b"form-data", False),
    ],
)
def test_a_field_is_told_by_its_name(head: bytes, name: bool) -> None:
    body = b"--x\r\nContent-Disposition: " + head + b"\r\n\r\n" + CAT + b"\r\n--x--"
    if name:
        assert read(body, FORM).items == [CAT]
    else:
        with pytest.raises(MalformedRequest):
            read(body, FORM)


def test_heads_of_parts_take_linear_time() -> None:
    part = b'--x\r\nContent-Disposition: x="' + b"a" * 4000 + b";" * 4000 + b"\r\n\r\n\r\n"
    started_at = time.process_time()
    with pytest.raises(MalformedRequest):
        read(part * 96 + b"--x--", FORM)
    assert time.process_time() - started_at < 0.05


def test_a_form_in_which_no_field_is_an_image_is_empty() -> None:
    with pytest.raises(EmptyBody):
        unpack(b"ximage=AAAA&y=2", "application/x-www-form-urlencoded", 4)
