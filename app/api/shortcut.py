"""Owns the short way to the one route that carries the load; does not answer errors that it does not know."""

from fastapi.routing import APIRoute
from starlette.requests import Request

from app.api.errors import handle_known
from app.api.middleware import ASGIApp, Receive, Scope, Send
from app.errors import VitServeError


class Shortcut:
    """Innermost: calls a route that takes a Request and gives a Response as it is; all others take the router.

    The router's work for a request (its routes, its stacks for dependencies that there are none of) costs more than
    the route's own, and most when nine of ten requests are refused. The route stays in the router, for its document.
    """

    def __init__(self, app: ASGIApp, route: APIRoute) -> None:
        self._app, self._route = app, route
        self._methods = frozenset(route.methods or ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"] != self._route.path or scope["method"] not in self._methods:
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        request = Request(scope, receive, send)
        try:
            response = await self._route.endpoint(request)
        except VitServeError as error:
            response = await handle_known(request, error)
        await response(scope, receive, send)
