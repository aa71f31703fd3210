"""Owns a call from its image to its answer, as steps for either client; does no I/O, reads no clock of its own."""

import math
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import httpx

from vit_client.answers import Classification, Model
from vit_client.errors import DeadlineExceeded, TransportError, VitError
from vit_client.reading import read_classification, read_error, read_model
from vit_client.retry import ONCE, Budget, Retry, Tries

T = TypeVar("T")
_CONNECT_S: Final = 5.0  # rather another try than one long wait for a host that is not there
_TICK_S: Final = 0.005  # a timeout may end as much before its time


class Read(NamedTuple):
    """To be answered with the image's bytes."""

    image: object


class Send(NamedTuple):
    """To be answered with the response, or with httpx's error."""

    request: httpx.Request


class Wait(NamedTuple):
    """To be answered when the time has passed."""

    seconds: float


Steps: TypeAlias = Generator[Read | Send | Wait, Any, T]


class Asked(NamedTuple):
    """What one call of `classify` asks for. `timeout`: seconds, None for the client's."""

    top_k: int | None = None
    timeout: float | None = None
    request_id: str | None = None
    traceparent: str | None = None


class Core:
    """What both clients are without I/O. `build`: `build_request` of their httpx client."""

    def __init__(
        self, build: Callable[..., httpx.Request], timeout: float, retry: Retry, clock: Callable[[], float]
    ) -> None:
        self.clock = clock
        self._build, self._timeout, self._retry = build, timeout, retry
        self._budget = Budget(retry.budget, retry.deposit)

    def classify(self, image: object, asked: Asked) -> Steps[Classification]:
        """Raises VitError."""
        until = self._until(asked.timeout)
        request_id = asked.request_id or uuid.uuid4().hex  # the same at each try
        headers = {"Content-Type": "application/octet-stream", "X-Request-ID": request_id}
        if asked.traceparent is not None:
            headers["traceparent"] = asked.traceparent
        params = {} if asked.top_k is None else {"top_k": asked.top_k}
        body = yield Read(image)

        def request(left: float) -> httpx.Request:
            told = {} if math.isinf(left) else {"X-Request-Timeout-Ms": f"{left * 1000:.3f}"}
            sent = {"params": params, "headers": {**headers, **told}, "content": body}
            return self._build("POST", "/v1/classify", **sent, extensions=self._timeouts(left))

        try:
            return read_classification((yield from self._answer(request, until, self._retry)))
        except VitError as error:
            error.request_id = error.request_id or request_id
            raise

    def model(self, timeout: float | None) -> Steps[Model]:
        """Once. Raises VitError."""
        until = self._until(timeout)
        return read_model((yield from self._answer(lambda left: self._get("/v1/model", left), until, ONCE)))

    def probe(self, path: str, timeout: float | None) -> Steps[bool]:
        """Whether it answers 200; not if it does not answer."""
        reply = yield Send(self._get(path, self._until(timeout) - self.clock()))
        return isinstance(reply, httpx.Response) and reply.status_code == 200

    def _answer(self, request: Callable[[float], httpx.Request], until: float, retry: Retry) -> Steps[httpx.Response]:
        """The response with status 200; `request` makes a try of so many seconds."""
        tries = Tries(retry, self._budget)
        self._budget.put()
        while (left := until - self.clock()) > 0:
            reply = yield Send(request(min(left, retry.per_try_s)))
            if isinstance(reply, httpx.Response):
                # httpx's refers back to the response, and that to the request: the image would stay until a collection
                reply.stream = httpx.ByteStream(b"")
                if reply.status_code == 200:
                    return reply
                error: VitError = read_error(reply)
            else:
                if until - self.clock() < _TICK_S:
                    raise _too_late() from reply
                error = TransportError(str(reply) or type(reply).__name__)
                error.__cause__ = reply
            wait_s = tries.wait_s(error)
            if wait_s is None or wait_s >= until - self.clock():
                try:
                    raise error
                finally:
                    del error, reply  # the error has this frame, which should not have it: as above
            yield Wait(wait_s)
        raise _too_late()

    def _until(self, timeout: float | None) -> float:
        return self.clock() + (self._timeout if timeout is None else timeout)

    def _get(self, path: str, left: float) -> httpx.Request:
        return self._build("GET", path, extensions=self._timeouts(left))

    def _timeouts(self, left: float) -> dict[str, Mapping[str, float | None]]:
        until = self.clock() + left
        return {"timeout": _Left(lambda: until - self.clock())}


class _Left(Mapping[str, float | None]):
    """httpx's timeouts, each of which is what is left when its phase begins.

    Numbers would let waiting for a connection, connecting, sending and reading take that long each.
    """

    def __init__(self, left: Callable[[], float]) -> None:
        self._left = left

    def __getitem__(self, phase: str) -> float | None:
        left = max(self._left(), 0.001)
        if phase == "connect":
            return min(left, _CONNECT_S)
        return None if math.isinf(left) else left

    def __iter__(self) -> Iterator[str]:
        return iter(("connect", "read", "write", "pool"))

    def __len__(self) -> int:
        return 4


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("there was no answer within the time")


def httpx_options(url: str, connections: int, options: dict[str, Any]) -> dict[str, Any]:
    """For either of httpx's clients. Raises ValueError if `url` is no address of a server."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url}: is no address of a server: {error}") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise ValueError(f"{url}: is no address of a server, such as http://localhost:8000")
    headers = httpx.Headers({"User-Agent": f"vit-serve-client/{version('vit-serve-client')}"})
    headers.update(options.get("headers"))
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return {"limits": limits, **options, "headers": headers, "base_url": address}
