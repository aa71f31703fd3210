"""Owns the client that blocks: its I/O; does not decide what is sent or tried again."""

import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

import httpx

from vit_client.answers import Classification, Model, Outcome, Progress
from vit_client.core import Asked, Core, Read, Steps, Wait, httpx_options
from vit_client.images import Image, read_image
from vit_client.many import Plan, in_threads
from vit_client.retry import Retry

T = TypeVar("T")
ImageT = TypeVar("ImageT", bound=Image)


class Client:
    """A server at `url`; a context manager, for any number of threads.

    `timeout`: seconds for a call with all its tries, math.inf for ever. `connections`: at most, at once. `clock` and
    `sleep`: for tests. `httpx_options`: those of httpx.Client, such as headers, auth, proxy, verify, transport.
    Raises ValueError if `url` is no address.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        retry: Retry | None = None,
        connections: int = 32,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        **options: Any,
    ) -> None:
        self._http = httpx.Client(**httpx_options(url, connections, options))
        self._core = Core(self._http.build_request, timeout, retry or Retry(), clock)
        self._closed = threading.Event()
        self._sleep, self._connections = sleep or self._closed.wait, connections

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; what other threads wait for ends."""
        self._closed.set()
        self._http.close()

    def classify(
        self,
        image: Image,
        *,
        top_k: int | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
    ) -> Classification:
        """The best `top_k` classes, or as many as the server names by itself, within `timeout` seconds.

        `request_id` comes back, and is made where it is None; `traceparent` is W3C's, passed on. Raises VitError.
        """
        return self._run(self._core.classify(image, Asked(top_k, timeout, request_id, traceparent)))

    def classify_many(
        self,
        images: Iterable[ImageT],
        *,
        top_k: int | None = None,
        timeout: float | None = None,
        concurrency: int = 8,
        ordered: bool = True,
        progress: Callable[[Progress], object] | None = None,
    ) -> Generator[Outcome[ImageT], None, None]:
        """What becomes of each image, by `concurrency` threads; an error is an outcome like others, and ends nothing.

        `images` are asked for as they are needed, and each is read only when it is sent. `timeout`: of each.
        `progress` is called in this thread before each outcome. Raises ValueError for a concurrency that is less than 1
        or more than there are connections; what `images` raises passes through.
        """
        plan = Plan(concurrency, self._connections, ordered, progress, self._core.clock)
        return in_threads(lambda image: self.classify(image, top_k=top_k, timeout=timeout), images, plan)

    def model(self, *, timeout: float | None = None) -> Model:
        """What is being served; asked for once. Raises VitError."""
        return self._run(self._core.model(timeout))

    def ready(self, *, timeout: float | None = None) -> bool:
        """Whether it takes requests; False too where nobody answers."""
        return self._run(self._core.probe("/readyz", timeout))

    def live(self, *, timeout: float | None = None) -> bool:
        """Whether it runs; False too where nobody answers."""
        return self._run(self._core.probe("/livez", timeout))

    def _run(self, steps: Steps[T]) -> T:
        reply: object = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Wait):
                self._sleep(step.seconds)
            elif isinstance(step, Read):
                reply = read_image(step.image)
            else:
                try:
                    reply = self._http.send(step.request)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    reply = error.with_traceback(None)  # this frame is in it
