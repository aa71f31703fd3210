"""Owns the threads that decode; does not decide how many images may wait for them, which the slots bound."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from app.domain import PreprocessSpec
from app.imaging.decode import DecodeLimits, Pixels
from app.imaging.resample import preprocess, use_one_core

_SHARE_OF_THE_NEWEST: Final = 0.05  # images of one service differ much


class DecodePool:
    """Decodes and resizes off the event loop. The decoders leave the GIL, so threads scale over cores."""

    def __init__(self, threads: int, spec: PreprocessSpec, limits: DecodeLimits) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="decode", initializer=use_one_core)
        self._threads, self._spec, self._limits = threads, spec, limits
        self._seconds_per_image = 0.0

    def submit(self, data: bytes, out: Pixels) -> Future[None]:
        """Decodes `data` into `out` (spec.height, spec.width, 3); the future fails with a RequestError.

        A future cancelled in time never touches `out`; one that runs writes to it until it is done.
        """
        held = [data]  # the executor keeps what was cancelled until a thread comes by; not its bytes, though
        future = self._executor.submit(self._decode, held, out)
        future.add_done_callback(lambda _: held.clear())
        return future

    def _decode(self, held: list[bytes], out: Pixels) -> None:
        started_at = time.perf_counter()
        try:
            preprocess(held.pop(), self._spec, self._limits, out)
        finally:
            per_image = (time.perf_counter() - started_at) / self._threads
            self._seconds_per_image += _SHARE_OF_THE_NEWEST * (per_image - self._seconds_per_image)

    @property
    def seconds_per_image(self) -> float:
        """Measured: how often an image leaves when all threads are busy; a running average, from 0 on."""
        return self._seconds_per_image

    def close(self) -> None:
        """Ends the threads once they are idle; what has not begun is cancelled."""
        self._executor.shutdown(wait=True, cancel_futures=True)
