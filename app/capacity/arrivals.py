"""Owns when images arrive: chance, times of day, recorded traces; does not serve them."""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from app.errors import SetupError, printable

Numbers = npt.NDArray[np.float64]
_DAY_S: Final = 86_400.0
_BUSIEST_S: Final = 14 * 3600.0
_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": _DAY_S}
_MOST_STEPS: Final = 10_000_000
_MOST_ROWS: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Images a second in each step of `step_s` seconds; `instants`, where they were recorded, in seconds from 0."""

    step_s: float
    rates: Numbers
    instants: Numbers | None = None

    @property
    def images(self) -> float:
        """How many are expected in all."""
        return float(self.rates.sum()) * self.step_s

    def instants_of(self, step: int, chance: np.random.Generator) -> Numbers:
        """Ascending instants within one step: those recorded, or as a Poisson process has them."""
        begun = step * self.step_s
        if self.instants is not None:
            low, high = np.searchsorted(self.instants, (begun, begun + self.step_s))
            return self.instants[low:high]
        images = chance.poisson(self.rates[step] * self.step_s)
        return begun + np.sort(chance.random(images)) * self.step_s

    def scaled(self, factor: float) -> "Arrivals":
        """`factor` times as many, at the same times of day; instants are then drawn by chance."""
        return self if factor == 1 else Arrivals(self.step_s, self.rates * factor)


def duration_s(text: str) -> float:
    """`90`, `90s`, `15m`, `24h`, `7d` in seconds. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if match is None or not (seconds := float(match[1]) * _UNITS[match[2]]):
        raise ValueError(f"{text!r} is no duration such as 90s, 15m, 24h or 7d")
    return seconds


def steady(rate: float, lasts_s: float, step_s: float = 1.0) -> Arrivals:
    """The same rate all the time, images a second."""
    return Arrivals(step_s, np.full(_steps(lasts_s, step_s), float(rate)))


def diurnal(rate: float, lasts_s: float, swing: float, step_s: float = 1.0) -> Arrivals:
    """`rate` on average; busiest at 14:00 with 1 + `swing` times that, quietest at 02:00 with 1 - `swing`."""
    at = (np.arange(_steps(lasts_s, step_s)) + 0.5) * step_s
    return Arrivals(step_s, rate * (1 + swing * np.cos(2 * math.pi * (at - _BUSIEST_S) / _DAY_S)))


def read_trace(path: Path, step_s: float = 1.0) -> Arrivals:
    """A recorded trace: CSV, or plain lines.

    One column: the instant of each image, in seconds or as ISO 8601. Two columns `seconds,images_per_s`: the rate from
    that second until the next row's; the last one holds for as long as the one before it. A first line without numbers
    is a heading; blank lines and such as begin with # are left out. Raises SetupError in one line that names the line.
    """
    rows = _rows(path)
    width = len(rows[0][1])
    for line, row in rows:
        if len(row) != width:
            raise _error(path, line, f"it has {len(row)} columns, and the first row has {width}")
    if width == 1:
        return _from_instants(path, rows, step_s)
    return _from_rates(path, rows, step_s)


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    rows: list[tuple[int, list[str]]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in enumerate(csv.reader(file), start=1):
                cells = [cell.strip() for cell in row]
                if not any(cells) or cells[0].startswith("#"):
                    continue
                if len(cells) > 2:
                    raise _error(
                        path, line, f"it has {len(cells)} columns; one (instants) or two (seconds, rate) can be read"
                    )
                if not rows and not re.search(r"\d", "".join(cells)):
                    continue  # a heading
                rows.append((line, cells))
                if len(rows) > _MOST_ROWS:
                    raise _error(path, line, f"more than {_MOST_ROWS:,} rows are not read: give rates instead")
    except OSError as error:
        raise SetupError(printable(f"{path}: it cannot be read: {error.strerror}")) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SetupError(printable(f"{path}: it is no CSV file: {error}")) from error
    if not rows:
        raise SetupError(printable(f"{path}: it holds no rows"))
    return rows


def _from_instants(path: Path, rows: Sequence[tuple[int, list[str]]], step_s: float) -> Arrivals:
    instants = np.sort(np.array([_instant(path, line, cell) for line, [cell] in rows]))
    instants -= instants[0]
    steps = _steps(instants[-1] + step_s / 2, step_s, path)
    counts = np.bincount((instants / step_s).astype(np.int64), minlength=steps)[:steps]
    return Arrivals(step_s, counts / step_s, instants)


def _from_rates(path: Path, rows: Sequence[tuple[int, list[str]]], step_s: float) -> Arrivals:
    at = np.array([_number(path, line, cells[0]) for line, cells in rows])
    rates = np.array([_number(path, line, cells[1]) for line, cells in rows])
    for (line, _), earlier, later in zip(rows[1:], at[:-1], at[1:], strict=True):
        if later <= earlier:
            raise _error(path, line, f"its second {later:g} is not after the row before, {earlier:g}")
    if len(at) < 2:
        raise _error(path, rows[0][0], "one row does not say how long its rate holds: add a second")
    if (negative := np.flatnonzero(rates < 0)).size:
        raise _error(path, rows[int(negative[0])][0], "its rate is below 0")
    at -= at[0]
    middle = (np.arange(_steps(2 * at[-1] - at[-2], step_s, path)) + 0.5) * step_s
    return Arrivals(step_s, rates[np.searchsorted(at, middle, side="right") - 1])


def _instant(path: Path, line: int, cell: str) -> float:
    try:
        return _number(path, line, cell)
    except SetupError:
        try:
            return datetime.fromisoformat(cell).timestamp()
        except (ValueError, OverflowError):
            raise _error(
                path, line, f"{cell[:40]!r} is neither seconds nor a time such as 2026-11-28T09:30:00Z"
            ) from None


def _number(path: Path, line: int, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _error(path, line, f"{cell[:40]!r} is no number")
    return value


def _steps(lasts_s: float, step_s: float, path: Path | None = None) -> int:
    steps = max(math.ceil(lasts_s / step_s - 1e-9), 1)
    if steps > _MOST_STEPS:
        what = f"{path}: it lasts" if path else "the simulated time is"
        raise SetupError(printable(f"{what} {lasts_s:,.0f} s; {_MOST_STEPS * step_s:,.0f} s can be simulated at most"))
    return steps


def _error(path: Path, line: int, reason: str) -> SetupError:
    return SetupError(printable(f"{path}, line {line}: {reason}"))
