"""Owns `POST /v1/explain`; does not unpack bodies, compute or draw."""

import asyncio
import json
from functools import partial
from typing import Final, cast, get_args

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.answering import Asked, Images, answer, is_raw
from app.api.envelopes import unpack
from app.api.errors import error_body
from app.api.explanation import explanation_text, map_of
from app.api.options import number, options, word
from app.api.request_id import request_id
from app.api.schemas import REQUEST_BODY
from app.api.schemas_inside import EXPLAIN_PARAMETERS, EXPLAIN_RESPONSES, ExplainManyOut, ExplainOut
from app.api.state import State
from app.domain import ExplainingMethod, Explanation
from app.errors import InvalidParameter, VitServeError
from app.imaging.overlay import overlay_png

router = APIRouter()
_OPTIONS: Final = ("method", "layer", "head", "class", "format")
_FORMATS: Final = ("json", "png")


@router.post(
    "/v1/explain",
    summary="Show where the model looks",
    response_model=ExplainOut | ExplainManyOut,
    responses=EXPLAIN_RESPONSES,
    openapi_extra={"requestBody": REQUEST_BODY, "parameters": EXPLAIN_PARAMETERS},
)
async def explain(request: Request) -> Response:
    """A weight for each patch of each image, as JSON, or of one a PNG of what the model saw under a heat map."""
    state, content_type = State.of(request), request.headers.get("content-type", "")
    inside, most = state.classifier.inside, state.settings.max_images_per_request
    given = options(request, _OPTIONS)
    method = cast(ExplainingMethod, word("method", given.get("method", "rollout"), get_args(ExplainingMethod)))
    look = await inside.check_look(method, number("layer", given.get("layer")), number("class", given.get("class")))
    head, heads = number("head", given.get("head")), (await inside.capabilities()).heads
    if head is not None and (method != "attention" or head >= heads):
        raise InvalidParameter(f"head is {head}; method attention takes 0 to {heads - 1}, the others take none")
    as_png = word("format", given.get("format", _wanted(request.headers.get("accept", ""))), _FORMATS) == "png"

    def unpack_body(body: bytearray) -> Asked[Explanation]:
        images = Images([body], many=False) if is_raw(body) else unpack(body, content_type, most)
        if as_png and images.many:
            raise InvalidParameter("a PNG is of one image, and the request has several; ask for format=json")
        return Asked(images, partial(inside.explain, look), terms=images.many)

    with inside.place("explanations"):
        answers, many = await answer(request, unpack_body)
    if as_png and not isinstance(answers[0], VitServeError):
        png = await asyncio.to_thread(overlay_png, answers[0].seen, map_of(answers[0], head))
        return Response(png, media_type="image/png")
    return await asyncio.to_thread(_written, answers, many, head, request_id(request.scope))


def _written(answers: list[Explanation | VitServeError], many: bool, head: int | None, id_: str) -> Response:
    more = {} if many else {"request_id": id_}
    results = [
        json.dumps(error_body(one)) if isinstance(one, VitServeError) else explanation_text(one, head, **more)
        for one in answers
    ]
    text = f'{{"results": [{", ".join(results)}], "request_id": {json.dumps(id_)}}}' if many else results[0]
    return Response(text, media_type="application/json")


def _wanted(accept: str) -> str:
    """What a client without `format` takes: a picture if it names some and not JSON, as `<img>` and forms do."""
    accept = accept.lower()
    return "png" if "image/" in accept and "json" not in accept else "json"
