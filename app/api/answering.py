"""Owns the way of a request with images, its body → what is said of each image; does not know any contract."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from copy import copy
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from starlette.requests import Request

from app.api.admission import Held
from app.api.body import read_body
from app.api.disconnect import unless_gone
from app.api.errors import count_refusal
from app.api.parameters import timeout_s_of
from app.api.state import ANSWERED_AT, TRACE, State
from app.classifier import Picture
from app.domain import Timed
from app.errors import DeadlineExceeded, RequestError, TooManyPixels, Unavailable, VitServeError
from app.image_path import LEAST_TIMEOUT_S
from app.imaging.decode import signature
from app.imaging.pool import Examined
from app.telemetry.tracing import RequestTrace

logger = logging.getLogger(__name__)
_LARGE_BYTES: Final = 64 * 1024  # unpacking more than this would hold up the others on the event loop
T_co = TypeVar("T_co", bound=Timed, covariant=True)
T = TypeVar("T", bound=Timed)


class Each(Protocol[T_co]):
    """What is done with each image; the keywords are those of `Classifier.classify`."""

    def __call__(self, picture: Picture, *, timeout_s: float, patient: bool, examined: Examined) -> Awaitable[T_co]:
        """Starts it."""
        ...


class Images(NamedTuple):
    """The images of one request, in order; one that cannot be unpacked is there as its error."""

    items: list[Picture | RequestError]
    many: bool  # whether the client asked in the form for several, and so gets an answer for each


class Asked(NamedTuple, Generic[T]):
    """What the body of a request asks for, by whatever contract it came.

    `timeout_s`: what the body says, beside the header. `terms`: what its contract needs again for the answer.
    """

    images: Images
    each: Each[T]
    timeout_s: float | None = None
    terms: Any = None


class Answered(NamedTuple, Generic[T]):
    """What is said of each image, in order; of a request's only one it is no error, for that was raised."""

    answers: list[T | VitServeError]
    terms: Any


async def answer(request: Request, unpack: Callable[[bytearray], Asked[T]]) -> Answered[T]:
    """Reads the body, has `unpack` say what it asks for, and asks the classifier, within the time and memory there are.

    `unpack` is called in another thread for large bodies, and may raise any RequestError. Raises what is to be said of
    the request as a whole: errors of its body, of its only image, or, where none of several was taken, the first one's.
    """
    state, started_at = State.of(request), time.monotonic()
    ceiling_s = state.settings.request_timeout_ms / 1000
    timeout_s = timeout_s_of(request, ceiling_s)
    try:
        state.classifier.check_admission(timeout_s)  # before the body is read: a refusal should cost nothing
        with state.bodies.hold() as held:
            body = await read_body(request, held, timeout_s)
            asked = await _unpacked(unpack, body, state, held, started_at + timeout_s)
            del body
            read_at, trace = time.monotonic(), request.scope.get(TRACE)
            state.metrics.stage("read", read_at - started_at)
            if trace is not None:
                trace.stage("read", started_at, read_at)
            timeout_s = min(timeout_s, asked.timeout_s or timeout_s)
            try:
                work = answer_each(state, asked, started_at + timeout_s, trace)
                answers = await unless_gone(request, work)
            except VitServeError as error:
                let_go(error)
                _empty_elsewhere(asked.images, state)
                raise
            _empty_elsewhere(asked.images, state)
    except DeadlineExceeded:
        state.metrics.deadline_exceeded(timeout_s < ceiling_s)
        raise
    request.scope[ANSWERED_AT] = time.monotonic()
    return Answered(answers, asked.terms)


def first_error(answers: Sequence[object]) -> VitServeError | None:
    """Of several images the first's that failed, with its index; theirs is the whole request's where it has no place.

    It is counted already, as that image's.
    """
    for index, answer in enumerate(answers):
        if isinstance(answer, VitServeError):
            error = copy(answer)
            error.args = (f"image {index}: {answer}",)
            return error
    return None


def is_raw(body: bytes | bytearray) -> bool:
    """Whether the body is an image, by whatever type it is called; then there is nothing to unpack."""
    return bool(signature(body))


