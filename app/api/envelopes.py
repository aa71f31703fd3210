"""Owns the envelopes of images (raw, multipart, form, JSON), a body → encoded images; does not decode pictures."""

import codecs
from typing import Any, Final

from app.api.answering import Images
from app.api.base64_text import image_from_text, looks_like_text
from app.api.json_document import Document, parse_json
from app.api.multipart import read_parts
from app.classifier import Encoded
from app.errors import EmptyBody, MalformedRequest, RequestError, TooManyImages
from app.imaging.decode import signature

_FIELD: Final = "image"
_OTHER_FIELDS: Final = 64  # of a form, beside the images
_MAX_TYPE_BYTES: Final = 1024


def unpack(body: Encoded, content_type: str, max_images: int, field: str = _FIELD) -> Images:
    """Takes the images out of a body; `field`: of a form. Raises EmptyBody, MalformedRequest or TooManyImages."""
    if len(content_type) > _MAX_TYPE_BYTES:
        raise MalformedRequest(f"Content-Type is longer than {_MAX_TYPE_BYTES} bytes")
    kind = content_type.partition(";")[0].strip().lower()
    start = bytes(body[:_MAX_TYPE_BYTES]).removeprefix(codecs.BOM_UTF8).lstrip()
    if kind == "multipart/form-data" and (start.startswith(b"--") or b"\r\n--" in start):
        return _from_form(body, content_type, max_images, field)
    if kind == "application/json" or kind.endswith("+json") or start[:1] == b"{":
        return _from_json(body, max_images)
    if kind == "application/x-www-form-urlencoded" and b"image=" in body[:_MAX_TYPE_BYTES]:
        fields = [field for field in body.split(b"&", max_images + _OTHER_FIELDS) if field.startswith(b"image=")]
        # `+` stays one, and is no space as in forms: base64 has none, and tools that should escape its `+` do not.
        return _several([field[len(b"image=") :] for field in fields], max_images)
    return Images([_image(body)], many=False)


def _from_form(body: Encoded, content_type: str, max_images: int, field: str) -> Images:
    parts = read_parts(body, content_type, max_images + _OTHER_FIELDS)
    images: list[Encoded] = [part.content for part in parts if part.name == field]
    if not images:
        names = sorted({part.name[:40] for part in parts})[:8]
        raise MalformedRequest(f"the multipart form has no field {field!r}; it has {names}")
    return _several(images, max_images)


def _several(images: list[Encoded], max_images: int) -> Images:
    check_count(len(images), max_images)
    return Images([_kept(image) for image in images], many=len(images) > 1)


def _kept(image: Encoded) -> Encoded | RequestError:
    try:
        return _image(image)
    except RequestError as error:
        return error


def _image(data: Encoded) -> Encoded:
    """What was sent, or what is written there as text."""
    return image_from_text(data) if not signature(data) and looks_like_text(data) else data


def _from_json(body: Encoded, max_images: int) -> Images:
    document = parse_json(body, max_images)
    value = document.value
    if isinstance(value, dict) and isinstance(images := value.get("images"), list):
        check_count(len(images), max_images)
        return Images([_from_string(item, document) for item in images], many=True)
    if isinstance(value, dict) and "image" in value:
        item = _from_string(value["image"], document)
        if isinstance(item, RequestError):
            raise item
        return Images([item], many=False)
    raise MalformedRequest('the JSON body must be {"image": "<base64>"} or {"images": ["<base64>", …]}')


def _from_string(item: Any, document: Document) -> Encoded | RequestError:
    if not isinstance(item, str):
        return MalformedRequest(f"an image is {type(item).__name__}; it must be a base64 string")
    try:
        return image_from_text(document.text(item))
    except RequestError as error:
        return error


def check_count(images: int, max_images: int) -> None:
    """Raises EmptyBody or TooManyImages."""
    if not images:
        raise EmptyBody("the request holds no image")
    if images > max_images:
        raise TooManyImages(f"the request holds {images} images; the limit is {max_images}")
