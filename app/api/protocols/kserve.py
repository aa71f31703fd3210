"""Owns KServe's v1 protocol and TensorFlow Serving's REST API, which share their paths; does not read instances."""

import asyncio
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.api.answering import Asked, Images, answer, first_error
from app.api.errors import error_response
from app.api.explanation import explanation_document
from app.api.protocols import instances
from app.api.protocols.names import VERSION, check_model
from app.api.routes import page
from app.api.state import State
from app.domain import Explanation
from app.engine.client import Status

router = APIRouter(include_in_schema=False)
# TensorFlow Serving's names of what we call the status.
_STATES: Final = {
    Status.STARTING: "LOADING",
    Status.READY: "AVAILABLE",
    Status.DRAINING: "UNLOADING",
    Status.FAILED: "END",
}


@router.get("/")
async def alive(request: Request) -> Response:
    """KServe's liveness; its client asks for any type, a browser for HTML, and that gets the page."""
    if "text/html" in request.headers.get("accept", ""):
        response = await page.page(request)
        response.headers["Vary"] = "Accept, Accept-Encoding"
        return response
    return JSONResponse({"status": "alive"}, headers={"Vary": "Accept"})


@router.get("/v1/models")
async def models(request: Request) -> JSONResponse:
    """The names that may be asked for."""
    state = State.of(request)
    return JSONResponse({"models": [state.classifier.info.name, *state.settings.model_aliases]})


@router.post("/v1/models/{model:path}:predict")
@router.post("/v1/models/{model:path}/versions/{version}:predict")  # the lower is looked at first
async def predict(request: Request) -> Response:
    """The best classes of each instance."""
    check_model(request)
    return await instances.predict(request)


@router.post("/v1/models/{model:path}:explain")
async def explain(request: Request) -> Response:
    """`{"explanations": […]}`, of each instance what `/v1/explain` says where no options are given."""
    check_model(request)
    state = State.of(request)
    inside, most = state.classifier.inside, state.settings.max_images_per_request
    look = await inside.check_look("rollout", None, None)

    def unpack(body: bytearray) -> Asked[Explanation]:
        images = instances.read_instances(body, most).images
        return Asked(Images(list(images), many=len(images) > 1), partial(inside.explain, look))

    with inside.place("explanations"):
        answers, _ = await answer(request, unpack)
    if (error := first_error(answers)) is not None:
        return error_response(request, error)
    return await asyncio.to_thread(_written, [each for each in answers if isinstance(each, Explanation)])


def _written(answers: list[Explanation]) -> Response:
    return JSONResponse({"explanations": [explanation_document(each, None) for each in answers]})


@router.get("/v1/models/{model:path}")
@router.get("/v1/models/{model:path}/versions/{version}")
async def model(request: Request) -> JSONResponse:
    """Both answers in one document: KServe reads `ready` and the status, TensorFlow Serving's clients the versions."""
    name, status = check_model(request), State.of(request).classifier.status
    version: dict[str, Any] = {
        "version": VERSION,
        "state": _STATES[status],
        "status": {"error_code": "OK", "error_message": ""},
    }
    ready = status is Status.READY
    document = {"name": name, "ready": ready, "model_version_status": [version]}
    return JSONResponse(document, 200 if ready else 503)
