"""Owns the tests of bulk/web.py."""

import gzip
import time
from collections.abc import Iterator

import httpx
import pytest

from app.bulk import web
from app.bulk.images import Unreadable
from app.bulk.web import Web


def handle(request: httpx.Request) -> httpx.Response:
    path, redirects = request.url.path, {"/away": "ftp://x/1.jpg", "/down": "http://x/1.jpg", "/round": "/round"}
    if path == "/1.jpg":
        assert request.headers["accept-encoding"] == "identity"
        return httpx.Response(200, content=iter([b"pic", b"ture"]))
    if path == "/up":
        return httpx.Response(301, headers={"Location": "https://x/1.jpg"})
    if path in redirects:
        return httpx.Response(302, headers={"Location": redirects[path]})
    if path == "/endless":
        return httpx.Response(200, content=endless(b"x" * 2**16))
    if path == "/slow":
        return httpx.Response(200, content=endless(b"x", 0.05))
    if path == "/bomb":
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=gzip.compress(bytes(2**20)))
    if path == "/gone":
        raise httpx.ConnectError("Connection refused")
    return httpx.Response(404)


def endless(chunk: bytes, pause_s: float = 0.0) -> Iterator[bytes]:
    while True:
        time.sleep(pause_s)
        yield chunk


@pytest.mark.parametrize("url", ["http://x/1.jpg", "http://x/up", "https://x/up"])
def test_an_image_is_read_also_by_a_redirect(url: str):
    assert Web(httpx.MockTransport(handle)).read(url) == b"picture"


@pytest.mark.parametrize(
    ("url", "code", "reason"),
    [
        ("https://x/away", "unreadable_url", "by ftp"),
        ("https://x/down", "unreadable_url", "the server sends elsewhere, by http"),
        ("http://x/round", "unreadable_url", "again and again"),
        ("http://x/endless", "body_too_large", "or more"),
        ("http://x/slow", "unreadable_url", "not there in time"),
        ("http://x/bomb", "unreadable_url", "compressed"),
        ("http://x/none", "unreadable_url", "the server answers 404"),
        ("http://x/gone", "unreadable_url", "ConnectError: Connection refused"),
        ("http://x:port/", "unreadable_url", "InvalidURL"),
    ],
)
def test_what_cannot_be_had_is_told(url: str, code: str, reason: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(web, "MOST_BYTES", 2**20)
    with pytest.raises(Unreadable, match=reason) as caught:
        Web(httpx.MockTransport(handle), whole_s=0.3).read(url)
    assert caught.value.code == code
