import asyncio
import signal
from typing import Any

import pytest
import uvicorn

from app.api import server
from app.api.server import DrainingServer, run
from app.errors import DeviceError, PackageError
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
    monkeypatch.setattr(server, "configure", lambda level: None)


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

    monkeypatch.setattr("app.engine.runners.torch.TorchRunner.warm_up", broken)
    assert run(Settings(model="noop", port=0)) == 1
