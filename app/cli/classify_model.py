"""Owns whom `classify` asks: a model in this process, or a server; does not know about what."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from app.bulk.answers import Ask, busy
from app.errors import InferenceFailed, InvalidTopK, NotReady, SetupError

if TYPE_CHECKING:
    from app.cli.remote import RemoteClassifier
    from app.domain import Classification
    from app.settings import Settings

_DEFAULT_TOP_K: Final = 5
_CONNECTIONS: Final = 32
_GONE_S: Final = 60.0  # a server that restarts should not end a night's work
_PAUSE_S: Final = 1.0
_NOTES: Final = {
    "sigmoid": "scores are by sigmoid, each class on its own: they need not add up to 100 %",
    "none": "scores have no activation: they are the model's own numbers, not shares",
}


class Asked(NamedTuple):
    """Who answers. `in_flight`: images at once that keep it busy; `notes`: what a person should know of its answers."""

    ask: Ask
    name: str
    top_k: int
    in_flight: int
    notes: tuple[str, ...]


@asynccontextmanager
async def open_model(settings: "Settings", top_k: int | None) -> AsyncIterator[Asked]:
    """A model in this process. Raises SetupError, InvalidTopK."""
    from app.bootstrap import open_classifier

    async with open_classifier(settings) as classifier:
        await classifier.ready()
        info, checked = classifier.info, classifier.check_top_k(top_k)

        async def ask(data: bytes) -> "Classification":
            return await classifier.classify(data, top_k=checked, patient=True)

        yield Asked(ask, info.name, checked, busy(classifier), _notes(info.notice, info.activation))


@asynccontextmanager
async def open_server(url: str, top_k: int | None) -> AsyncIterator[Asked]:
    """A running server. Raises SetupError, InvalidTopK."""
    from app.cli.remote import RemoteClassifier

    async with RemoteClassifier(url, _CONNECTIONS) as server:
        model = await server.model()
        classes = len(model["labels"])
        checked = min(_DEFAULT_TOP_K, classes) if top_k is None else top_k
        if not 1 <= checked <= classes:
            raise InvalidTopK(f"top_k is {top_k}; this model has {classes} classes")

        async def ask(data: bytes) -> "Classification":
            return await _ask(server, data, checked)

        notes = _notes(model.get("notice"), model.get("activation"))
        yield Asked(ask, str(model["name"]), checked, _CONNECTIONS, notes)


async def _ask(server: "RemoteClassifier", data: bytes, top_k: int) -> "Classification":
    """Raises NotReady once the server has been gone for a minute: a million images should not fail for that."""
    until = time.monotonic() + _GONE_S
    while True:
        try:
            return await server.classify(data, top_k=top_k)
        except InferenceFailed:
            if not await _is_gone(server, until):
                raise
        await asyncio.sleep(_PAUSE_S)


async def _is_gone(server: "RemoteClassifier", until: float) -> bool:
    try:
        await server.model()
    except SetupError as error:
        if time.monotonic() > until:
            raise NotReady(str(error)) from error
        return True
    return False


def _notes(notice: str | None, activation: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (notice, _NOTES.get(activation or ""))))
