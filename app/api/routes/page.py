"""Owns `GET /`, the page that tries the service in a browser; does not know what is on it."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

router = APIRouter(include_in_schema=False)
_WEB: Final = Path(__file__).parents[2] / "web"
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES: Final = {
    file.name: (file.read_bytes(), _TYPES[file.suffix]) for file in _WEB.iterdir() if file.suffix in _TYPES
}
_HEADERS: Final = {
    # Nothing from elsewhere, nothing inline: file names and labels are shown, and must never run.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@router.get("/")
async def page() -> Response:
    """The page itself; what it shows comes from `/page` and the API, by relative paths."""
    return await part("index.html")


@router.get("/page/{name}")
async def part(name: str) -> Response:
    """One file of it."""
    if name not in _FILES:
        raise HTTPException(404)
    content, media_type = _FILES[name]
    return Response(content, media_type=media_type, headers=_HEADERS)
