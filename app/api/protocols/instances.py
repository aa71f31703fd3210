"""Owns the request that KServe v1, TensorFlow Serving and Vertex AI share, `{"instances": […]}`; does not answer it."""

from functools import partial
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from app.api.answering import Asked, Images, answer, first_error, is_raw
from app.api.base64_text import image_from_text
from app.api.envelopes import check_count
from app.api.errors import error_response
from app.api.json_document import Document, parse_json
from app.api.parameters import top_k as top_k_of_query
from app.api.protocols.replies import json_reply
from app.api.state import State
from app.domain import Classification
from app.errors import InvalidTopK, MalformedRequest, RequestError

_NAMES: Final = ("image_bytes", "image", "b64", "data", "input")  # of an image that is a plain string
_MAX_KEY_CHARS: Final = 256
_LARGE: Final = 10**9  # no number of classes, nor one to be said again: it may have thousands of digits


class Instances(NamedTuple):
    """What `{"instances": […], "parameters": {…}}` holds; `keys`: what an instance calls itself, if it does."""

    images: list[bytes]
    keys: list[Any]
    top_k: int | None


async def predict(request: Request) -> Response:
    """`{"predictions": [{"scores": […], "classes": […]}, …]}`, one an instance, in order and each best first."""
    state = State.of(request)
    most, asked_in_query = state.settings.max_images_per_request, top_k_of_query(request)

    def unpack(body: bytearray) -> Asked[Classification]:
        found = read_instances(body, most)
        top_k = state.classifier.check_top_k(found.top_k if asked_in_query is None else asked_in_query)
        images = Images(list(found.images), many=len(found.images) > 1)
        return Asked(images, partial(state.classifier.classify, top_k=top_k), terms=found.keys)

    answered = await answer(request, unpack)
    if (error := first_error(answered.answers)) is not None:
        return error_response(request, error)
    classifications = [one for one in answered.answers if isinstance(one, Classification)]
    written = partial(_document, classifications, answered.terms)
    return await json_reply(written, sum(len(one.predictions) for one in classifications))


def _document(answers: list[Classification], keys: list[Any]) -> dict[str, Any]:
    return {"predictions": [_prediction(*each) for each in zip(answers, keys, strict=True)]}


def _prediction(answer: Classification, key: Any) -> dict[str, Any]:
    return {
        "scores": [each.score for each in answer.predictions],
        "classes": [each.label for each in answer.predictions],
        **({} if key is None else {"key": key}),
    }


def read_instances(body: bytes | bytearray, max_images: int) -> Instances:
    """Raises MalformedRequest, EmptyBody, TooManyImages or InvalidTopK, of an instance with its index."""
    if is_raw(body):  # of any size it is here on the event loop
        raise MalformedRequest("the body is an image; it must be JSON with the image in base64")
    document = parse_json(body, max_images)
    value = document.value
    instances = value.get("instances") if isinstance(value, dict) else None
    if not isinstance(instances, list):
        raise MalformedRequest('the body must be {"instances": [{"b64": "<base64>"}, …]}')
    check_count(len(instances), max_images)
    images = [_image(instance, index, document) for index, instance in enumerate(instances)]
    keys = [each.get("key") if isinstance(each, dict) else None for each in instances]
    for index, key in enumerate(keys):
        if not (
            key is None or isinstance(key, str | int) and len(str(key)) < _MAX_KEY_CHARS and not document.is_long(key)
        ):
            raise MalformedRequest(f"instance {index}: its key is neither a short string nor a whole number")
    return Instances(images, keys, top_k_of(value.get("parameters")))


def top_k_of(parameters: Any, names: tuple[str, ...] = ("top_k",)) -> int | None:
    """The number of classes that a JSON object of parameters asks for, under any of those names, if under one.

    Raises MalformedRequest or InvalidTopK.
    """
    if not isinstance(parameters, dict | None):
        raise MalformedRequest("`parameters` must be a JSON object")
    top_k = next((found for name in names if (found := (parameters or {}).get(name)) is not None), None)
    if top_k is not None and (type(top_k) is not int or abs(top_k) >= _LARGE):
        raise InvalidTopK(f"top_k is {str(top_k)[:40]!r}; it must be a whole number")
    return top_k


def _image(instance: Any, index: int, document: Document) -> bytes:
    text = instance if isinstance(instance, str) else _text(instance)
    if text is None:
        raise MalformedRequest(
            f'instance {index} has no image: it must be {{"b64": "<base64>"}}, {{"<any name>": {{"b64": …}}}}, '
            f"a base64 string, or one by the name of {', '.join(_NAMES)}; numbers are not taken"
        )
    try:
        return image_from_text(document.text(text))
    except RequestError as error:
        raise MalformedRequest(f"instance {index}: {error}") from error


def _text(instance: Any) -> str | None:
    """The one image of an instance with names: TensorFlow's `{"b64": …}` under any, or a string under a usual one."""
    if not isinstance(instance, dict):
        return None
    encoded = [each["b64"] for each in instance.values() if isinstance(each, dict) and "b64" in each]
    texts = encoded or [instance[name] for name in _NAMES if name in instance]
    return texts[0] if len(texts) == 1 and isinstance(texts[0], str) else None
