"""Owns the tests of one connection beside servers that answer in every way HTTP/1.1 has, and in some it has not."""

import asyncio
import time

import pytest

from app.load.fetch import Answer, fetch, get
from app.load.outcome import CLOSED, MALFORMED, RESET, TIMEOUT, TOO_LARGE
from app.load.target import target_of
from tests.load.fake_server import OK, Exchange, fake_server, raw

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


async def ask(url: str, patience_s: float = 5.0) -> Answer:
    target = target_of(url)
    return await fetch(target, target.request("POST", [], b"picture"), patience_s)


@pytest.mark.parametrize(
    ("data", "code", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}"),
        (CHUNKED, 200, b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED, 200, b"{}"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}", 200, b"{}"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", 200, b"{}"),
        (b"HTTP/1.0 404 Not Found\r\nX: y\r\n\r\nnothing", 404, b"nothing"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"", CLOSED, b""),
        (b"HTTP/1.1 200 OK\r\nContent-", CLOSED, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", CLOSED, b"{}"),
        (CHUNKED[:-3], CLOSED, b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", CLOSED, b""),
        (b"SSH-2.0-OpenSSH_9.6\r\n", MALFORMED, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n", MALFORMED, b""),
        (OK + OK, MALFORMED, None),
        (OK + b"HTTP/1.1 2", MALFORMED, None),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", MALFORMED, b""),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, TOO_LARGE, b""),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, TOO_LARGE, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, TOO_LARGE, b""),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 17_000_000, TOO_LARGE, None),
    ],
)
async def test_what_is_made_of_an_answer(data: bytes, code: int, body: bytes | None):
    with fake_server(raw(data, close=True)) as server:
        answer = await ask(server.url)
    assert answer.code == code, answer.body[:100]
    assert body is None or answer.body == body


async def test_an_answer_may_come_byte_by_byte():
    async def behave(exchange: Exchange) -> None:
        for at in range(len(CHUNKED)):
            await exchange.send(CHUNKED[at : at + 1])
            await asyncio.sleep(0.001)

    with fake_server(behave) as server:
        answer = await ask(server.url)
    assert answer == (200, b"{}")


async def test_a_trickle_without_end_is_left_when_patience_ends():
    async def behave(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await exchange.send(b"x")
            await asyncio.sleep(0.01)

    begun_at = time.monotonic()
    with fake_server(behave) as server:
        answer = await ask(server.url, 0.3)
    assert answer.code == TIMEOUT
    assert time.monotonic() - begun_at < 2


async def test_a_reset_is_told_from_a_close():
    async def behave(exchange: Exchange) -> None:
        exchange.reset()

    with fake_server(behave) as server:
        answer = await ask(server.url)
    assert answer.code == RESET


async def test_a_page_is_read_and_what_is_kept_of_it_is_bounded():
    with fake_server(pages={"/metrics": [b"vit_x 1\n"], "/long": [b"x" * 8_000_000]}) as server:
        target = target_of(server.url)
        assert await get(target, "/metrics") == (200, b"vit_x 1\n")
        assert 4_000_000 < len((await get(target, "/long")).body) < 5_000_000
        assert str(await get(target, "/none")) == "404: "
