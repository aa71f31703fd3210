"""Owns the two paths that Amazon SageMaker asks of a container; does not know what its invocations hold."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.api.routes.classify import classify
from app.api.routes.health import readyz

router = APIRouter(include_in_schema=False)


@router.get("/ping")
async def ping(request: Request) -> JSONResponse:
    """As `/readyz`: of the answer SageMaker reads the status alone."""
    return await readyz(request)


@router.post("/invocations")
async def invocations(request: Request) -> Response:
    """As `/v1/classify`: SageMaker passes bodies and answers on as they are."""
    return await classify(request)
