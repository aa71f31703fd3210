"""Owns the tests of URLs: where they lead, what is sent there, and over https."""

import ssl
import subprocess
from pathlib import Path

import pytest

from app.errors import SetupError
from app.load.fetch import fetch
from app.load.outcome import CONNECT
from app.load.target import located, target_of
from tests.deploy.tools import tool
from tests.load.fake_server import fake_server


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://localhost:8000", "localhost", 8000, ""),
        ("localhost:8000", "localhost", 8000, ""),
        ("http://example.com", "example.com", 80, ""),
        ("https://example.com/", "example.com", 443, ""),
        ("http://[::1]:81/predict", "::1", 81, "/predict"),
        ("http://h/v1/classify?top_k=3", "h", 80, "/v1/classify?top_k=3"),
        ("http://h?top_k=3", "h", 80, "/?top_k=3"),
    ],
)
def test_where_a_url_leads(url: str, host: str, port: int, path: str):
    target = target_of(url)
    assert (target.host, target.port, target.path) == (host, port, path)
    assert (target.tls is not None) == url.startswith("https")


@pytest.mark.parametrize(
    "url",
    ["", "ftp://h", "http://", "http://h:0x1", "http://h:70000", "http://u:p@h", "http://h/a b", "http://h/\r\nX:"],
)
def test_what_is_no_address_is_refused(url: str):
    with pytest.raises(SetupError, match="is no address of a server"):
        target_of(url)


@pytest.mark.parametrize("line", ["", "x", "a b: c", "X: y\r\nZ: w", "Content-Length: 3", "connection: close"])
def test_a_header_that_would_spoil_the_request_is_refused(line: str):
    with pytest.raises(SetupError, match="is no header that can be sent"):
        target_of("http://h", [line])


def test_the_users_headers_replace_ours():
    target = target_of("http://[::1]:81/p", ["Authorization: Bearer x", "host: other", "Content-Type: image/webp"])
    head, _, body = target.request("POST", [("Content-Type", "image/jpeg")], b"abc").partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /p HTTP/1.1",
        b"host: other",
        b"Content-Type: image/webp",
        b"Authorization: Bearer x",
        b"Content-Length: 3",
    ]
    assert body == b"abc"
    assert b"\r\nHost: [::1]:81\r\n" in target_of("http://[::1]:81").head("GET", "/")
    assert b"\r\nHost: h\r\n" in target_of("https://h:443").head("GET", "/")


async def test_ipv6():
    with fake_server(host="::1") as server:
        target = await located(target_of(f"http://[::1]:{server.port}"))
        assert (await fetch(target, target.request("POST", [], b"x"), 5)).code == 200


async def test_of_several_addresses_the_first_that_answers_is_taken():
    with fake_server() as server:  # on IPv4 only, while the name usually has both
        target = await located(target_of(f"http://localhost:{server.port}"))
        assert target.address == "127.0.0.1"
        assert (await fetch(target, target.request("POST", [], b"x"), 5)).code == 200


async def test_nobody_there():
    with fake_server() as server:
        pass
    with pytest.raises(SetupError, match=f"127.0.0.1, port {server.port}: no connection"):
        await located(target_of(server.url))
    with pytest.raises(SetupError, match="there is no such host"):
        await located(target_of("http://nobody.invalid"))
    assert (await fetch(target_of(server.url), b"", 1)).code == CONNECT


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of localhost that nobody has signed, and its key."""
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    out = ["-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run([tool("openssl"), "req", "-x509", *kind, *subject, *out], check=True, capture_output=True)
    return files


async def test_https_is_verified_unless_told_otherwise(certificate: tuple[Path, Path]):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    with fake_server(tls=context) as server:
        url = f"https://localhost:{server.port}"
        for trusting in (target_of(url, ca_file=certificate[0]), target_of(url, insecure=True)):
            target = await located(trusting)
            assert (await fetch(target, target.request("POST", [], b"x"), 5)).code == 200
        with pytest.raises(SetupError, match="certificate"):
            await located(target_of(url))
    with pytest.raises(SetupError, match="holds no certificates"):
        target_of(url, ca_file=certificate[1])
