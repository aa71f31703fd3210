"""Owns the client for asyncio: its I/O; does not decide what is sent or tried again."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, TypeVar

import httpx

from vit_client.answers import Classification, Model, Outcome, Progress
from vit_client.core import Asked, Core, Read, Steps, Wait, httpx_options
from vit_client.images import Image, is_at_hand, read_image
from vit_client.many import Plan, in_tasks
from vit_client.retry import Retry

T = TypeVar("T")
ImageT = TypeVar("ImageT", bound=Image)


class AsyncClient:
    """As `Client`, for asyncio; an asynchronous context manager. `httpx_options` are those of httpx.AsyncClient."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        retry: Retry | None = None,
        connections: int = 32,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **options: Any,
    ) -> None:
        self._http = httpx.AsyncClient(**httpx_options(url, connections, options))
        self._core = Core(self._http.build_request, timeout, retry or Retry(), clock)
        self._sleep, self._connections = sleep, connections

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def classify(
        self,
        image: Image,
        *,
        top_k: int | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Classification:
        """As `Client.classify`; files are read in a thread."""
        return await self._run(self._core.classify(image, Asked(top_k, timeout, request_id, traceparent)))

    def classify_many(
        self,
        images: Iterable[ImageT] | AsyncIterable[ImageT],
        *,
        top_k: int | None = None,
        timeout: float | None = None,
        concurrency: int = 8,
        ordered: bool = True,
        progress: Callable[[Progress], object] | None = None,
    ) -> AsyncGenerator[Outcome[ImageT], None]:
        """As `Client.classify_many`, by tasks; closing it early cancels what is under way."""
        plan = Plan(concurrency, self._connections, ordered, progress, self._core.clock)
        return in_tasks(lambda image: self.classify(image, top_k=top_k, timeout=timeout), images, plan)

    async def model(self, *, timeout: float | None = None) -> Model:
        """As `Client.model`."""
        return await self._run(self._core.model(timeout))

    async def ready(self, *, timeout: float | None = None) -> bool:
        """As `Client.ready`."""
        return await self._run(self._core.probe("/readyz", timeout))

    async def live(self, *, timeout: float | None = None) -> bool:
        """As `Client.live`."""
        return await self._run(self._core.probe("/livez", timeout))

    async def _run(self, steps: Steps[T]) -> T:
        reply: object = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Wait):
                await self._sleep(step.seconds)
            elif isinstance(step, Read):
                at_hand = is_at_hand(step.image)
                reply = read_image(step.image) if at_hand else await asyncio.to_thread(read_image, step.image)
            else:
                try:
                    reply = await self._http.send(step.request)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    reply = error.with_traceback(None)  # this frame is in it
