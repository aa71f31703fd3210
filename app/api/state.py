"""Owns what the endpoints share, typed; does not create it."""

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from app.api.admission import BodyMemory
from app.classifier import Classifier
from app.settings import Settings
from app.telemetry.metrics import Metrics

ANSWERED_AT: Final = "vit_serve.answered_at"  # key in the ASGI scope: monotonic instant when the answer was known


@dataclass(frozen=True, slots=True)
class State:
    """Lives as `app.state.service`."""

    settings: Settings
    classifier: Classifier
    metrics: Metrics
    bodies: BodyMemory
    unpacking: Executor  # for bodies of which the unpacking would hold up the event loop

    @staticmethod
    def of(request: Request) -> "State":
        """The state of the app that serves this request."""
        state: State = request.app.state.service
        return state
