"""Owns how log lines look, where they go and how many alike; does not decide what is logged."""

import faulthandler
import json
import logging
import signal
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

from app.errors import printable
from app.telemetry.rate import RateLimit

LogFormat = Literal["console", "json"]
_ALIKE: Final = 10  # warnings of one line of code …
_PERIOD_S: Final = 10.0  # … in this time


def configure(level: str, form: LogFormat = "console") -> None:
    """Sends every logger's lines to stderr; `level` is debug, info, warning or error.

    What ends the process without a word, such as SIGSEGV, leaves there where each thread was; so does SIGUSR1, which
    ends nothing.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else ConsoleLines())
    handler.addFilter(Flood())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)


def more(fields: dict[str, object], unlimited: bool = False) -> dict[str, Any]:
    """What a logger's `extra` is for lines with fields; `unlimited`: who writes them minds their rate."""
    return {"fields": fields, "unlimited": unlimited}


class Flood(logging.Filter):
    """Of warnings and errors from one line of code the first few in a while; the next one tells how many were not."""

    def __init__(self) -> None:
        super().__init__()
        self._limits: dict[tuple[str, int], RateLimit] = {}
        self._left_out: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.levelno < logging.WARNING or getattr(record, "unlimited", False):
            return True
        place = record.pathname, record.lineno
        limit = self._limits.get(place) or self._limits.setdefault(place, RateLimit(_ALIKE, _PERIOD_S))
        if not limit.take():
            self._left_out[place] = self._left_out.get(place, 0) + 1
            return False
        if left_out := self._left_out.pop(place, 0):
            record.fields = {**_fields(record), "left_out": left_out}
        return True


class ConsoleLines(logging.Formatter):
    """For people: `time LEVEL logger: message key=value …`; what follows an exception is indented.

    Whatever a terminal or a reader of lines would take for more than text is escaped.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line, and those of an exception."""
        fields = "".join(f" {name}={_quoted(value)}" for name, value in _fields(record).items())
        head = f"{self.formatTime(record)} {record.levelname} {record.name}: {record.getMessage()}{fields}"
        told = [f"  {line}" for line in _exception(self, record).splitlines()]
        return "\n".join(map(printable, [head, *told]))


class JsonLines(logging.Formatter):
    """For programs: an object a line in ASCII with time, level, logger, message, the line's fields and exception."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        document = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if exception := _exception(self, record):
            document["exception"] = exception
        return json.dumps(document, default=str)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return getattr(record, "fields", {})


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""


def _quoted(value: object) -> str:
    text = str(value)
    return text if text and not set(text) & set(' "=') else json.dumps(text, ensure_ascii=False)
