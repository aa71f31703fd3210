"""Owns the proof that both clients work with real servers, ours and ill ones."""

import asyncio
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from PIL import Image
from vit_client import (
    AsyncClient,
    BadImage,
    BadRequest,
    Classification,
    Client,
    DeadlineExceeded,
    Overloaded,
    Retry,
    TransportError,
    UnexpectedAnswer,
)

from tests.benchmark.server import Server, running, service


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def test_a_cat_is_a_cat_however_it_is_given(embedded: Server, cat: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(cat)
    with Client(url(embedded)) as client, path.open("rb") as file:
        answers = [client.classify(image, top_k=2) for image in (cat, path, file, Image.open(io.BytesIO(cat)))]
    assert [answer.best.label for answer in answers] == ["cat"] * 4
    assert {len(answer.predictions) for answer in answers} == {2}
    assert len({answer.best.score for answer in answers}) == 1  # the same pixels
    assert all(0 < answer.timing.inference_ms <= answer.timing.total_ms for answer in answers)


async def test_so_it_is_for_asyncio(embedded: Server, cat: bytes) -> None:
    async with AsyncClient(url(embedded)) as client:
        told = await client.model()
        assert (told.name, "cat" in told.labels) == ("vit_nano_lite0_s32_128.cifar10", True)
        assert told.parameters > 4_000_000 and told.document["lanes"] >= 1
        assert await client.ready() and await client.live()
        outcomes = [outcome async for outcome in client.classify_many([cat, b"no image", cat], top_k=1)]
    assert [getattr(outcome.result, "code", "") for outcome in outcomes] == ["", "not_an_image", ""]
    assert outcomes[2].unwrap().best.label == "cat"


def test_the_servers_errors_are_ours(embedded: Server, cat: bytes) -> None:
    with Client(url(embedded)) as client:
        for image, top_k, kind, code in (
            (b"", 1, BadImage, "empty_body"),
            (cat[:3000], 1, BadImage, "corrupt_image"),
            (bytes(1_000_001), 1, BadImage, "body_too_large"),
            (cat, 0, BadRequest, "invalid_top_k"),
        ):
            with pytest.raises(kind) as caught:
                client.classify(image, top_k=top_k, request_id=f"mine-{code}")
            assert (type(caught.value), caught.value.code) == (kind, code)
            assert caught.value.request_id == f"mine-{code}"
        assert client.classify(cat, request_id="order-17").request_id == "order-17"
        with pytest.raises(DeadlineExceeded):
            client.classify(cat, timeout=0.002)


def test_a_busy_server_is_waited_for(cat: bytes, tmp_path: Path) -> None:
    with running([*service("noop"), "--slots", "1"], tmp_path / "log") as server:
        with Client(url(server), retry=Retry(tries=1)) as client:
            hasty = list(client.classify_many([cat] * 30, concurrency=16))
        assert any(isinstance(outcome.result, Overloaded) for outcome in hasty)
        with Client(url(server), retry=Retry(patience=30)) as client:
            assert client.ready()
            patient = list(client.classify_many([cat] * 30, concurrency=16))
        assert all(isinstance(outcome.result, Classification) for outcome in patient)
        address = url(server)
    with Client(address, retry=Retry(tries=1)) as client:
        assert not client.ready() and not client.live()
        with pytest.raises(TransportError, match="refused") as caught:
            client.classify(cat)
        assert caught.value.request_id and caught.value.code == "no_answer"


@contextmanager
def ill(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does this with each connection, in turn."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with closing(connection):
                connection.recv(65536)
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_deadline_is_of_the_whole_call(asynchronous: bool) -> None:
    over = threading.Event()

    def slow(connection: socket.socket) -> None:
        over.wait(0.6)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
        over.wait(5)

    async def ask(address: str) -> None:
        async with AsyncClient(address) as client:
            await client.classify(b"pixels", timeout=1.0)

    with ill(slow) as address:
        started_at = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            if asynchronous:
                asyncio.run(ask(address))
            else:
                with Client(address) as client:
                    client.classify(b"pixels", timeout=1.0)
        assert 0.95 <= time.monotonic() - started_at < 1.5  # and not 1.6
        over.set()


def test_a_connection_that_breaks_is_tried_again() -> None:
    seen = list[int]()

    def breaking(connection: socket.socket) -> None:
        seen.append(1)
        if len(seen) > 1:
            body = b'{"name": "m", "labels": []}'
            connection.sendall(b"HTTP/1.1 422 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with (
        ill(breaking) as address,
        Client(address, retry=Retry(backoff_s=0.01)) as client,
        pytest.raises(UnexpectedAnswer, match="answer 422"),
    ):
        client.classify(b"pixels")
    assert len(seen) == 2
