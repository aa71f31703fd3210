import httpx
import hypothesis.strategies as st
import pytest
from hypothesis import given

from app.api.multipart import Part, read_parts
from app.errors import MalformedRequest

TYPE = "multipart/form-data; boundary=x"


def part(content: bytes, head: bytes = b'Content-Disposition: form-data; name="image"') -> bytes:
    return b"--x\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=300)), min_size=1, max_size=6))
def test_what_a_client_packs_is_unpacked(fields: list[tuple[str, bytes]]) -> None:
    request = httpx.Request("POST", "http://test", files=[(name, ("a.png", content)) for name, content in fields])
    parts = read_parts(request.read(), request.headers["content-type"], 99)
    assert [content for _, content in parts] == [content for _, content in fields]
    plain = [
        (name, got.name) for (name, _), got in zip(fields, parts, strict=True) if name.isalnum() and name.isascii()
    ]
    assert all(sent == got for sent, got in plain)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (part(b"a") + b"--x--", ["a"]),
        (part(b"a") + b"--x--\r\nepilogue --x", ["a"]),
        (b"\r\n" + part(b"a") + b"--x--\r\n", ["a"]),
        (b"preamble\r\n" + part(b"a") + b"--x--\r\n", ["a"]),
        (part(b"") + part(b"b") + b"--x--\r\n", ["", "b"]),
        (b"--x \t\r\n" + part(b"a")[5:] + b"--x--", ["a"]),
        (part(b"a --x") + b"--x--", ["a --x"]),  # not at the beginning of a line
        (part(b"\r\n--y\r\n\r\n--y--\r\n") + b"--x--", ["\r\n--y\r\n\r\n--y--\r\n"]),
        (b"--x--\r\n", []),
    ],
)
def test_forms(body: bytes, expected: list[str]) -> None:
    assert [content.decode() for _, content in read_parts(body, TYPE, 99)] == expected


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"content-disposition:form-data;name=image", "image"),
        (b'CONTENT-DISPOSITION: form-data; filename="a;name=b"; name="image"', "image"),
        (b'Content-Type: image/png\r\nContent-Disposition: form-data; name="image"', "image"),
        (b"Content-Disposition: form-data; name=\"image\"; name*=utf-8''other", "image"),
        (b'Content-Disposition: form-data; name="\xff"', "\ufffd"),
        (b"Content-Disposition: form-data", ""),
        (b"Nothing: here", ""),
        (b"no header at all", ""),
    ],
)
def test_names(head: bytes, name: str) -> None:
    assert read_parts(part(b"a", head) + b"--x--", TYPE, 99) == [Part(name, b"a")]


def test_a_part_without_headers_has_no_name() -> None:
    assert read_parts(b"--x\r\n\r\na\r\n--x--", TYPE, 99) == [Part("", b"a")]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (part(b"a") + b"--x--", "multipart/form-data"),
        (part(b"a") + b"--x--", "multipart/form-data; boundary="),
        (part(b"a") + b"--x--", "multipart/form-data; boundary=" + "x" * 71),
        (part(b"a") + b"--x--", "multipart/form-data; boundary=y"),
        (part(b"a"), TYPE),
        (part(b"a")[:-2] + b"\n--x--", TYPE),
        (b"--x", TYPE),
        (b"--x\r\n", TYPE),
        (b"--x\r\nA: b\r\n--x--", TYPE),
        (b"--xy\r\nA: b\r\n\r\na\r\n--x--", TYPE),
        (part(b"a", b"A: " + b"b" * 9000) + b"--x--", TYPE),
        (part(b"a").replace(b"\r\n", b"\n") + b"--x--", TYPE),
    ],
)
def test_broken_forms(body: bytes, content_type: str) -> None:
    with pytest.raises(MalformedRequest):
        read_parts(body, content_type, 99)


@given(st.lists(st.sampled_from([b"--x", b"\r\n", b"--", b"A: b", b"\r\n\r\n", b"x", b";name="]), max_size=30))
def test_fragments_in_any_order_are_read_or_refused(fragments: list[bytes]) -> None:
    body = b"".join(fragments)
    try:
        parts = read_parts(body, TYPE, 99)
    except MalformedRequest:
        return
    assert all(content in body for _, content in parts)


def test_no_more_parts_than_asked_for_are_looked_at() -> None:
    body = part(b"a") * 3 + b"--x broken"
    assert len(read_parts(body, TYPE, 3)) == 3
    with pytest.raises(MalformedRequest):
        read_parts(body, TYPE, 4)
