"""Owns the tests of how lines look and how many alike are written; which are written is others' to test."""

import io
import json
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from app.telemetry import logs
from app.telemetry.logs import ConsoleLines, Flood, JsonLines, more
from tests.fakes import FakeClock

HARMFUL = "a\r\nERROR forged: \x1b[31mred\x1b[0m\x00\x7f\u2028\u202e\ud800 ä"


def written(formatter: logging.Formatter, message: str, *args: object, **options: object) -> str:
    """What a handler makes of one line."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.Logger("app.some.where")
    logger.addHandler(handler)
    logger.warning(message, *args, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def failed() -> ValueError:
    try:
        raise ValueError(HARMFUL)
    except ValueError as error:
        return error


def test_a_line_for_people() -> None:
    fields = {"status": 503, "cause": 'too "many" wait', "code": "overloaded", "empty": ""}
    line = written(ConsoleLines(), "GET %s", "/x", extra=more(fields))
    assert line.endswith(
        'WARNING app.some.where: GET /x status=503 cause="too \\"many\\" wait" code=overloaded empty=""\n'
    )
    assert line[:4] == str(datetime.now().year)


def test_a_line_for_programs() -> None:
    line = written(JsonLines(), "GET %s", "/x", extra=more({"status": 503, "ms": 1.25, "cause": "ü"}))
    document = json.loads(line)
    at = datetime.fromisoformat(document.pop("time"))
    assert abs(datetime.now(UTC) - at) < timedelta(seconds=5) and at.utcoffset() == timedelta(0)
    assert document == {
        **{"level": "warning", "logger": "app.some.where", "message": "GET /x"},
        **{"status": 503, "ms": 1.25, "cause": "ü"},
    }


@pytest.mark.parametrize("formatter", [ConsoleLines(), JsonLines()])
def test_nobody_can_write_lines_of_their_own(formatter: logging.Formatter) -> None:
    line = written(formatter, "from %s", HARMFUL, extra=more({"cause": HARMFUL}))
    assert line.count("\n") == 1 and line.removesuffix("\n").isprintable()
    if isinstance(formatter, JsonLines):
        document = json.loads(line)
        assert document["cause"] == HARMFUL and document["message"] == f"from {HARMFUL}"


def test_an_exception_is_indented_for_people() -> None:
    first, *others = written(ConsoleLines(), "it failed", exc_info=failed()).splitlines()
    assert first.endswith("WARNING app.some.where: it failed")
    assert len(others) >= 4 and all(line.startswith("  ") and line.isprintable() for line in others)
    assert others[0] == "  Traceback (most recent call last):"


def test_an_exception_is_in_the_line_for_programs() -> None:
    line = written(JsonLines(), "it failed", exc_info=failed())
    assert line.count("\n") == 1
    assert "Traceback" in json.loads(line)["exception"] and HARMFUL in json.loads(line)["exception"]


def test_of_many_alike_the_first_are_written_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(logs, "RateLimit", lambda most, period_s: _limit(most, period_s, clock))
    flood, kept = Flood(), list[str]()
    logger = logging.Logger("x")
    handler = logging.Handler()
    handler.addFilter(flood)
    handler.emit = lambda record: kept.append(ConsoleLines().format(record))  # type: ignore[method-assign]
    logger.addHandler(handler)

    def complain(times: int) -> int:
        before = len(kept)
        for _ in range(times):
            logger.warning("again")
        return len(kept) - before

    assert complain(500) == 10
    logger.warning("something else")  # has a rate of its own
    assert kept[-1].endswith("something else")
    for _ in range(50):
        logger.info("not a warning")
        logger.error("minds its rate", extra=more({}, unlimited=True))
    assert len(kept) == 10 + 1 + 100
    clock.advance(9.9)
    assert complain(1) == 0
    clock.advance(0.2)
    assert complain(2) == 2
    assert kept[-2].endswith("again left_out=491") and kept[-1].endswith("again")


def _limit(most: int, period_s: float, clock: FakeClock) -> object:
    from app.telemetry.rate import RateLimit

    return RateLimit(most, period_s, clock)


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_crash_leaves_where_it_was(form: str) -> None:
    code = (
        "import os, signal; from app.telemetry.logs import configure\n"
        f"configure('info', {form!r})\n"
        "def here():\n    os.kill(os.getpid(), signal.SIGUSR1)\n    print('goes on', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGSEGV)\n"
        "here()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -11 and done.stdout == "goes on\n"
    assert done.stderr.count("in here") == 2 and "Segmentation fault" in done.stderr
