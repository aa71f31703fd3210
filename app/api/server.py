"""Owns the server process: uvicorn, signals, draining, exit code; does not know routes."""

import asyncio
import logging
import math
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any, Final, cast

import uvicorn
import uvloop
from fastapi import FastAPI

from app.api.app import create_admin_app, create_app
from app.api.connection.exchange import ASGIApp
from app.api.connection.limits import ConnectionLimits, connections_that_fit
from app.api.connection.protocol import Connection
from app.api.connection.registry import Connections
from app.api.protocols.grpc.open import grpc_port
from app.api.state import State
from app.api.tidy import tidy_when_idle
from app.bootstrap import fitted, open_classifier
from app.classifier import Classifier
from app.engine.allowance import allowed_memory_bytes
from app.engine.client import Status
from app.errors import SetupError
from app.settings import Settings, misspelt_variables
from app.telemetry.logs import configure
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Tracer, open_tracer

logger = logging.getLogger(__name__)
_ADMIN_CONNECTIONS: Final = 16
_LOOK_EVERY_S: Final = 0.5
# How long a thread in Python code, such as a decoder of strange bitmaps, keeps the others from theirs. By itself 5 ms,
# and a request waits for a dozen of them.
_SWITCH_INTERVAL_S: Final = 0.001
_LAST_TRACES_S: Final = 2.0  # for a collector that does not answer
_SHARE_FOR_REQUESTS: Final = 0.9  # of the drain timeout; the rest is for the engine and the decoders


class DrainingServer(uvicorn.Server):
    """A server that says "not ready" on SIGTERM, goes on for the drain delay, and only then closes its port.

    Load balancers need that delay to notice. A further signal cuts the delay short; one more, the waiting for
    requests in flight. The first signal sets the one instant by which all is over.
    """

    def __init__(self, config: uvicorn.Config, classifier: Classifier, delay_s: float, timeout_s: float) -> None:
        super().__init__(config)
        self._classifier, self._delay_s, self._timeout_s = classifier, delay_s, timeout_s
        self._signals = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by uvicorn for SIGTERM and SIGINT; uvicorn's own would end the process by that signal, not with 0."""
        self._signals += 1
        self._classifier.drain(self._delay_s + self._timeout_s)
        if self._signals == 1 and self._delay_s > 0:
            asyncio.get_running_loop().call_soon_threadsafe(self._close_later)
        else:
            self.force_exit = self.should_exit
            self.should_exit = True

    def _close_later(self) -> None:
        asyncio.get_running_loop().call_later(self._delay_s, setattr, self, "should_exit", True)


