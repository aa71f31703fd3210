"""Owns the tests of the closed and the open loop beside servers whose latency is known."""

import asyncio
import time

import pytest

from app.load.figures import Figures, figures_of
from app.load.open_loop import constant, poisson
from app.load.run import Load, run_load
from app.load.target import located, target_of
from tests.load.fake_server import BUSY, OK, Behave, Exchange, after, at_once, fake_server, never, raw

pytestmark = pytest.mark.operations

CLOSE = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


async def load(url: str, plan: Load, deadline_ms: float | None = None, stop_after_s: float | None = None) -> Figures:
    target = await located(target_of(f"{url}/classify"))
    stop = asyncio.Event()
    if stop_after_s is not None:
        asyncio.get_running_loop().call_later(stop_after_s, stop.set)
    run = await run_load(target, [target.request("POST", [], b"picture")], plan, stop)
    return figures_of(run, plan, deadline_ms)


def stalling(begin_s: float, lasts_s: float) -> Behave:
    """Answers at once, but for a time in which nothing is answered, counted from the first request."""
    first: list[float] = []

    async def behave(exchange: Exchange) -> None:
        now = time.monotonic()
        first.append(now)
        stall = first[0] + begin_s
        if stall <= now < stall + lasts_s:
            await asyncio.sleep(stall + lasts_s - now)
        await exchange.send()

    return behave


async def test_a_stall_of_a_second_is_in_the_p99_of_the_open_loop_and_not_of_the_closed():
    """100 requests are due within the second, a third of all; of the closed loop's two clients each meets it once."""
    with fake_server(stalling(1.0, 1.0)) as first, fake_server(stalling(1.0, 1.0)) as second:
        opened, closed = await asyncio.gather(
            load(first.url, Load(3.0, 0.0, 500, rate=100, arrivals="constant")), load(second.url, Load(3.0, 0.0, 2))
        )
    assert opened.latency_ms and closed.latency_ms
    assert opened.sent == opened.answered == 300
    assert opened.latency_ms["p50"] < 200
    assert opened.latency_ms["p90"] == pytest.approx(700, abs=200)  # 100 waited, from 1 s down to 0; 30 are a tenth
    assert 900 < opened.latency_ms["p99"] < 1300
    assert closed.latency_ms["p99"] < 300
    assert closed.latency_ms["max"] > 900


async def test_a_stall_counts_although_no_connection_is_free_for_what_comes_meanwhile():
    with fake_server(stalling(1.0, 1.0)) as server:
        found = await load(server.url, Load(3.0, 0.0, 1, rate=100, arrivals="constant"))
    assert found.latency_ms and server.connections == 1 + 1 + 1 + 2  # address, recovery, the loop; two looks at metrics
    assert found.sent == found.answered == 300
    assert 900 < found.latency_ms["p99"] < 1400
    assert any("waited for one of the 1 connections" in each for each in found.warnings)


async def test_the_latency_of_a_slow_server_is_what_it_is_and_connections_are_kept():
    with fake_server(after(0.05)) as server:
        found = await load(server.url, Load(1.0, 0.2, 4))
    assert found.latency_ms
    assert 50 <= found.latency_ms["p50"] < 200
    assert found.throughput_per_s <= 4 / 0.05
    assert found.throughput_per_s == pytest.approx(found.answered)
    assert len({each.connection for each in server.requests}) == 4


@pytest.mark.parametrize("data", [CLOSE, b"HTTP/1.0 200 OK\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\n{}"])
@pytest.mark.parametrize("rate", [None, 50.0])
async def test_a_server_that_closes_after_each_answer_is_none_that_fails(data: bytes, rate: float | None):
    with fake_server(raw(data, close=True)) as server:
        found = await load(server.url, Load(0.5, 0.0, 3, rate=rate))
    assert found.answered > 10 and not found.errors
    assert len({each.connection for each in server.requests}) == len(server.requests)


@pytest.mark.parametrize("rate", [None, 200.0])
async def test_refusals_are_counted_by_code_and_are_no_latency(rate: float | None):
    codes = (503, 429, 200, 200, 404)

    async def behave(exchange: Exchange) -> None:
        code = codes[exchange.number % len(codes)]
        if code == 200:
            await asyncio.sleep(0.02)
        await exchange.send(OK.replace(b"200 OK", b"%d x" % code))

    with fake_server(behave) as server:
        found = await load(server.url, Load(1.0, 0.0, 2, rate=rate), deadline_ms=1000)
    assert found.latency_ms and found.in_time
    assert set(found.statuses) == {"404", "429", "503"} and not found.errors
    assert found.refused == found.statuses["429"] + found.statuses["503"]
    assert found.sent == found.answered + sum(found.statuses.values())
    assert found.in_time == pytest.approx(found.answered / found.sent)
    assert found.latency_ms["p50"] >= 20


