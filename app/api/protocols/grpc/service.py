"""Owns the methods of the Open Inference Protocol over gRPC, from message to message; does not listen on a port."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from app.api.answering import Asked, answer_each, first_error, let_go
from app.api.protocols.grpc import open_inference_pb2 as messages
from app.api.protocols.grpc.calls import Call
from app.api.protocols.grpc.messages import read_message, write_message
from app.api.protocols.names import VERSION, check_names
from app.api.protocols.oip_answer import outputs_of, wanted_outputs
from app.api.protocols.oip_metadata import model_metadata, server_metadata
from app.api.protocols.oip_pictures import Limits, pictures_of
from app.api.state import State
from app.domain import Logits
from app.engine.client import Status
from app.errors import BodyTimeout, BodyTooLarge, DeadlineExceeded, MalformedRequest
from app.image_path import LEAST_TIMEOUT_S

SERVICE: Final = "inference.GRPCInferenceService"
_SMALL_BYTES: Final = 4096  # of a message that only names a model
_LARGE_BYTES: Final = 4 * 1024  # reading more than this, field by field, would hold up the others on the event loop
_MANY_NUMBERS: Final = 1000
_READ_S: Final = 10.0  # for a message to arrive
_Behaviour = Callable[[Call], Awaitable[bytes]]


class Service:
    """The methods over one classifier. A message is read only once it is let in, and few are being read at once."""

    def __init__(self, state: State) -> None:
        self._state = state
        # What arrives cannot be counted by the byte: while one is read, it counts as the largest.
        readers = state.settings.max_bodies_bytes // state.settings.max_body_bytes // 2
        self._reading = asyncio.Semaphore(max(readers, 1))

    def handler(self) -> grpc.GenericRpcHandler:
        """For a server of grpc.aio."""
        behaviours: dict[str, _Behaviour] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
        }
        # As a stream of messages, of which the first is taken: only so a call is there before its message is.
        methods = {
            name: grpc.stream_unary_rpc_method_handler(partial(self._called, name, behaviour))
            for name, behaviour in behaviours.items()
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _called(self, name: str, behaviour: _Behaviour, _: object, context: Any) -> bytes:
        with Call(self._state, f"/{SERVICE}/{name}", context) as call:
            try:
                return await behaviour(call)
            except Exception as error:
                code, sentence, trailer = call.failed(error)
                let_go(error)
                await context.abort(code, sentence, trailer)
                raise  # abort does

    async def _server_live(self, call: Call) -> bytes:
        live = self._state.classifier.status is not Status.FAILED
        return _written(messages.ServerLiveResponse(live=live))

    async def _server_ready(self, call: Call) -> bytes:
        return _written(messages.ServerReadyResponse(ready=self._is_ready))

    async def _model_ready(self, call: Call) -> bytes:
        self._checked(await self._read_small(call, messages.ModelReadyRequest))
        return _written(messages.ModelReadyResponse(ready=self._is_ready))

    async def _server_metadata(self, call: Call) -> bytes:
        return _written(messages.ServerMetadataResponse(**server_metadata()))

    async def _model_metadata(self, call: Call) -> bytes:
        name = self._checked(await self._read_small(call, messages.ModelMetadataRequest))
        told = model_metadata(self._state.classifier.info, name)
        del told["parameters"]
        return _written(messages.ModelMetadataResponse(**told))

    async def _model_infer(self, call: Call) -> bytes:
        state, started_at = self._state, time.monotonic()
        ceiling_s = state.settings.request_timeout_ms / 1000
        timeout_s = min(call.timeout_s or ceiling_s, ceiling_s)
        state.classifier.check_admission(timeout_s)
        try:
            with state.bodies.hold() as held:
                message = await self._read(call, timeout_s)
                held.add(2 * len(message))  # as it came, and as it is unpacked
                (name, id_, wanted), asked = await self._unpacked(message, started_at + timeout_s)
                state.metrics.stage("read", time.monotonic() - started_at)
                timeout_s = min(timeout_s, asked.timeout_s or timeout_s)
                del message
                answers = await answer_each(state, asked, started_at + timeout_s, None)
        except DeadlineExceeded:
            state.metrics.deadline_exceeded(timeout_s < ceiling_s)
            raise
        call.answered()
        if (error := first_error(answers)) is not None:
            call.counted = True
            raise error
        logits = [each for each in answers if isinstance(each, Logits)]

        def written() -> bytes:
            return write_message(name, id_, outputs_of(logits, wanted, state.classifier.info))

        many = len(logits) * len(logits[0].values) > _MANY_NUMBERS
        return await asyncio.to_thread(written) if many else written()

    async def _unpacked(self, message: bytes, until: float) -> tuple[tuple[str, str, Any], Asked[Logits]]:
        if len(message) <= _LARGE_BYTES:
            return self._unpack(message)
        try:
            async with asyncio.timeout_at(until):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._state.unpacking, self._unpack, message)
        except TimeoutError as error:
            raise DeadlineExceeded("the time was over when the message was unpacked") from error

    def _unpack(self, message: bytes) -> tuple[tuple[str, str, Any], Asked[Logits]]:
        """Name, id and wanted outputs for the answer, and what is asked of the classifier."""
        classifier = self._state.classifier
        parsed, asked = read_message(message)
        check_names(self._state, parsed.model_name, parsed.model_version or VERSION)
        wanted = wanted_outputs(asked)
        limits = Limits(classifier.info.preprocess, self._state.settings.max_images_per_request)
        images = pictures_of(asked.inputs, limits)
        each = Asked(images, partial(classifier.logits), asked.timeout_s)
        return (parsed.model_name, parsed.id, wanted), each

    async def _read(self, call: Call, timeout_s: float) -> bytes:
        """The call's message. Raises MalformedRequest, BodyTimeout or BodyTooLarge."""
        try:
            async with asyncio.timeout(max(min(timeout_s, _READ_S), LEAST_TIMEOUT_S)), self._reading:
                message = await call.context.read()
        except TimeoutError as error:
            raise BodyTimeout("the message did not arrive in time") from error
        if not isinstance(message, bytes):
            raise MalformedRequest("the call has no message")
        if len(message) > (most := self._state.settings.max_body_bytes):
            raise BodyTooLarge(f"the message is larger than the limit of {most} bytes")
        return message

    async def _read_small(self, call: Call, kind: Any) -> Any:
        message = await self._read(call, _READ_S)
        if len(message) > _SMALL_BYTES:
            raise MalformedRequest(f"the message has more than {_SMALL_BYTES} bytes")
        try:
            return kind.FromString(message)
        except DecodeError as error:
            raise MalformedRequest(f"the message is no {kind.DESCRIPTOR.name}: {error}") from error

    def _checked(self, asked: Any) -> str:
        check_names(self._state, asked.name, asked.version or VERSION)
        return str(asked.name)

    @property
    def _is_ready(self) -> bool:
        return self._state.classifier.status is Status.READY


def _written(message: Any) -> bytes:
    written: bytes = message.SerializeToString()
    return written
