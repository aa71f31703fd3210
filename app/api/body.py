"""Owns the three envelopes of images (raw, multipart, JSON) → encoded images; does not decode pictures."""

import asyncio
import base64
import binascii
import json
from typing import Any, Final, NamedTuple

from starlette.requests import ClientDisconnect, Request

from app.api.multipart import read_parts
from app.errors import BodyTimeout, ClientGone, EmptyBody, MalformedRequest, RequestError, TooManyImages
from app.imaging.decode import signature

_FIELD: Final = "image"
_OTHER_FIELDS: Final = 64  # of a form, or values of a JSON document, beside the images
_LARGE_JSON_BYTES: Final = 256 * 1024  # parsing more than this on the event loop would hold up the others


class Images(NamedTuple):
    """The encoded images of one request, in order; one that cannot be unpacked is there as its error."""

    items: list[bytes | RequestError]
    many: bool  # whether the client asked in the form for several, and so gets `results`


async def read_images(request: Request, max_images: int, timeout_s: float) -> Images:
    """Reads the body and takes the images out.

    Raises EmptyBody, MalformedRequest, TooManyImages, BodyTimeout, BodyTooLarge or ClientGone.
    """
    try:
        async with asyncio.timeout(timeout_s):
            body = b"".join([chunk async for chunk in request.stream()])  # request.body() would keep it
    except TimeoutError as error:
        raise BodyTimeout(f"the body did not arrive within {timeout_s:.1f} s") from error
    except ClientDisconnect as error:
        raise ClientGone("the client left while sending") from error
    if not body:
        raise EmptyBody("the body is empty: send an image")
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    start = body[:64].lstrip()[:2]
    if kind == "multipart/form-data" and start == b"--":
        return _from_form(body, content_type, max_images)
    is_json = kind == "application/json" or kind.endswith("+json") or start[:1] == b"{"
    if is_json and not signature(body):  # an image is one by whatever type it is called
        large = len(body) > _LARGE_JSON_BYTES
        return await asyncio.to_thread(_from_json, body, max_images) if large else _from_json(body, max_images)
    return Images([body], many=False)


def _from_form(body: bytes, content_type: str, max_images: int) -> Images:
    parts = read_parts(body, content_type, max_images + _OTHER_FIELDS)
    items: list[bytes | RequestError] = [part.content for part in parts if part.name == _FIELD]
    if not items:
        names = sorted({part.name[:40] for part in parts})[:8]
        raise MalformedRequest(f"the multipart form has no field {_FIELD!r}; it has {names}")
    _check_count(len(items), max_images)
    return Images(items, many=len(items) > 1)


def _from_json(body: bytes, max_images: int) -> Images:
    # Before it is parsed: sixteen megabytes of `{},` become four hundred of objects. A data URI has a comma of its own.
    if body.count(b",") > 2 * max_images + _OTHER_FIELDS:
        raise TooManyImages(f"the JSON document holds more values than {max_images} images, the limit, need")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"the body is not valid JSON: {error}") from error
    if isinstance(document, dict) and isinstance(images := document.get("images"), list):
        if not images:
            raise EmptyBody("the request holds no image")
        _check_count(len(images), max_images)
        return Images([_from_base64(item) for item in images], many=True)
    if isinstance(document, dict) and "image" in document:
        item = _from_base64(document["image"])
        if isinstance(item, RequestError):
            raise item
        return Images([item], many=False)
    raise MalformedRequest('the JSON body must be {"image": "<base64>"} or {"images": ["<base64>", …]}')


def _from_base64(item: Any) -> bytes | RequestError:
    """Plain base64 or a data URI, as browsers make them; white space in it is left out."""
    if not isinstance(item, str):
        return MalformedRequest(f"an image is {type(item).__name__}; it must be a base64 string")
    text = item.partition(",")[2] if item.startswith("data:") else item
    try:
        return base64.b64decode(text.encode("ascii").translate(None, b" \t\r\n"), validate=True)
    except (binascii.Error, ValueError) as error:
        return MalformedRequest(f"an image is not valid base64: {error}")


def _check_count(images: int, max_images: int) -> None:
    if images > max_images:
        raise TooManyImages(f"the request holds {images} images; the limit is {max_images}")
