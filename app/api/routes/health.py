"""Owns the probes `/livez` and `/readyz`; does not decide what healthy means."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from app.api.schemas import StatusOut
from app.api.state import State
from app.engine.client import Status

router = APIRouter()


@router.get("/livez", response_model=StatusOut, responses={503: {"model": StatusOut}})
async def livez(request: Request) -> JSONResponse:
    """200 while the event loop turns and the device answers; 503 means: restart me."""
    status = State.of(request).classifier.status
    return JSONResponse({"status": status.value}, 503 if status is Status.FAILED else 200)


@router.get("/readyz", response_model=StatusOut, responses={503: {"model": StatusOut}})
async def readyz(request: Request) -> JSONResponse:
    """200 once every batch size is warmed up; 503 before, while draining and after a failure."""
    status = State.of(request).classifier.status
    return JSONResponse({"status": status.value}, 200 if status is Status.READY else 503)
