"""Owns attacks on the event loop: whatever might be parsed on it; does not measure the loop."""

import base64
import zlib
from functools import cache
from typing import Final

from tests.attack.registry import Target, attack, hammer
from tests.attack.report import Report
from tests.attack.wire import chunked, request

_MOST: Final = 16 * 2**20 - 1024  # what a body may have by default, or little less
_POST: Final = b"POST /v1/classify HTTP/1.1"
_JSON: Final = b"Content-Type: application/json"
_FORM: Final = b"Content-Type: multipart/form-data; boundary=b"
_QUOTE: Final = b'Content-Disposition: form-data; x="' + b"a" * 100


@cache
def forms() -> tuple[bytes, ...]:
    """Part heads with a quote that never ends, as long as they may be; very many parts; very many lines."""
    heads = _parts([_QUOTE + b";" * 8000] * 94)
    names = _parts([b"Content-Disposition: form-data; name=image"] * 100_000)
    lines = _parts([b"\r\n".join([b"a:"] * 2000)] * 90)
    parameters = _parts([b"Content-Disposition: form-data" + b"; a=b" * 1600] * 90)
    encoded = _parts([b"Content-Disposition: form-data; name*0*=utf-8''" + b"%41" * 2600] * 90)
    dashes = _parts([b"\r\n--" * 2000] * 90)
    return tuple(request(_POST, form, _FORM) for form in (heads, names, lines, parameters, encoded, dashes))


def _parts(heads: list[bytes]) -> bytes:
    return b"".join(b"--b\r\n" + head + b"\r\n\r\na\r\n" for head in heads) + b"--b--\r\n"


@cache
def long_heads() -> tuple[bytes, ...]:
    """A head of nearly 64 kB, in one line or in sixteen thousand."""
    quoted = b'Content-Type: multipart/form-data; x="' + b"a" * 100 + b";" * 60_000
    return (
        request(_POST, b"--", quoted),
        request(_POST, b"--", b"Content-Type: multipart/form-data; boundary=" + b"a" * 60_000),
        request(b"POST /v1/classify?" + b"a=b&" * 15_000 + b" HTTP/1.1", b"abc"),
        request(b"POST /v1/classify?top_k=" + b"9" * 60_000 + b" HTTP/1.1", b"abc"),
        request(b"POST /v1/classify?" + b"%" * 60_000 + b" HTTP/1.1", b"abc"),
        request(b"POST /v1/classify?" + b"topk&" * 12_000 + b" HTTP/1.1", b"abc"),
        request(_POST, b"abc", *[b"a:"] * 15_900),
        request(_POST, b"abc", b"X-Request-Timeout-Ms: " + b"9" * 60_000),
        request(_POST, b"abc", b"X-Request-ID: " + b"\xc3\xa4" * 30_000),
        request(_POST, b"abc", b"Connection: " + b"a," * 30_000),
        request(b"GET /" + b"a/" * 30_000 + b" HTTP/1.1"),
        request(b"GET /" + b"a" * 65_536 + b" HTTP/1.1"),
        request(b"GET /" + b"%2e%2e%2f" * 7000 + b" HTTP/1.1"),
        request(_POST, b"abc", b"Content-Encoding: " + b"gzip, " * 9000),
        request(_POST, b"abc", b"Accept-Encoding: " + b"gzip;q=0, " * 6000),
    )


