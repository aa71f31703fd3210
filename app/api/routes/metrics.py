"""Owns `GET /metrics`; does not define metrics."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.state import State
from app.telemetry.metrics import CONTENT_TYPE

router = APIRouter()


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus' text format; durations in seconds."""
    # Not on the event loop: with a few hundred series it takes milliseconds.
    return Response(await asyncio.to_thread(State.of(request).metrics.render), media_type=CONTENT_TYPE)
