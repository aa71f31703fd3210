"""Owns what the endpoints share, typed; does not create it."""

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from app.api.admission import BodyMemory
from app.classifier import Classifier
from app.settings import Settings
from app.telemetry.access import AccessLog
from app.telemetry.metrics import Metrics

# Keys in the ASGI scope.
ANSWERED_AT: Final = "vit_serve.answered_at"  # monotonic instant when the answer was known
FAILED_BY: Final = "vit_serve.failed_by"  # code and sentence of the error that is the answer
READ_BYTES: Final = "vit_serve.read_bytes"  # of the body, so far
TRACE: Final = "vit_serve.trace"  # the RequestTrace, where somebody traces


@dataclass(frozen=True, slots=True)
class State:
    """Lives as `app.state.service`."""

    settings: Settings
    classifier: Classifier
    metrics: Metrics
    bodies: BodyMemory
    access: AccessLog
    unpacking: Executor  # for bodies of which the unpacking would hold up the event loop

    @staticmethod
    def of(request: Request) -> "State":
        """The state of the app that serves this request."""
        state: State = request.app.state.service
        return state
