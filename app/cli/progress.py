"""Owns progress bars on stderr, and plain lines where no terminal is; does not know commands' work."""

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress

    from app.training.loop import EpochReport, StepReport
    from app.training.run import Listener, LoadReport

_MANY: Final = 20  # files from which on a bar is worth its line
_LINE_EVERY_S: Final = 10.0
_REWRITTEN_EVERY_S: Final = 0.25


class Line:
    """One line on stderr, rewritten where somebody watches; else, every ten seconds, one more."""

    def __init__(self) -> None:
        self._watched, self._told_at, self._shown = sys.stderr.isatty(), monotonic(), False

    def is_due(self) -> bool:
        """Whether it is time to tell more."""
        return monotonic() - self._told_at >= (_REWRITTEN_EVERY_S if self._watched else _LINE_EVERY_S)

    def tell(self, text: str) -> None:
        """Shows it."""
        self._told_at, self._shown = monotonic(), self._watched
        sys.stderr.write(f"\r{text}\x1b[K" if self._watched else f"{text}\n")
        sys.stderr.flush()

    def clear(self) -> None:
        """Leaves the terminal to others."""
        if self._shown:
            self._shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class Tally:
    """How far a run through very many images is. `count`, in a thread, says how many there are, None: nobody knows."""

    def __init__(self, count: Callable[[], int | None]) -> None:
        self.done = self.skipped = 0
        self.failures = Counter[str]()
        self.line = Line()
        self._count, self._counting = count, False
        self._total: int | None = None
        self._began_at = monotonic()

    def add(self, code: str | None) -> None:
        """One more, `code` where it has no answer; tells of it when it is time."""
        self.done += 1
        if code is not None:
            self.failures[code] += 1
        if self.line.is_due():
            if not self._counting:
                self._counting = True
                threading.Thread(target=self._find_total, name="count", daemon=True).start()
            self.line.tell(self.told())

    def told(self) -> str:
        """Everything in a line."""
        done, total = self.done + self.skipped, self._total
        known = total is not None and total >= done
        parts = [f"{done:,} of {total:,} images" if known else f"{done:,} images", f"{self.per_s:,.0f} images/s"]
        if known and total is not None:
            parts.append(f"{duration((total - done) / self.per_s)} left")
        return ", ".join(parts + ([f"without an answer: {self.causes()}"] if self.failures else []))

    def causes(self) -> str:
        """Numbers of failures by code, the most first."""
        return ", ".join(f"{number:,} {code}" for code, number in self.failures.most_common())

    @property
    def per_s(self) -> float:
        """Images a second, of this run."""
        return self.done / max(monotonic() - self._began_at, 1e-6)

    def _find_total(self) -> None:
        self._total = self._count()


def duration(seconds: float) -> str:
    """Two units at most."""
    minutes, hours = divmod(round(seconds), 60)[0], round(seconds) // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {round(seconds) % 60} s" if minutes else f"{round(seconds)} s"


@contextmanager
def file_progress(total: int, doing: str = "classifying") -> Iterator[Callable[[], None]]:
    """A function to call after each file; it moves a bar if there are many and somebody watches."""
    if total < _MANY or not sys.stderr.isatty():
        yield lambda: None
        return
    with _bar() as progress:
        task = progress.add_task(doing, total=total, state="")
        yield lambda: progress.advance(task)


@contextmanager
def training_progress() -> "Iterator[Listener]":
    """What listens to a run: a bar for reading, one for training; without a terminal a line for each epoch."""
    if not sys.stderr.isatty():
        yield _EpochLines()
        return
    with _bar() as progress:
        yield _TrainingBar(progress)


def _bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # what goes to stdout is the result, and may go to a file
    )


class _TrainingBar:
    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._reading = progress.add_task("reading images", total=None, state="")
        self._training = progress.add_task("training", total=None, state="", visible=False, start=False)
        self._accuracy = ""

    def __call__(self, report: "LoadReport | StepReport | EpochReport") -> None:
        from app.training.loop import EpochReport
        from app.training.run import LoadReport

        progress = self._progress
        if isinstance(report, LoadReport):
            progress.update(
                self._reading, completed=report.done, total=report.total, visible=report.done < report.total
            )
        elif isinstance(report, EpochReport):
            self._accuracy = f", accuracy {100 * report.validation_accuracy:.1f} % after epoch {report.epoch}"
        else:
            if not progress.tasks[self._training].started:  # a resumed run starts in the middle: no measure of speed
                progress.update(self._training, total=report.total_steps, completed=report.step - 1, visible=True)
                progress.start_task(self._training)
            state = f"loss {report.loss:.3f}{self._accuracy}"
            progress.update(self._training, completed=report.step, state=state)


class _EpochLines:
    def __init__(self) -> None:
        self._began_at, self._began_step, self._step, self._total_steps = 0.0, 0, 0, 0

    def __call__(self, report: "LoadReport | StepReport | EpochReport") -> None:
        from app.training.loop import EpochReport, StepReport

        if isinstance(report, StepReport):
            if self._total_steps == 0:
                self._began_at, self._began_step = monotonic(), report.step
            self._step, self._total_steps = report.step, report.total_steps
        elif isinstance(report, EpochReport):
            done = max(self._step - self._began_step, 1)
            left_s = (monotonic() - self._began_at) / done * (self._total_steps - self._step)
            sys.stderr.write(
                f"epoch {report.epoch}: loss {report.train_loss:.4f}, validation loss {report.validation_loss:.4f}, "
                f"accuracy {100 * report.validation_accuracy:.2f} %, {report.images_per_s:.0f} images/s, "
                f"{left_s / 60:.0f} min left\n"
            )
