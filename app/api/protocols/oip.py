"""Owns the paths of the Open Inference Protocol v2, with Triton's binary tensors; does not read or write tensors."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from app.api.answering import Asked, answer, first_error, is_raw
from app.api.errors import error_response
from app.api.protocols.names import VERSION, check_model
from app.api.protocols.oip_answer import outputs_of, wanted_outputs, write
from app.api.protocols.oip_metadata import model_configuration, model_metadata, model_statistics, server_metadata
from app.api.protocols.oip_pictures import Limits, pictures_of
from app.api.protocols.oip_request import HEADER, Wanted, json_bytes_of, read_request
from app.api.state import State
from app.domain import Logits, ModelInfo
from app.engine.client import Status
from app.errors import MalformedRequest

router = APIRouter(include_in_schema=False)  # the protocol has a description of its own
_MANY_NUMBERS: Final = 1000  # computed and written as JSON they take half a millisecond
_MODEL: Final = "/v2/models/{model:path}"
_VERSION: Final = _MODEL + "/versions/{version}"  # a route before `_MODEL`'s, that is, below it: names may have slashes


@router.get("/v2")
@router.get("/v2/")
async def server(request: Request) -> JSONResponse:
    """What this is, and which extensions it has."""
    return JSONResponse(server_metadata())


@router.get("/v2/health/live")
@router.get("/v2/health/ready")
async def health(request: Request) -> JSONResponse:
    """Both words on both paths: the specification has one, KServe's client the other, and Triton's only the status."""
    status = State.of(request).classifier.status
    says = {"live": status is not Status.FAILED, "ready": status is Status.READY}
    return JSONResponse(says, 200 if says[request.scope["path"].rpartition("/")[2]] else 503)


@router.get(_MODEL + "/ready")
@router.get(_VERSION + "/ready")
async def ready(request: Request) -> JSONResponse:
    """503 until the model is warmed up, while draining and after a failure."""
    name, is_ready = check_model(request), State.of(request).classifier.status is Status.READY
    return JSONResponse({"name": name, "ready": is_ready}, 200 if is_ready else 503)


@router.get(_MODEL + "/config")
@router.get(_VERSION + "/config")
async def config(request: Request) -> JSONResponse:
    """Triton's configuration of the model."""
    name, state = check_model(request), State.of(request)
    return JSONResponse(model_configuration(state.classifier.info, name, state.settings.max_images_per_request))


@router.get(_MODEL + "/stats")
@router.get(_VERSION + "/stats")
@router.get("/v2/models/stats")
async def stats(request: Request) -> JSONResponse:
    """Triton's statistics of the model, which is all there are."""
    name = check_model(request) if request.path_params else State.of(request).classifier.info.name
    return JSONResponse(await asyncio.to_thread(model_statistics, State.of(request).metrics, name))


@router.get(_MODEL)
@router.get(_VERSION)
async def metadata(request: Request) -> JSONResponse:
    """The model's inputs and outputs; after the paths above, which it would take for names."""
    return JSONResponse(model_metadata(State.of(request).classifier.info, check_model(request)))


@router.post(_MODEL + "/infer")
@router.post(_VERSION + "/infer")
async def infer(request: Request) -> Response:
    """Scores of all classes, or the best ones, for one image or several; if one fails, so does the request."""
    name, state = check_model(request), State.of(request)
    json_bytes = json_bytes_of(request.headers.get(HEADER))
    limits = Limits(state.classifier.info.preprocess, state.settings.max_images_per_request)

    def unpack(body: bytearray) -> Asked[Logits]:
        if json_bytes != 0 and is_raw(body):
            raise MalformedRequest(
                f"the body is an image and not JSON; with the header {HEADER}: 0, or to /v1/classify, it may be one"
            )
        asked = read_request(body, json_bytes, limits.max_images)
        wanted = wanted_outputs(asked)
        images = pictures_of(asked.inputs, limits)
        return Asked(images, partial(state.classifier.logits), asked.timeout_s, (asked.id, wanted))

    answered = await answer(request, unpack)
    if (error := first_error(answered.answers)) is not None:
        return error_response(request, error)
    id_, wanted = answered.terms
    head = {"model_name": name, "model_version": VERSION, **({} if id_ is None else {"id": id_})}
    answers = [each for each in answered.answers if isinstance(each, Logits)]
    if len(answers) * len(answers[0].values) > _MANY_NUMBERS:
        return await asyncio.to_thread(_reply, head, answers, wanted, state.classifier.info)
    return _reply(head, answers, wanted, state.classifier.info)


def _reply(head: dict[str, Any], answers: Sequence[Logits], wanted: Sequence[Wanted], info: ModelInfo) -> Response:
    body, json_bytes = write(head, outputs_of(answers, wanted, info))
    if json_bytes is None:
        return Response(body, media_type="application/json")
    return Response(body, media_type="application/octet-stream", headers={HEADER: str(json_bytes)})
