"""Settings reach what they are for; uvicorn and the tidying know our connections and requests."""

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from app.api import server
from app.api.app import create_admin_app
from app.api.connection.protocol import Connection
from app.api.server import DrainingServer
from app.engine.client import Status
from app.settings import Settings
from tests.api.conftest import picture, service
from tests.api.test_server import Engine


async def test_what_is_set_holds_for_every_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def tidy(idle: Any) -> None:
        seen.append(idle)
        await asyncio.Event().wait()

    async def serve(self: DrainingServer) -> None:
        await asyncio.sleep(0)
        make: Any = self.config.http
        connection = make(config=None, server_state=None, app_state={}, _loop=None)
        assert isinstance(connection, Connection)
        limits, connections = connection._limits, connection._connections
        assert (limits.keep_alive_s, limits.max_connections, connections.limit) == (600, 7, 7)
        kept: Any = self.server_state
        assert kept.connections is connections.open
        assert kept.tasks is connections.tasks
        assert self.config.timeout_graceful_shutdown == 9
        (idle,) = seen
        assert idle()
        connections.tasks.add(asyncio.create_task(asyncio.sleep(0)))
        assert not idle()
        seen.append("served")

    monkeypatch.setattr(server, "tidy_when_idle", tidy)
    monkeypatch.setattr(DrainingServer, "serve", serve)
    settings = Settings(model="noop", keep_alive_s=600, max_connections=7, drain_timeout_s=10)
    assert await server._serve(settings) == 0
    assert seen[-1] == "served"


async def test_with_an_admin_port_the_first_one_has_no_metrics() -> None:
    async with service(admin_port=9000) as s:
        assert (await s.client.get("/metrics")).status_code == 404
        assert (await s.client.get("/readyz")).status_code == 200


async def test_the_admin_port_has_nothing_that_costs() -> None:
    async with service() as s:
        admin = create_admin_app(s.app)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(admin), base_url="http://test") as client:
            for path in ("/livez", "/readyz", "/metrics"):
                assert (await client.get(path)).status_code == 200
            for path in ("/", "/v1/model", "/docs", "/openapi.json"):
                assert (await client.get(path)).status_code == 404
            assert (await client.post("/v1/classify", content=picture())).status_code == 404


class Cold(Engine):
    """Cannot warm up."""

    async def ready(self) -> None:
        raise RuntimeError("no memory for a single image")


async def ends(engine: Any, grace_s: float, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the watch ends the server within half a second, in which it looks some forty times."""
    monkeypatch.setattr(server, "_LOOK_EVERY_S", 0.01)
    subject: Any = SimpleNamespace(should_exit=False)
    app: Any = SimpleNamespace(openapi=dict)
    watch = asyncio.create_task(server._watch(engine, subject, app, grace_s))
    await asyncio.wait((watch,), timeout=0.5)
    watch.cancel()
    return bool(subject.should_exit)


async def test_a_model_that_cannot_warm_up_is_given_no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ends(Cold(Status.FAILED), 1000.0, monkeypatch)


async def test_a_service_that_recovers_in_between_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = ([Status.FAILED] * 3 + [Status.READY]) * 10
    assert not await ends(Engine(*statuses), 0.05, monkeypatch)
    assert await ends(Engine(*[Status.FAILED] * 100), 0.05, monkeypatch)
