"""Owns `GET /metrics`; does not define metrics."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.state import State

router = APIRouter()


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus' text format, or OpenMetrics with exemplars for those who accept it; durations in seconds."""
    # Not on the event loop: with a few hundred series it takes milliseconds.
    accept = ",".join(request.headers.getlist("accept"))
    text, content_type = await asyncio.to_thread(State.of(request).metrics.render, accept)
    return Response(text, media_type=content_type)
