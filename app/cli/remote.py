"""Owns a running server as seen by a command: the classifier's door over HTTP; does not know what is asked or why."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from app.domain import Classification, Prediction, Timing
from app.errors import InferenceFailed, RequestError, SetupError

try:
    import vit_client
except ModuleNotFoundError as error:
    raise SetupError(
        "a running server is asked by vit-serve-client, which is not installed here: pip install vit-serve-client, "
        "or in a clone pip install ./clients/python"
    ) from error

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S: Final = 60.0


class RemoteError(RequestError):
    """The server's refusal of one image, with its own code."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]  # a class's in this program, an answer's here


class RemoteClassifier:
    """Classifies through `POST /v1/classify` of a server at `url`; an asynchronous context manager.

    Raises SetupError if `url` is no address.
    """

    def __init__(
        self,
        url: str,
        connections: int,
        transport: "httpx.AsyncBaseTransport | None" = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        try:
            self._client = vit_client.AsyncClient(
                self.url,
                timeout=math.inf,
                retry=vit_client.PATIENT,
                connections=connections,
                sleep=sleep,
                transport=transport,
            )
        except ValueError as error:
            raise SetupError(str(error)) from error

    async def __aenter__(self) -> "RemoteClassifier":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()

    async def model(self) -> dict[str, Any]:
        """What `/v1/model` says. Raises SetupError if nobody, or somebody else, answers there."""
        try:
            return dict((await self._client.model(timeout=_TIMEOUT_S)).document)
        except vit_client.VitError as error:
            if error.status is None:
                raise SetupError(f"{self.url}: no server answers there: {error}") from error
            raise SetupError(f"{self.url}: answers {error.status} to /v1/model; is it a vit-serve server?") from error

    async def classify(self, data: bytes, *, top_k: int) -> Classification:
        """As `Classifier.classify`; waits as long as the server asks, 30 times, while it is overloaded.

        Raises RemoteError for a refused image; InferenceFailed if the server fails or is gone.
        """
        try:
            told = await self._client.classify(data, top_k=top_k)
        except (vit_client.Unavailable, vit_client.DeadlineExceeded) as error:
            raise InferenceFailed(
                f"{self.url}: still overloaded after {vit_client.PATIENT.patience + 1} tries"
            ) from error
        except (vit_client.TransportError, vit_client.UnexpectedAnswer) as error:
            raise InferenceFailed(f"{self.url}: {error}") from error
        except vit_client.VitError as error:
            raise RemoteError(str(error), error.code) from error
        timing = told.timing
        return Classification(
            told.model,
            tuple(Prediction(p.label, p.index, p.score, p.id) for p in told.predictions),
            Timing(timing.decode_ms, timing.queue_ms, timing.inference_ms, timing.total_ms),
            told.batch_size,
            told.confidence,
            told.notice,
            told.activation,
        )
