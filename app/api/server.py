"""Owns the server process: uvicorn, signals, draining, exit code; does not know routes."""

import asyncio
import gc
import logging
import math
import signal
from types import FrameType

import uvicorn

from app.api.app import create_app
from app.api.connection import IDLE_TIMEOUT_S, BoundedConnection
from app.bootstrap import open_classifier
from app.classifier import Classifier
from app.settings import Settings, misspelt_variables
from app.telemetry.logs import configure
from app.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """A server that says "not ready" on SIGTERM, goes on for the drain delay, and only then closes its port.

    Load balancers need that delay to notice. A further signal cuts the delay short; one more, the waiting for
    requests in flight.
    """

    def __init__(self, config: uvicorn.Config, classifier: Classifier, drain_delay_s: float) -> None:
        super().__init__(config)
        self._classifier, self._drain_delay_s = classifier, drain_delay_s
        self._signals = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by uvicorn for SIGTERM and SIGINT; uvicorn's own would end the process by that signal, not with 0."""
        self._signals += 1
        self._classifier.drain()
        if self._signals == 1 and self._drain_delay_s > 0:
            asyncio.get_running_loop().call_soon_threadsafe(self._close_later)
        else:
            self.force_exit = self.should_exit
            self.should_exit = True

    def _close_later(self) -> None:
        asyncio.get_running_loop().call_later(self._drain_delay_s, setattr, self, "should_exit", True)


def run(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code.

    Raises SetupError before the port is opened if the model or device cannot be had.
    """
    configure(settings.log_level)
    config = uvicorn.Config("", loop="uvloop", log_config=None)
    before = signal.signal(signal.SIGTERM, _stop_before_serving)
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            return runner.run(_serve(settings))
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop_before_serving(sig: int, frame: FrameType | None) -> None:
    """Until uvicorn listens to signals: by itself a container's first process would not even notice."""
    raise SystemExit(0)


async def _serve(settings: Settings) -> int:
    telemetry = Metrics()
    for name, meant in misspelt_variables().items():
        logger.warning("%s is no setting; %s is", name, meant)
    open_requests, body_mib = settings.max_open_requests, settings.max_body_bytes / 2**20
    logger.info(
        "at most %d open requests x %.1f MiB = %.1f MiB of bodies", open_requests, body_mib, open_requests * body_mib
    )
    async with open_classifier(settings, telemetry) as classifier:
        config = uvicorn.Config(
            create_app(settings, classifier, telemetry),
            host=settings.host,
            port=settings.port,
            http=BoundedConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE_TIMEOUT_S,
            timeout_graceful_shutdown=math.ceil(settings.drain_timeout_s),
        )
        server = DrainingServer(config, classifier, settings.drain_delay_s)
        watch = asyncio.create_task(_watch_warm_up(classifier, server))
        try:
            await server.serve()
        finally:
            watch.cancel()
        return 1 if watch.done() and not watch.cancelled() and watch.result() else 0


async def _watch_warm_up(classifier: Classifier, server: uvicorn.Server) -> bool:
    """Ends the server if the model cannot even warm up; returns whether it did."""
    try:
        await classifier.ready()
    except Exception:
        logger.exception("the warm-up failed")
        server.should_exit = True
        return True
    # What lives now lives to the end: without this each full collection walks 200,000 objects and stops all for 0.15 s.
    gc.collect()
    gc.freeze()
    logger.info("ready to classify with %s", classifier.info.name)
    return False