def run(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code.

    Raises SetupError before the port is opened if the model or device cannot be had.
    """
    configure(settings.log_level, settings.log_format)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    before = signal.signal(signal.SIGTERM, _stop_before_serving)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
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
    if settings.request_timeout_ms <= settings.max_wait_ms:
        logger.warning("VIT_REQUEST_TIMEOUT_MS is not above VIT_MAX_WAIT_MS: images that were let in may be too late")
    settings = fitted(settings, allowed_memory_bytes())
    limits = ConnectionLimits(settings.keep_alive_s, max_connections=connections_that_fit(settings.max_connections))
    logger.info(
        "at most %d connections, %.0f MiB of bodies, %.0f MiB of large pictures being decoded",
        *(limits.max_connections, settings.max_bodies_bytes / 2**20, settings.max_decode_bytes / 2**20),
    )
    async with _tracer(settings) as (tracer, ends_at), open_classifier(settings, telemetry) as classifier:
        app = create_app(settings, classifier, telemetry, tracer)
        state: State = app.state.service
        connections = Connections(limits.max_connections, telemetry, state.access)
        telemetry.watch("vit_connections", "Open connections.", lambda: len(connections.open))
        telemetry.watch("vit_connections_limit", "Connections that may be open.", lambda: connections.limit)
        server = DrainingServer(
            _uvicorn_config(app, settings, connection_factory(app, limits, connections)),
            *(classifier, settings.drain_delay_s, settings.drain_timeout_s),
        )
        # What uvicorn's server asks of any protocol class: to keep these two sets, which it waits for in the end.
        kept: Any = server.server_state  # typed for the protocols that uvicorn ships
        kept.connections, kept.tasks = connections.open, connections.tasks
        async with _admin_port(settings, app, telemetry), grpc_port(state):
            watch = asyncio.create_task(_watch(classifier, server, app, settings.failed_grace_s))
            tidy = asyncio.create_task(tidy_when_idle(lambda: not connections.tasks))
            try:
                await server.serve()
            finally:
                watch.cancel()
                tidy.cancel()
                ends_at.append(classifier.closes_at or math.inf)
        return 1 if watch.done() and not watch.cancelled() else 0


@asynccontextmanager
async def _tracer(settings: Settings) -> AsyncIterator[tuple[Tracer | None, list[float]]]:
    """Who traces, if anybody does, and a list for the instant by which all must be over. Raises SetupError."""
    if settings.tracing == "off":
        yield None, []
        return
    tracer, ends_at = open_tracer(), list[float]()
    try:
        yield tracer, ends_at
    finally:
        left_s = min(ends_at, default=math.inf) - time.monotonic()
        await asyncio.to_thread(tracer.close, max(min(left_s, _LAST_TRACES_S), 0.0))


def _uvicorn_config(app: FastAPI, settings: Settings, protocol: Callable[..., asyncio.Protocol]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=cast(type[asyncio.Protocol], protocol),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=max(math.floor(settings.drain_timeout_s * _SHARE_FOR_REQUESTS), 1),
    )


def connection_factory(
    app: ASGIApp, limits: ConnectionLimits, connections: Connections
) -> Callable[..., asyncio.Protocol]:
    """What uvicorn and asyncio call for each connection; uvicorn names four arguments that ours has no use for."""

    def make(**_: object) -> asyncio.Protocol:
        return Connection(app, limits, connections)

    return make


@asynccontextmanager
async def _admin_port(settings: Settings, app: FastAPI, telemetry: Metrics) -> AsyncIterator[None]:
    """Listens on the port for probes and metrics, if there is one, to the very end. Raises SetupError."""
    if not settings.admin_port:
        yield
        return
    limits = ConnectionLimits(settings.keep_alive_s, max_connections=_ADMIN_CONNECTIONS)
    connections = Connections(limits.max_connections, telemetry)
    factory = connection_factory(create_admin_app(app), limits, connections)
    try:
        server = await asyncio.get_running_loop().create_server(factory, settings.host, settings.admin_port)
    except OSError as error:
        raise SetupError(f"the admin port {settings.admin_port} cannot be listened on: {error}") from error
    logger.info("probes and metrics are also on port %d", settings.admin_port)
    try:
        yield
    finally:
        server.close()
        for connection in list(connections.open):
            connection.shutdown()


async def _watch(classifier: Classifier, server: uvicorn.Server, app: FastAPI, failed_grace_s: float) -> None:
    """Returns, having ended the server, if the model cannot even warm up, or has failed for the grace."""
    ready = asyncio.create_task(_announce(classifier, app))
    failed_s = 0.0
    while failed_s <= failed_grace_s:
        await asyncio.wait((ready,), timeout=_LOOK_EVERY_S)
        if ready.done():
            if error := ready.exception():
                logger.error("the warm-up failed", exc_info=error)
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        failed_s = failed_s + _LOOK_EVERY_S if classifier.status is Status.FAILED else 0.0
    else:
        logger.critical("the engine has failed for %.0f s; the service ends so that it is started again", failed_s)
    server.should_exit = True


async def _announce(classifier: Classifier, app: FastAPI) -> None:
    await classifier.ready()
    await asyncio.to_thread(app.openapi)  # kept from then on; it takes tens of milliseconds
    logger.info("ready to classify with %s", classifier.info.name)