@cache
def chunks() -> tuple[bytes, ...]:
    """16 MB on the wire in chunks of one byte."""
    return (request(_POST, chunked(b"a" * (_MOST // 6), 1), b"Transfer-Encoding: chunked", length=False),)


@cache
def documents() -> tuple[bytes, ...]:
    """JSON of 16 MB: one string, commas, depth, escapes, numbers, names, white space."""
    image = b'{"image": "'
    texts = (
        image + b"A" * (_MOST - 16) + b'"}',
        b'{"images": [' + b"0," * (_MOST // 2 - 16) + b"0]}",
        b"{" + b'"a":{' * (_MOST // 6) + b"}" * (_MOST // 6) + b"}",
        b'{"images": ' + b"[" * (_MOST - 16),
        image + b"\\u0041" * (_MOST // 6 - 16) + b'"}',
        image + b"\\/" * (_MOST // 2 - 16) + b'"}',
        b'{"image": ' + b"1" * (_MOST - 16) + b"}",
        b"{" + b" " * (_MOST - 16) + b"}",
        image + b"%41" * (_MOST // 3 - 16) + b'"}',
        image + b"A " * (_MOST // 2 - 16) + b'"}',
        image + b"data:" + b"a;" * (_MOST // 2 - 32) + b'"}',
    )
    return tuple(request(_POST, text, _JSON) for text in texts)


def small_documents(photograph: bytes) -> tuple[bytes, ...]:
    """32 images in a few kilobytes, which ask for as much answer as there is; JSON just below what threads are for."""
    many = b'{"images": [' + b",".join([b'"' + base64.b64encode(photograph) + b'"'] * 32) + b"]}"
    bad = b'{"images": [' + b",".join([b'"AAAA"'] * 32) + b"]}"
    deep = b"[" * 200_000
    tasks = [(top_k, body) for top_k in (10, 100, 1000) for body in (many, bad)]
    asked = (request(b"POST /v1/classify?top_k=%d HTTP/1.1" % top_k, body, _JSON) for top_k, body in tasks)
    return (
        *asked,
        request(_POST, b'{"image": ' + deep, _JSON),
        request(_POST, b'{"image":"' + b"\\u0041" * 40_000, _JSON),
    )


@cache
def compressed() -> tuple[bytes, ...]:
    """16 GB of zeros in 16 MB of gzip: one deflated block many times, and a sum that is wrong but comes last."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packer.compress(bytes(2**20))
    block = packer.flush(zlib.Z_FULL_FLUSH)
    blocks = (packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)) * (_MOST // len(block) - 1)
    gzipped = b"\x1f\x8b\x08" + bytes(7) + block + blocks + b"\x03\0" + bytes(8)
    deflated = b"\x78\x9c" + block + blocks
    return (
        request(_POST, gzipped, b"Content-Encoding: gzip"),
        request(_POST, deflated, b"Content-Encoding: deflate"),
        request(_POST, gzipped, b"Content-Encoding: gzip, gzip", _JSON),
    )


@attack("forms with endless quotes", forms)
async def quotes(target: Target, report: Report) -> None:
    """Thirty at once of what blocked the loop for 0.4 s each."""
    await hammer(target, report, forms()[:1], clients=30, per_s=10)


@attack("forms of many parts and lines", forms)
async def parts(target: Target, report: Report) -> None:
    """The siblings of the quote."""
    await hammer(target, report, forms()[1:], clients=8, per_s=10)


@attack("heads of 60 kB", long_heads)
async def heads(target: Target, report: Report) -> None:
    """Content-Type, query, path, sixteen thousand fields."""
    await hammer(target, report, long_heads(), clients=8, per_s=40)


@attack("chunks of one byte, 16 MB", chunks)
async def tiny_chunks(target: Target, report: Report) -> None:
    """2.8 million calls of the parser's caller in each."""
    await hammer(target, report, chunks(), clients=2, per_s=1)


@attack("JSON of 16 MB", documents)
async def large_json(target: Target, report: Report) -> None:
    """Every way to make a document long."""
    await hammer(target, report, documents(), clients=4, per_s=3)


@attack("JSON of 32 images, all classes")
async def small_json(target: Target, report: Report) -> None:
    """Little in, as much out as there is."""
    await hammer(target, report, small_documents(target.photograph), clients=4, per_s=6)


@attack("gzip of gigabytes", compressed)
async def gzip_bomb(target: Target, report: Report) -> None:
    """Unpacked without a bound it is 16 GB."""
    await hammer(target, report, compressed(), clients=4, per_s=3)


@attack("documents hammered")
async def pages(target: Target, report: Report) -> None:
    """What is large and might be made anew for everybody."""
    paths = (b"/openapi.json", b"/docs", b"/", b"/v1/model", b"/metrics", b"/readyz")
    await hammer(target, report, [request(b"GET " + path + b" HTTP/1.1") for path in paths], clients=8, per_s=100)
