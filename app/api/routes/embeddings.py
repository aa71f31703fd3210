"""Owns `POST /v1/embeddings`, whose answers are OpenAI's; does not unpack forms or compute."""

import asyncio
import base64
import json
from typing import Any, Final, NamedTuple

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.answering import Asked, Images, answer, first_error, is_raw
from app.api.base64_text import image_from_text, looks_like_text
from app.api.envelopes import check_count, unpack
from app.api.errors import error_response
from app.api.json_document import Document, parse_json
from app.api.options import options, word, yes_or_no
from app.api.request_id import request_id
from app.api.schemas_inside import EMBEDDING_BODY, EMBEDDING_PARAMETERS, FAILURES, EmbeddingsOut
from app.api.state import State
from app.domain import Embedding
from app.errors import InvalidParameter, MalformedRequest, RequestError

router = APIRouter()
_OPTIONS: Final = ("normalize", "encoding_format")
_FORMATS: Final = ("float", "base64")


class Terms(NamedTuple):
    """How embeddings are written: with a length of 1, as base64 of little-endian float32."""

    normalize: bool
    as_base64: bool


@router.post(
    "/v1/embeddings",
    summary="Embed one image or several",
    response_model=EmbeddingsOut,
    responses=FAILURES,
    openapi_extra={"requestBody": EMBEDDING_BODY, "parameters": EMBEDDING_PARAMETERS},
)
async def embeddings(request: Request) -> Response:
    """What the head of the network reads of each image. All images are answered, or none: the first error is told."""
    state, content_type = State.of(request), request.headers.get("content-type", "")
    inside, most = state.classifier.inside, state.settings.max_images_per_request
    given = dict(options(request, _OPTIONS))
    terms = _terms(given)
    await inside.check("embeddings")

    def unpack_body(body: bytearray) -> Asked[Embedding]:
        if is_raw(body):
            return Asked(Images([body], many=False), inside.embed, terms=terms)
        if content_type.startswith("application/json") or body[:1] == b"{":
            document = parse_json(body, most)
            if isinstance(document.value, dict) and "input" in document.value:
                return Asked(_inputs(document, most), inside.embed, terms=_terms({**document.value, **given}))
        return Asked(unpack(body, content_type, most), inside.embed, terms=terms)

    with inside.place("embeddings"):
        answers, terms = await answer(request, unpack_body)
    if (error := first_error(answers)) is not None:
        return error_response(request, error)
    found = [one for one in answers if isinstance(one, Embedding)]
    return await asyncio.to_thread(_written, found, terms, request_id(request.scope))


def _written(found: list[Embedding], terms: Terms, id_: str) -> Response:
    """One by one: within one call the interpreter lets no other thread run."""
    data = [
        json.dumps({"object": "embedding", "index": index, "embedding": _numbers(each, terms)})
        for index, each in enumerate(found)
    ]
    usage = {"prompt_tokens": 0, "total_tokens": 0}  # which clients add up; images have none
    rest = {"object": "list", "model": found[0].model, "usage": usage, "request_id": id_}
    return Response(f'{json.dumps(rest)[:-1]}, "data": [{", ".join(data)}]}}', media_type="application/json")


def _numbers(embedding: Embedding, terms: Terms) -> list[float] | str:
    values = embedding.values
    if terms.normalize:
        length = np.linalg.norm(values.astype(np.float64))
        values = (values / (length or 1)).astype(np.float32)
    return base64.b64encode(values.astype("<f4").tobytes()).decode() if terms.as_base64 else values.tolist()


def _terms(given: dict[str, Any]) -> Terms:
    """Raises InvalidParameter."""
    if given.get("dimensions") is not None:
        raise InvalidParameter("embeddings of this model have one size and cannot be shortened; leave out dimensions")
    encoding = word("encoding_format", given.get("encoding_format") or _FORMATS[0], _FORMATS)
    return Terms(yes_or_no("normalize", given.get("normalize", False)), encoding == "base64")


def _inputs(document: Document, most: int) -> Images:
    """OpenAI's `input`: a string or a list of strings. Raises EmptyBody, MalformedRequest or TooManyImages."""
    value = document.value["input"]
    items = value if isinstance(value, list) else [value]
    check_count(len(items), most)
    if not all(isinstance(item, str) for item in items):
        raise MalformedRequest("input must be an image as data URL or base64, or a list of these; text is not embedded")
    images: list[Any] = []
    for item in items:
        try:
            text = document.text(item)
            if len(text) and not looks_like_text(text):
                raise MalformedRequest("input is text; this model embeds images: send data URLs or base64")
            images.append(image_from_text(text))
        except RequestError as error:
            images.append(error)
    if len(items) == 1 and isinstance(images[0], RequestError):
        raise images[0]
    return Images(images, many=len(items) > 1)