async def test_goodput_leaves_out_what_comes_after_the_deadline():
    async def behave(exchange: Exchange) -> None:
        await asyncio.sleep(0.3 if exchange.number % 4 == 0 else 0.0)
        await exchange.send()

    with fake_server(behave) as server:
        found = await load(server.url, Load(2.0, 0.5, 100, rate=100, arrivals="constant"), deadline_ms=200)
    assert found.goodput_per_s == pytest.approx(75, rel=0.05)
    assert found.throughput_per_s == pytest.approx(100, rel=0.05)
    assert found.in_time == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("rate", [None, 20.0])
async def test_a_hung_server_ends_the_run_in_its_time(rate: float | None):
    begun_at = time.monotonic()
    with fake_server(never) as server:
        found = await load(server.url, Load(0.5, 0.0, 4, patience_s=0.3, rate=rate, recovery_s=0.5))
        assert not found.answered and not found.latency_ms and set(found.errors) == {"timeout"}
        assert any("failed" in each for each in found.warnings)
        assert found.recovery_s is None
    assert time.monotonic() - begun_at < 5


async def test_what_is_waited_for_at_the_end_of_a_closed_loop_is_told():
    async def behave(exchange: Exchange) -> None:
        if exchange.number > 20:
            await asyncio.sleep(3600)
        await exchange.send()

    with fake_server(behave) as server:
        found = await load(server.url, Load(2.0, 0.0, 2))
    assert (found.answered, found.unfinished) == (21, 2)
    assert found.unfinished_s > 1.5
    assert any("2 requests had no answer yet" in each for each in found.warnings)


@pytest.mark.parametrize("rate", [None, 100.0])
async def test_stopped_early_it_tells_what_was_measured_until_then(rate: float | None):
    begun_at = time.monotonic()
    with fake_server(after(0.01)) as server:
        found = await load(server.url, Load(60.0, 0.2, 4, rate=rate), stop_after_s=1.2)
    assert time.monotonic() - begun_at < 3
    assert found.seconds == pytest.approx(1.0, abs=0.1)
    assert found.latency_ms and found.answered > 50 and not found.errors
    assert found.throughput_per_s == pytest.approx(found.answered / found.seconds, rel=0.1)


@pytest.mark.parametrize("rate", [None, 100.0])
async def test_resets_and_closed_connections_are_errors_by_kind(rate: float | None):
    async def behave(exchange: Exchange) -> None:
        if exchange.number % 3 == 0:
            exchange.reset()
        elif exchange.number % 3 == 1:
            exchange.close()
        else:
            await exchange.send()

    with fake_server(behave) as server:
        found = await load(server.url, Load(0.6, 0.0, 2, rate=rate))
    assert set(found.errors) == {"closed", "reset"}
    assert found.answered > 5
    assert any(f"{sum(found.errors.values()) / found.sent:.1%}" in each for each in found.warnings)


@pytest.mark.parametrize("rate", [None, 100.0])
async def test_a_server_that_goes_away_is_an_error_for_each_request(rate: float | None):
    async def go(url: str) -> Figures:
        return await load(url, Load(1.0, 0.0, 2, patience_s=0.5, rate=rate), stop_after_s=1.5)

    with fake_server(at_once) as server:
        task = asyncio.create_task(go(server.url))
        await asyncio.sleep(0.5)
    found = await task
    assert found.answered > 10 and found.errors["connect"] > 3


async def test_the_warm_up_does_not_count():
    async def behave(exchange: Exchange) -> None:
        await exchange.send(BUSY if exchange.number < 50 else OK)

    with fake_server(behave) as server:
        found = await load(server.url, Load(0.5, 0.7, 100, rate=100, arrivals="constant"))
    assert (found.sent, found.answered, found.refused) == (50, 50, 0)


def test_arrivals_are_by_chance_with_the_rate_asked_for_or_equally_far_apart():
    def until(arrivals: "object", end: float) -> list[float]:
        found = list[float]()
        for at in arrivals:  # type: ignore[attr-defined]
            if at >= end:
                return found
            found.append(at)
        raise AssertionError

    assert until(constant(4), 1.0) == [0, 0.25, 0.5, 0.75]
    by_chance = until(poisson(100, 1), 100.0)
    assert by_chance == until(poisson(100, 1), 100.0) != until(poisson(100, 2), 100.0)
    assert len(by_chance) == pytest.approx(10_000, rel=0.04)
    gaps = [later - sooner for sooner, later in zip(by_chance, by_chance[1:], strict=False)]
    assert sum(gap > 0.01 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.03)  # 1 / e of an exponential
