import asyncio
import signal
import threading
import time
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import uvicorn

from app.api import server
from app.api.server import DrainingServer, run
from app.bootstrap import open_classifier
from app.engine.client import Status
from app.errors import DeviceError, PackageError
from app.imaging.pool import _Task
from app.imaging.price import Price
from app.settings import Settings


class FakeClassifier:
    """Knows whether it was told that the end is near."""

    draining = False

    def drain(self, timeout_s: float) -> None:
        self.draining = True


def draining_server(delay_s: float) -> tuple[DrainingServer, FakeClassifier]:
    classifier: Any = FakeClassifier()
    return DrainingServer(uvicorn.Config(lambda: None, log_config=None), classifier, delay_s, 20), classifier


def state(subject: DrainingServer) -> str:
    return "forced" if subject.force_exit else "closing" if subject.should_exit else "open"


@pytest.fixture(autouse=True)
def logging_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "configure", lambda level, form: None)


async def test_the_port_closes_after_the_delay() -> None:
    subject, classifier = draining_server(0.05)
    subject.handle_exit(signal.SIGTERM, None)
    assert classifier.draining
    await asyncio.sleep(0.01)
    assert state(subject) == "open"
    await asyncio.sleep(0.2)
    assert state(subject) == "closing"


@pytest.mark.parametrize(("delay_s", "signals"), [(60.0, 1), (0.0, 0)])
async def test_further_signals_cut_short_the_delay_and_then_the_waiting(delay_s: float, signals: int) -> None:
    subject, _ = draining_server(delay_s)
    for _ in range(signals):
        subject.handle_exit(signal.SIGTERM, None)
        assert state(subject) == "open"
    subject.handle_exit(signal.SIGINT, None)
    assert state(subject) == "closing"
    subject.handle_exit(signal.SIGINT, None)
    assert state(subject) == "forced"


@pytest.mark.parametrize(
    ("options", "error"), [({"model": "/nowhere"}, PackageError), ({"device": "cuda:63"}, DeviceError)]
)
def test_what_cannot_be_served_opens_no_port(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, str], error: type[Exception]
) -> None:
    async def serve(self: uvicorn.Server) -> None:
        raise AssertionError("a port was opened")

    monkeypatch.setattr(DrainingServer, "serve", serve)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(error):
        run(Settings(**{"model": "noop", **options}))  # type: ignore[arg-type]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("sig", [signal.SIGTERM])
def test_a_signal_while_the_model_is_loaded_ends_it_with_0(
    monkeypatch: pytest.MonkeyPatch, sig: signal.Signals
) -> None:
    def load(*_: object) -> None:
        signal.raise_signal(sig)
        raise AssertionError("it went on")

    monkeypatch.setattr(server, "open_classifier", load)
    with pytest.raises(SystemExit) as caught:
        run(Settings(model="noop"))
    assert caught.value.code == 0


def test_a_model_that_cannot_warm_up_ends_it_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object) -> None:
        raise RuntimeError("no memory for a single image")

    monkeypatch.setattr("app.engine.runners.noop.NoopRunner.warm_up", broken)
    assert run(Settings(model="noop", port=0)) == 1


def test_a_warm_up_that_hangs_ends_it_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    monkeypatch.setattr("app.engine.runners.noop.NoopRunner.warm_up", lambda self: hold.wait(30))
    settings = Settings(model="noop", port=0, warm_up_timeout_s=0.1, failed_grace_s=0.1, drain_timeout_s=0.5)
    assert run(settings) == 1
    hold.set()


class Engine:
    """A classifier of which only the status is known."""

    def __init__(self, *statuses: Status) -> None:
        self._statuses = list(statuses)
        self.info = SimpleNamespace(name="m")

    async def ready(self) -> None:
        pass

    @property
    def status(self) -> Status:
        return self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]


@pytest.mark.parametrize(
    ("statuses", "ends"),
    [([Status.FAILED], True), ([Status.FAILED] * 3 + [Status.READY], False), ([Status.READY], False)],
)
async def test_a_service_that_stays_failed_ends(
    monkeypatch: pytest.MonkeyPatch, statuses: list[Status], ends: bool
) -> None:
    monkeypatch.setattr(server, "_LOOK_EVERY_S", 0.01)
    subject: Any = SimpleNamespace(should_exit=False)
    app: Any = SimpleNamespace(openapi=dict)
    watch = asyncio.create_task(server._watch(Engine(*statuses), subject, app, 0.05))  # type: ignore[arg-type]
    await asyncio.wait((watch,), timeout=0.5)
    assert subject.should_exit == ends == watch.done()
    watch.cancel()


async def test_the_first_signal_sets_the_instant_for_all_of_it() -> None:
    async with open_classifier(Settings(model="noop", drain_timeout_s=1000)) as classifier:
        await classifier.ready()
        subject = DrainingServer(uvicorn.Config(lambda: None, log_config=None), classifier, 0.2, 0.3)
        subject.handle_exit(signal.SIGTERM, None)
        first = classifier.closes_at
        subject.handle_exit(signal.SIGTERM, None)
        assert first == classifier.closes_at == pytest.approx(time.monotonic() + 0.5, abs=0.1)
        hold = threading.Event()
        stuck = classifier._decoders._ordinary  # neither a decoder nor a lane that is stuck holds up the end
        monkeypatched = stuck._pool.run
        stuck._pool.run = lambda *_, **__: (hold.wait(30), lambda: None)[1]  # type: ignore[method-assign]
        stuck.put(_Task(Future(), [b""], Price(0.1, 1), np.zeros((1, 1, 3), np.uint8)))
    assert first is not None and time.monotonic() < first + 1
    hold.set()
    stuck._pool.run = monkeypatched  # type: ignore[method-assign]
