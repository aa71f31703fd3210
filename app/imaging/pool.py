"""Owns the threads that decode; does not decide how many images may wait for them, which the slots bound."""

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from app.domain import PreprocessSpec
from app.imaging.decode import DecodeLimits, Pixels
from app.imaging.resample import preprocess, use_one_core


class DecodePool:
    """Decodes and resizes off the event loop. The decoders leave the GIL, so threads scale over cores."""

    def __init__(self, threads: int, spec: PreprocessSpec, limits: DecodeLimits) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="decode", initializer=use_one_core)
        self._preprocess: Callable[..., None] = functools.partial(preprocess, spec=spec, limits=limits)

    def submit(self, data: bytes, out: Pixels) -> Future[None]:
        """Decodes `data` into `out` (spec.height, spec.width, 3); the future fails with a RequestError.

        A future cancelled in time never touches `out`; one that runs writes to it until it is done.
        """
        return self._executor.submit(self._preprocess, data, out=out)

    def close(self) -> None:
        """Ends the threads once they are idle; what has not begun is cancelled."""
        self._executor.shutdown(wait=True, cancel_futures=True)
