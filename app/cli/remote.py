"""Owns a running server as seen by a command: the classifier's door over HTTP; does not know what is asked or why."""

import asyncio
import json
import math
from typing import Any, Final

import httpx

from app.domain import Activation, Classification, Confidence, Prediction, Timing
from app.errors import InferenceFailed, RequestError, SetupError

_TIMEOUT_S: Final = 60.0
_LONGEST_WAIT_S: Final = 5.0
_PATIENCE: Final = 30  # refusals of one image in a row, after which the server is not overloaded but ill


class RemoteError(RequestError):
    """The server's refusal of one image, with its own code."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]  # a class's in this program, an answer's here


class RemoteClassifier:
    """Classifies through `POST /v1/classify` of a server at `url`; an asynchronous context manager.

    Raises SetupError if `url` is no address.
    """

    def __init__(self, url: str, connections: int, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        limits = httpx.Limits(max_connections=connections)
        try:
            self._client = httpx.AsyncClient(base_url=self.url, timeout=_TIMEOUT_S, limits=limits, transport=transport)
        except httpx.InvalidURL as error:
            raise SetupError(f"{url}: is no address of a server: {error}") from error

    async def __aenter__(self) -> "RemoteClassifier":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()

    async def model(self) -> dict[str, Any]:
        """What `/v1/model` says. Raises SetupError if nobody, or somebody else, answers there."""
        try:
            answer = await self._client.get("/v1/model")
            document = answer.json() if answer.is_success else {}
        except (httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError, UnicodeError) as error:
            raise SetupError(f"{self.url}: no server answers there: {str(error) or type(error).__name__}") from error
        if not (isinstance(document, dict) and isinstance(document.get("labels"), list)):
            raise SetupError(f"{self.url}: answers {answer.status_code} to /v1/model; is it a vit-serve server?")
        return document

    async def classify(self, data: bytes, *, top_k: int) -> Classification:
        """As `Classifier.classify`; waits as long as the server asks, 30 times, while it is overloaded.

        Raises RemoteError for a refused image; InferenceFailed if the server fails or is gone.
        """
        for _ in range(_PATIENCE):
            try:
                answer = await self._client.post("/v1/classify", params={"top_k": top_k}, content=data)
            except httpx.HTTPError as error:
                raise InferenceFailed(f"{self.url}: {str(error) or type(error).__name__}") from error
            if answer.status_code not in (503, 504):  # refused for now, or not answered in its time
                return _classification(answer)
            await asyncio.sleep(_wait_s(answer.headers.get("retry-after", "")))
        raise InferenceFailed(f"{self.url}: still overloaded after {_PATIENCE} tries")


def _wait_s(retry_after: str) -> float:
    """Seconds to wait; 1 where the header is missing or a date, as proxies may send (RFC 9110, 10.2.3)."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return 1.0
    return min(max(seconds, 0.0), _LONGEST_WAIT_S) if math.isfinite(seconds) else 1.0


def _classification(answer: httpx.Response) -> Classification:
    try:
        document = answer.json()
        if answer.is_success:
            timing = Timing(**{f"{stage}_ms": value for stage, value in document["timing_ms"].items()})
            predictions = tuple(Prediction(p["label"], p["index"], p["score"]) for p in document["predictions"])
            if not predictions:
                raise ValueError("an answer names at least one class")
            confidence: Confidence | None = document.get("confidence")
            activation: Activation = document.get("activation", "softmax")
            return Classification(
                *(document["model"], predictions, timing, document["batch_size"]),
                *(confidence, document.get("notice"), activation),
            )
        message, code = str(document["error"]), str(document["code"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InferenceFailed(f"the server's answer {answer.status_code} is none of vit-serve's") from error
    raise RemoteError(message, code)
