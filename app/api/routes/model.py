"""Owns `GET /v1/model`; does not know how models are loaded."""

from dataclasses import asdict

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from app.api.schemas import ModelOut
from app.api.state import State

router = APIRouter()


@router.get("/v1/model", response_model=ModelOut)
async def model(request: Request) -> JSONResponse:
    """What is being served: name, labels in index order, preprocessing, digest, device, what else it can do."""
    classifier = State.of(request).classifier
    found = await classifier.inside.capabilities()
    seen = {"grid": found.grid, "layers": found.layers, "heads": found.heads} if found.methods else {}
    capabilities = {"embeddings": found.width is not None, "embedding_width": found.width, "explain": found.methods}
    return JSONResponse({**asdict(classifier.info), "capabilities": {**capabilities, **seen}})
