"""Owns `GET /page/live`, what the page's panel shows; does not read counters."""

import asyncio

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.telemetry.live import Live

router = APIRouter(include_in_schema=False)


@router.get("/page/live")
async def live(request: Request) -> Response:
    """The last seconds as JSON, at most a second old. Who asks does not matter: all get the same bytes."""
    last_seconds: Live = request.app.state.live
    if last_seconds.due():
        await asyncio.to_thread(last_seconds.look)
    return Response(last_seconds.document, media_type="application/json", headers={"Cache-Control": "no-store"})
