"""Owns `GET /v1/model`; does not know how models are loaded."""

from dataclasses import asdict

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from app.api.schemas import ModelOut
from app.api.state import State

router = APIRouter()


@router.get("/v1/model", response_model=ModelOut)
async def model(request: Request) -> JSONResponse:
    """What is being served: name, labels in index order, preprocessing, digest, device, precision."""
    return JSONResponse(asdict(State.of(request).classifier.info))
