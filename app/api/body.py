"""Owns the three envelopes of images (raw, multipart, JSON) → encoded images; does not decode pictures."""

import asyncio
import base64
import binascii
import json
from typing import Any, NamedTuple

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from app.errors import BodyTimeout, ClientGone, EmptyBody, MalformedRequest, RequestError, TooManyImages

_FIELD = "image"
_LARGE_JSON_BYTES = 256 * 1024  # parsing more than this on the event loop would hold up the others


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
            body = await request.body()
    except TimeoutError as error:
        raise BodyTimeout(f"the body did not arrive within {timeout_s:.1f} s") from error
    except ClientDisconnect as error:
        raise ClientGone("the client left while sending") from error
    if not body:
        raise EmptyBody("the body is empty: send an image")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    start = body[:64].lstrip()[:2]
    if kind == "multipart/form-data" and start == b"--":
        images = await _from_form(request, max_images)
    elif kind == "application/json" or kind.endswith("+json") or start[:1] == b"{":
        large = len(body) > _LARGE_JSON_BYTES
        images = await asyncio.to_thread(_from_json, body) if large else _from_json(body)
    else:
        return Images([body], many=False)
    if not images.items:
        raise EmptyBody("the request holds no image")
    if len(images.items) > max_images:
        raise TooManyImages(f"the request holds {len(images.items)} images; the limit is {max_images}")
    return images


async def _from_form(request: Request, max_images: int) -> Images:
    try:
        # One more than allowed, so that the answer can say that there are too many.
        form = await request.form(max_files=max_images + 1, max_fields=max_images + 1, max_part_size=2**62)
        parts = form.getlist(_FIELD)
        items: list[bytes | RequestError] = [
            await part.read() if isinstance(part, UploadFile) else part.encode("latin-1", "replace") for part in parts
        ]
        await form.close()
    except HTTPException as error:
        if "Too many files" in str(error.detail):
            raise TooManyImages(f"the form holds more than {max_images} files") from error
        raise MalformedRequest(f"the multipart form cannot be read: {error.detail}") from error
    except Exception as error:  # the parser lets out whatever a hostile form makes it stumble over
        raise MalformedRequest(f"the multipart form cannot be read: {type(error).__name__}") from error
    if not items:
        raise MalformedRequest(f"the multipart form has no field {_FIELD!r}; it has {sorted(set(form.keys()))[:8]}")
    return Images(items, many=len(items) > 1)


def _from_json(body: bytes) -> Images:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"the body is not valid JSON: {error}") from error
    if isinstance(document, dict) and isinstance(document.get("images"), list):
        return Images([_from_base64(item) for item in document["images"]], many=True)
    if isinstance(document, dict) and "image" in document:
        item = _from_base64(document["image"])
        if isinstance(item, RequestError):
            raise item
        return Images([item], many=False)
    raise MalformedRequest('the JSON body must be {"image": "<base64>"} or {"images": ["<base64>", …]}')


def _from_base64(item: Any) -> bytes | RequestError:
    """Plain base64 or a data URI, as browsers make them."""
    if not isinstance(item, str):
        return MalformedRequest(f"an image is {type(item).__name__}; it must be a base64 string")
    text = item.partition(",")[2] if item.startswith("data:") else item
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        return MalformedRequest(f"an image is not valid base64: {error}")