async def _unpacked(
    unpack: Callable[[bytearray], Asked[T]], body: bytearray, state: State, held: Held, until: float
) -> Asked[T]:
    if len(body) <= _LARGE_BYTES or is_raw(body):
        return unpack(body)
    try:
        async with asyncio.timeout_at(until):
            loop = asyncio.get_running_loop()
            asked = await loop.run_in_executor(state.unpacking, unpack_for_good, unpack, body)
    except TimeoutError as error:
        raise DeadlineExceeded("the time was over when the body was unpacked") from error
    held.add(sum(_size(item) for item in asked.images.items))
    return asked


def unpack_for_good(unpack: Callable[[bytearray], Asked[T]], body: bytearray) -> Asked[T]:
    """As `unpack`; empties a body of which the images need no more. For another thread than the event loop's.

    There whoever lets go of it last, and be it an error's traceback, gives megabytes back to the operating system,
    which takes milliseconds.
    """
    try:
        asked = unpack(body)
    except RequestError as error:
        let_go(error)
        empty(body)
        raise
    if not any(item is body for item in asked.images.items):
        for item in asked.images.items:
            if isinstance(item, RequestError):
                let_go(item)
        empty(body)
    return asked


def let_go(error: Exception) -> None:
    """Forgets where it was raised: those frames hold views of a body. What it says is in its sentence."""
    error.__traceback__ = error.__cause__ = error.__context__ = None


def empty(body: bytearray) -> None:
    """Gives a body's memory back, unless somebody still looks at it, who will be the last."""
    with suppress(BufferError):
        body.clear()


def _empty_elsewhere(images: Images, state: State) -> None:
    """A large image that nobody decodes any more; among several one may still be."""
    item = images.items[0]
    if not images.many and isinstance(item, bytearray) and len(item) > _LARGE_BYTES:
        state.unpacking.submit(empty, item)


def _size(item: Picture | RequestError) -> int:
    if isinstance(item, RequestError):
        return 0
    return len(item) if isinstance(item, bytes | bytearray) else item.nbytes


async def answer_each(
    state: State, asked: Asked[T], until: float, trace: RequestTrace | None
) -> list[T | VitServeError]:
    """Each image on its own; if the service took none of them, the request as a whole is refused.

    Once the request is let in, its images wait for room rather than be refused.
    """
    items, many = asked.images
    examined = list[Examined | RequestError]()
    for item in items:
        try:
            examined.append(item if isinstance(item, RequestError) else state.classifier.examine(item))
        except RequestError as error:
            examined.append(error)
        if many:
            await asyncio.sleep(0)  # a header may take a millisecond
    _check_pixels(sum(each.pixels for each in examined if isinstance(each, Examined)), state)

    async def one(index: int) -> T | VitServeError:
        item, header = items[index], examined[index]
        if isinstance(header, RequestError):
            return header
        assert not isinstance(item, RequestError)  # or its header would be that error
        try:
            begun_at = time.monotonic()
            left_s = max(until - begun_at, LEAST_TIMEOUT_S)
            answer = await asked.each(item, timeout_s=left_s, patient=many, examined=header)
            if trace is not None:
                trace.image(index, begun_at, answer)
            return answer
        except VitServeError as error:
            return error
        except Exception:  # a bug, which must not cost the other images their answers
            if not many:
                raise
            logger.exception("an image failed")
            return VitServeError("an internal error happened on this image; the log has it")

    answers = [await one(0)] if not many else list(await asyncio.gather(*map(one, range(len(items)))))
    refused = not many or all(isinstance(answer, Unavailable | DeadlineExceeded) for answer in answers)
    if refused and isinstance(answers[0], VitServeError):
        raise answers[0]
    for answer in answers:
        if isinstance(answer, VitServeError):
            count_refusal(state.metrics, answer)
    return answers


def _check_pixels(pixels: int, state: State) -> None:
    if pixels > (most := state.settings.max_pixels_per_request):
        raise TooManyPixels(f"the request's images have {pixels} pixels together; the limit is {most}")
