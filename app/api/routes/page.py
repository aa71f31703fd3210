"""Owns the pages at `/` and `/docs`, for people with a browser; does not know what is on them."""

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

router = APIRouter(include_in_schema=False)
_APP: Final = Path(__file__).parents[2]
_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}
_PACKED: Final = (".png", ".jpg")  # gzip would make them no smaller
_SOURCES: Final = sorted([*(_APP / "web").iterdir(), _APP / "graphs" / "photographs" / "chelsea.jpg"])
_CONTENTS: Final = {file.name: file.read_bytes() for file in _SOURCES if file.suffix in _TYPES}
# Stands in the addresses of what the pages load, which browsers may then keep for good.
_RELEASE: Final = hashlib.sha256(b"".join(_CONTENTS.values())).hexdigest()[:12]
_HEADERS: Final = {
    # Nothing from elsewhere, nothing inline: file names and labels are shown, and must never run.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept, Accept-Encoding",
}


class _File(NamedTuple):
    content: bytes
    packed: bytes | None  # by gzip
    media_type: str
    tag: str


@router.get("/")
async def page(request: Request) -> Response:
    """The page itself; what it shows comes from `/page` and the API, by relative paths."""
    return _sent(request, "index.html")


@router.get("/docs")
async def docs(request: Request) -> Response:
    """What `/openapi.json` says, to be read and tried."""
    return _sent(request, "docs.html")


@router.get("/page/{name}")
async def part(request: Request, name: str) -> Response:
    """One file of them, under an address that lasts."""
    return _sent(request, name)


@router.get("/page/{release}/{name}")
async def lasting_part(request: Request, release: str, name: str) -> Response:
    """The same under an address that is another when any file is; another release's gets what there is."""
    return _sent(request, name, lasting=release == _RELEASE)


def _sent(request: Request, name: str, lasting: bool = False) -> Response:
    if name not in _CONTENTS:
        raise HTTPException(404)
    file = _file(name)
    kept = "public, max-age=31536000, immutable" if lasting else "no-cache"
    headers = {**_HEADERS, "Cache-Control": kept, "ETag": file.tag}
    if name == "vit-client.js":  # public: pages of any origin may load it, and then say what is wrong with theirs
        headers["Access-Control-Allow-Origin"] = "*"
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    content = file.content
    if file.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["Content-Encoding"] = file.packed, "gzip"
    return Response(content, media_type=file.media_type, headers=headers)


@cache
def _file(name: str) -> _File:
    content, suffix = _CONTENTS[name], Path(name).suffix
    if suffix == ".html":
        content = content.replace(b'"page/', f'"page/{_RELEASE}/'.encode())
    packed = None if suffix in _PACKED else gzip.compress(content, mtime=0)
    return _File(content, packed, _TYPES[suffix], f'W/"{hashlib.sha256(content).hexdigest()[:16]}"')
