"""Client of vit-serve: `Client`, and `AsyncClient` for asyncio. README.md shows both."""

from vit_client.answers import Classification, Model, Outcome, Prediction, Progress, Timing
from vit_client.async_client import AsyncClient
from vit_client.client import Client
from vit_client.errors import (
    ApiError,
    BadImage,
    BadRequest,
    DeadlineExceeded,
    NotReady,
    Overloaded,
    ServerFailed,
    TransportError,
    Unavailable,
    UnexpectedAnswer,
    UnreadableImage,
    VitError,
)
from vit_client.images import Image
from vit_client.retry import PATIENT, Retry

__all__ = [
    "PATIENT",
    "ApiError",
    "AsyncClient",
    "BadImage",
    "BadRequest",
    "Classification",
    "Client",
    "DeadlineExceeded",
    "Image",
    "Model",
    "NotReady",
    "Outcome",
    "Overloaded",
    "Prediction",
    "Progress",
    "Retry",
    "ServerFailed",
    "Timing",
    "TransportError",
    "Unavailable",
    "UnexpectedAnswer",
    "UnreadableImage",
    "VitError",
]
