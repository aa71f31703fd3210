"""Owns the tests of which requests get a line; what a request has to say is the edge's to test."""

import asyncio
import logging

import pytest

from app.telemetry import access
from app.telemetry.access import AccessLog
from app.telemetry.rate import RateLimit
from app.telemetry.served import Served
from tests.fakes import FakeClock

SERVED = Served("an-id", "POST", "/v1/classify", 503, 12.0, 0.0012345, code="overloaded", cause="too many", bytes_in=7)


async def test_answers_get_no_line_by_themselves() -> None:
    assert not any(AccessLog(0).wants(failed=False) for _ in range(1000))


async def test_answers_get_lines_by_their_share() -> None:
    assert all(AccessLog(1).wants(failed=False) for _ in range(100))
    log = AccessLog(0.25)
    assert 300 < sum(log.wants(failed=False) for _ in range(2000)) < 700  # 500 expected, 19 a standard deviation


async def test_of_failures_the_first_of_a_second_do_and_the_rest_is_a_number(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    monkeypatch.setattr(access, "_PERIOD_S", 0.05)
    log = AccessLog(0)
    log._limit = RateLimit(10, 1.0, clock)
    assert sum(log.wants(failed=True) for _ in range(1000)) == 10
    assert not caplog.records
    await asyncio.sleep(0.1)
    (record,) = caplog.records
    assert record.getMessage() == "990 more requests failed"
    clock.advance(1.0)
    assert log.wants(failed=True)
    await asyncio.sleep(0.1)
    assert len(caplog.records) == 1


async def test_where_all_are_asked_for_none_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    log = AccessLog(1)
    assert all(log.wants(failed=True) for _ in range(100))
    assert not log._left_out


@pytest.mark.parametrize(("status", "level"), [(200, "INFO"), (422, "INFO"), (503, "WARNING")])
async def test_a_line_has_what_is_known(caplog: pytest.LogCaptureFixture, status: int, level: str) -> None:
    with caplog.at_level(logging.INFO):
        AccessLog(0).write(SERVED._replace(status=status))
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (level, f"POST /v1/classify {status}")
    assert record.fields == {  # type: ignore[attr-defined]
        "request_id": "an-id",
        "method": "POST",
        "route": "/v1/classify",
        "status": status,
        "code": "overloaded",
        "cause": "too many",
        "ms": 1.234,
        "bytes_in": 7,
        "bytes_out": 0,
    }
