"""Owns the tests of what is tried again, when and how often, through both clients."""

import math
from itertools import count
from typing import Any

import httpx
import pytest
from vit_client import (
    PATIENT,
    BadImage,
    DeadlineExceeded,
    Overloaded,
    Retry,
    ServerFailed,
    TransportError,
    Unavailable,
    UnexpectedAnswer,
    VitError,
)

from tests.clients_python.conftest import ANSWER, Door, in_turn, refusal

OVERLOADED = refusal(503, "overloaded", retry_after="2")


def test_retry_after_is_waited_for_and_some_more(door: Door) -> None:
    assert door.classify(in_turn(OVERLOADED, OVERLOADED)).model == "m"
    assert door.time.waits == pytest.approx([2.1, 2.2])


def test_jitter_is_any_part_of_a_time_that_doubles(door: Door) -> None:
    chances = iter((0.0, 0.5, 1.0))
    lost = [httpx.ConnectError("refused") for _ in range(3)]
    door.classify(in_turn(*lost), retry=Retry(chance=lambda: next(chances)))
    assert door.time.waits == pytest.approx([0.0, 0.1, 0.4])


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [
        (503, {}, [0.1]),
        (429, {"Retry-After": "1.5"}, [1.6]),
        (502, {"Retry-After": "nonsense"}, [0.1]),
        (504, {"Retry-After": "nan"}, [0.1]),
        (408, {"Retry-After": "-3"}, [0.1]),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:07 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, [7.1]),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:07 GMT"}, [0.1]),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:07 GMT", "Date": "Wed, 21 Oct 2026 07:28:00"}, [0.1]),
    ],
)
def test_a_proxy_without_a_code_is_tried_again(
    door: Door, status: int, headers: dict[str, str], waits: list[float]
) -> None:
    assert door.classify(in_turn(httpx.Response(status, text="<html>", headers=headers))).model == "m"
    assert door.time.waits == pytest.approx(waits)


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout(""),
        httpx.ReadError("reset"),
        httpx.WriteError("reset"),
        httpx.RemoteProtocolError("closed"),
        httpx.PoolTimeout(""),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lost_connection_is_tried_again(door: Door, error: Exception) -> None:
    assert door.classify(in_turn(error)).model == "m"
    assert len(door.time.waits) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(422, "corrupt_image"), BadImage),
        (refusal(500, "inference_failed"), ServerFailed),
        (httpx.Response(200, text="<html>"), UnexpectedAnswer),
        (httpx.Response(404, text="<html>"), UnexpectedAnswer),
        (httpx.Response(307, headers={"location": "/"}), UnexpectedAnswer),
        (httpx.LocalProtocolError("ours"), TransportError),
        (httpx.UnsupportedProtocol("ours"), TransportError),
        (httpx.TooManyRedirects("theirs"), TransportError),
        (httpx.DecodingError("theirs"), TransportError),
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)),
)
def test_what_would_happen_again_is_not_tried_again(
    door: Door, answer: httpx.Response | Exception, kind: type[VitError]
) -> None:
    with pytest.raises(kind):
        door.classify(in_turn(answer))
    assert door.time.waits == []


def test_tries_end_with_the_last_error(door: Door) -> None:
    asked = count()
    with pytest.raises(Overloaded, match="it is overloaded") as caught:
        door.classify(lambda _: (next(asked), OVERLOADED)[1])
    assert next(asked) == 4
    error = caught.value
    assert (error.code, error.status, error.request_id, error.retry_after) == ("overloaded", 503, "theirs", 2.0)


def test_nothing_is_waited_for_beyond_the_deadline(door: Door) -> None:
    with pytest.raises(Overloaded):
        door.classify(in_turn(OVERLOADED, OVERLOADED), {"timeout": 4.0})
    assert door.time.waits == pytest.approx([2.1])  # a second wait would end at 4.3


def test_each_try_tells_what_is_left(door: Door) -> None:
    told, ids = list[float](), set[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        told.append(float(request.headers["x-request-timeout-ms"]))
        ids.add(request.headers["x-request-id"])
        door.time.now += 1.0
        return OVERLOADED if len(told) < 3 else httpx.Response(200, json=ANSWER)

    door.classify(answer, {"timeout": 10.0})
    assert told == pytest.approx([10_000, 6_900, 3_700])
    assert len(ids) == 1 and len(ids.pop()) == 32


def test_httpx_gets_what_is_left_when_each_phase_begins(door: Door) -> None:
    seen = list[float | None]()

    def answer(request: httpx.Request) -> httpx.Response:
        timeouts = request.extensions["timeout"]
        for passed, phase in ((0, "connect"), (1, "write"), (2, "read"), (30, "read")):
            door.time.now += passed
            seen.append(timeouts.get(phase))
        return httpx.Response(200, json=ANSWER)

    door.classify(answer, {"timeout": 10.0})
    assert seen == pytest.approx([5.0, 9.0, 7.0, 0.001])
    seen.clear()
    door.classify(answer, {"timeout": math.inf})
    assert seen == [5.0, None, None, None]


def test_a_try_has_its_own_limit(door: Door) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["x-request-timeout-ms"] == "3000.000"
        door.time.now += 1.0
        assert request.extensions["timeout"]["read"] == 2.0
        return httpx.Response(200, json=ANSWER)

    door.classify(answer, {"timeout": math.inf}, retry=Retry(per_try_s=3.0))


def test_a_deadline_that_httpx_notices_is_one(door: Door) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        door.time.now += 1.999  # a timer may be early
        raise httpx.ReadTimeout("", request=request)

    with pytest.raises(DeadlineExceeded) as caught:
        door.classify(answer, {"timeout": 2.0, "request_id": "mine"})
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (None, "deadline_exceeded", "mine")


def test_a_server_that_gives_up_earlier_than_we_is_asked_again(door: Door) -> None:
    assert door.classify(in_turn(refusal(504, "deadline_exceeded"))).model == "m"


def test_no_time_at_all_asks_nobody(door: Door) -> None:
    with pytest.raises(DeadlineExceeded):
        door.classify(lambda _: pytest.fail("asked"), {"timeout": 0.0})


def test_a_sick_service_is_not_stampeded(door: Door) -> None:
    asked = count()

    def sick(_: httpx.Request) -> httpx.Response:
        return (next(asked), httpx.Response(503))[1]

    results = door.calls(sick, *[{"image": b"pixels"}] * 1000, timeout=math.inf)
    assert all(isinstance(result, Unavailable) for result in results)
    assert 1200 <= next(asked) <= 1210  # a fifth more, and the credit of the beginning


def test_patience_is_outside_tries_and_budget_but_has_an_end(door: Door) -> None:
    retry = Retry(patience=30, budget=0.0, tries=1, chance=lambda: 0.0, longest_s=5.0)
    options: dict[str, Any] = {"retry": retry, "timeout": math.inf}
    assert door.classify(in_turn(*[refusal(503, "overloaded", retry_after="900")] * 30), **options).model == "m"
    assert door.time.waits == [5.0] * 30
    with pytest.raises(Overloaded):
        door.classify(lambda _: OVERLOADED, **options)
    assert len(door.time.waits) == 60
    with pytest.raises(TransportError):
        door.classify(in_turn(httpx.ConnectError("refused")), **options)
    assert len(door.time.waits) == 60
    assert PATIENT.patience == 30
