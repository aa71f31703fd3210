import asyncio
import gc
import sys
import weakref
from typing import Any
from unittest.mock import Mock

import grpc.aio
import numpy as np
import pytest

from app.api.protocols.grpc import open_inference_pb2 as messages
from app.api.protocols.grpc import service as methods
from app.api.protocols.grpc.open import grpc_port
from app.errors import (
    DeadlineExceeded,
    EngineFailed,
    InferenceFailed,
    MalformedRequest,
    NotReady,
    Overloaded,
    SetupError,
    VitServeError,
)
from tests.api.conftest import MODEL, service
from tests.api.protocols.grpc.conftest import PREFIX, Contents, Input, Output, client, counted, free_port
from tests.api.protocols.oip import BLUE, CLASSES, RED, SIDE, array, b64, classified, lengths, normalised
from tests.api.test_off_the_loop import note

CODE = grpc.StatusCode


def image(*files: bytes, shape: list[int] | None = None, **parameters: messages.InferParameter) -> Any:
    contents = Contents(bytes_contents=files)
    return Input(name="image", datatype="BYTES", shape=shape or [len(files)], contents=contents, parameters=parameters)


async def refused(call: Any, code: grpc.StatusCode, cause: str) -> dict[str, str]:
    """The metadata of an answer that is an error."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert (caught.value.code(), cause in (caught.value.details() or "")) == (code, True), caught.value
    return {str(name): str(value) for name, value in caught.value.trailing_metadata() or ()}


async def test_server_and_model_tell_what_they_are() -> None:
    async with client() as c:
        assert (await c.call("ServerLive")).live and (await c.call("ServerReady")).ready
        assert (await c.call("ServerMetadata")).name == "vit-serve"
        named = messages.ModelMetadataRequest(name=MODEL, version="1")
        model = await c.call("ModelMetadata", named)
        assert [(each.name, list(each.shape)) for each in model.inputs] == [
            ("image", [-1, 1]),
            ("pixel_values", [-1, 3, SIDE, SIDE]),
            ("pixels", [-1, SIDE, SIDE, 3]),
        ]
        assert (model.name, list(model.versions), model.platform) == (MODEL, ["1"], f"vit_serve_{c.info.engine}")
        assert (await c.call("ModelReady", messages.ModelReadyRequest(name=MODEL))).ready
        c.service.classifier.drain()
        assert (await c.call("ServerLive")).live
        assert not (await c.call("ServerReady")).ready
        assert not (await c.call("ModelReady", messages.ModelReadyRequest(name=MODEL))).ready


async def test_another_model_is_not_found() -> None:
    async with client(model_aliases=("a/b",)) as c:
        assert (await c.infer(image(RED), model_name="a/b", model_version="1")).model_name == "a/b"
        for version, name in (("1", "another"), ("2", MODEL)):
            named = {"name": name, "version": version}
            await refused(c.call("ModelReady", messages.ModelReadyRequest(**named)), CODE.NOT_FOUND, "there is no")
            await refused(
                c.call("ModelMetadata", messages.ModelMetadataRequest(**named)), CODE.NOT_FOUND, "there is no"
            )
            asked = c.infer(image(RED), model_name=name, model_version=version)
            assert (await refused(asked, CODE.NOT_FOUND, "there is no"))["x-error-code"] == "unknown_model"


async def test_images_in_their_own_field_are_answered_in_one() -> None:
    async with client() as c:
        best = Output(name="probabilities", parameters={"classification": messages.InferParameter(int64_param=2)})
        answer = await c.infer(image(RED, b64(BLUE).encode()), id="g-1", outputs=[Output(name="logits"), best])
        assert (answer.id, answer.model_name, answer.model_version) == ("g-1", MODEL, "1")
        logits, classes = answer.outputs
        assert (list(logits.shape), list(classes.shape), classes.datatype) == ([2, CLASSES], [2, 2], "BYTES")
        scores = await classified(c.service, RED)
        index = int(np.argmax(scores))
        assert classes.contents.bytes_contents[0].decode() == f"{scores[index]:f}:{index}:class_{index}"
        assert np.argmax(logits.contents.fp32_contents[:CLASSES]) == index
        assert not answer.raw_output_contents


async def test_raw_contents_are_answered_by_raw_contents() -> None:
    async with client() as c:
        tensor = Input(name="image", datatype="BYTES", shape=[2, 1])
        answer = await c.infer(tensor, raw=[lengths(RED, BLUE)])
        found = np.frombuffer(answer.raw_output_contents[0], "<f4").reshape(answer.outputs[0].shape)
        for row, picture in zip(found, (RED, BLUE), strict=True):
            assert row == pytest.approx(await classified(c.service, picture), abs=1e-6)
        assert [each.name for each in answer.outputs] == ["probabilities", "logits"]
        assert not answer.outputs[0].contents.fp32_contents


@pytest.mark.parametrize("raw", [True, False])
async def test_pixels_are_answered_alike(raw: bool) -> None:
    async with client() as c:
        pixels = array()
        values, planes = normalised(pixels), pixels.transpose(0, 3, 1, 2)
        tensors: list[tuple[str, str, Any, Any]] = [
            ("pixels", "UINT8", pixels, {"uint_contents": pixels.ravel().tolist()}),
            ("pixels", "UINT8", planes, {"uint_contents": planes.ravel().tolist()}),
            ("pixel_values", "FP32", values, {"fp32_contents": values.ravel().tolist()}),
        ]
        expected = np.array([(await c.service.classifier.logits(each)).values for each in pixels])
        for name, datatype, array_, contents in tensors:
            tensor = {"name": name, "datatype": datatype, "shape": array_.shape}
            asked = Input(**tensor) if raw else Input(**tensor, contents=Contents(**contents))
            answer = await c.infer(asked, raw=[array_.tobytes()] if raw else [], outputs=[Output(name="logits")])
            found = (
                np.frombuffer(answer.raw_output_contents[0], "<f4") if raw else answer.outputs[0].contents.fp32_contents
            )
            assert list(found) == pytest.approx(expected.ravel().tolist(), abs=1e-5)


async def test_one_bad_image_fails_the_request_with_its_index() -> None:
    async with client() as c:
        await refused(c.infer(image(RED, b"nothing")), CODE.INVALID_ARGUMENT, "image 1: ")
        assert c.service.counted("vit_refusals_total", code="not_an_image", stage="decode") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Overloaded("full", 2.5), CODE.RESOURCE_EXHAUSTED),
        (NotReady("not ready"), CODE.UNAVAILABLE),
        (EngineFailed("broken"), CODE.UNAVAILABLE),
        (DeadlineExceeded("late"), CODE.DEADLINE_EXCEEDED),
        (InferenceFailed("nan"), CODE.INTERNAL),
        (RuntimeError("a secret"), CODE.INTERNAL),
    ],
)
async def test_errors_have_their_code_and_say_when_to_try_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: grpc.StatusCode
) -> None:
    async with client() as c:
        monkeypatch.setattr(c.service.classifier, "check_admission", Mock(side_effect=error))
        cause = str(error) if isinstance(error, VitServeError) else "internal error"
        metadata = await refused(c.infer(image(RED)), code, cause)
        pushback = {CODE.RESOURCE_EXHAUSTED: "2500", CODE.UNAVAILABLE: "1000"}.get(code)
        assert metadata.get("grpc-retry-pushback-ms") == pushback
        assert len(metadata["x-request-id"]) == 32
        status = {Overloaded: "503", DeadlineExceeded: "504"}.get(type(error))
        if status is not None:
            await counted(c, status)


async def test_a_refusal_comes_before_the_message_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client() as c:
        monkeypatch.setattr(c.service.classifier, "check_admission", Mock(side_effect=Overloaded("full")))
        method = c.channel.stream_unary(PREFIX + "ModelInfer")
        call = method(timeout=20)  # nothing is written
        await refused(call, CODE.RESOURCE_EXHAUSTED, "full")


async def test_a_message_that_does_not_come_or_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "_READ_S", 0.1)
    async with client() as c:
        for name in ("ModelInfer", "ModelReady"):
            method = c.channel.stream_unary(PREFIX + name)
            await refused(method(timeout=20), CODE.DEADLINE_EXCEEDED, "did not arrive in time")
            nothing = method()
            await nothing.done_writing()
            await refused(nothing, CODE.INVALID_ARGUMENT, "has no message")
            await refused(c.call(name, b"\xff"), CODE.INVALID_ARGUMENT, "message")
        await refused(c.call("ModelReady", bytes(5000)), CODE.INVALID_ARGUMENT, "4096 bytes")


async def test_deadline_and_parameter_bound_the_time() -> None:
    async with client() as c:
        brief = {"timeout": messages.InferParameter(int64_param=1)}
        await refused(c.infer(image(RED), parameters=brief), CODE.DEADLINE_EXCEEDED, "0 ms")
        assert c.service.counted("vit_deadline_exceeded_total", set_by="client") == 1
        given = list[float]()
        logits = c.service.classifier.logits

        async def noting(data: Any, **named: Any) -> Any:
            given.append(named["timeout_s"])
            return await logits(data, **named)

        c.service.classifier.logits = noting  # type: ignore[method-assign]
        await c.infer(image(RED), timeout=5)
        assert 0 < given[0] < 6  # gRPC itself adds a little


async def test_a_client_that_leaves_takes_its_work_with_it() -> None:
    async with client() as c:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def forever(*_: Any, **__: Any) -> Any:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        c.service.classifier.logits = forever  # type: ignore[method-assign]
        call = c.infer(image(RED))
        waiting = asyncio.ensure_future(_outcome(call))
        async with asyncio.timeout(10):
            await begun.wait()
            call.cancel()
            await ended.wait()
            await waiting
            await counted(c, "499")


async def _outcome(call: Any) -> None:
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_messages_are_bounded_and_held() -> None:
    async with client(max_body_bytes=100_000, max_bodies_bytes=150_000) as c:
        tensor = Input(name="image", datatype="BYTES", shape=[1])
        for size in (120_000, 1_000_000):  # over our limit, and over gRPC's own
            await refused(c.infer(tensor, raw=[bytes(size)]), CODE.RESOURCE_EXHAUSTED, "larger than")
        c.service.app.state.service.bodies.hold().add(149_000)
        await refused(c.infer(image(bytes(5000))), CODE.RESOURCE_EXHAUSTED, "bodies fill")
        bomb = c.call("ModelReady", bytes(10**8), compression=grpc.Compression.Gzip)
        await refused(bomb, CODE.RESOURCE_EXHAUSTED, "")


async def test_large_messages_and_answers_are_read_and_written_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "_MANY_NUMBERS", CLASSES)
    reading, writing = note(monkeypatch, methods, "read_message"), note(monkeypatch, methods, "write_message")
    async with client() as c:
        await c.infer(image(RED))
        many = array(count=30)
        await c.infer(Input(name="pixels", datatype="UINT8", shape=many.shape), raw=[many.tobytes()])
        assert (reading.on_loop, writing.on_loop) == ([True, False], [True, False])


async def test_closing_finishes_what_was_begun() -> None:
    async with service(grpc_port=free_port()) as s:
        async with grpc_port(s.app.state.service) as port:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
            go, logits = asyncio.Event(), s.classifier.logits

            async def later(*given: Any, **named: Any) -> Any:
                await go.wait()
                return await logits(*given, **named)

            s.classifier.logits = later  # type: ignore[method-assign]
            method = channel.unary_unary(PREFIX + "ModelInfer")
            request = messages.ModelInferRequest(model_name=MODEL, inputs=[image(RED)])
            call = method(request.SerializeToString())
            await asyncio.sleep(0.1)
            s.classifier.drain(10)
            asyncio.get_running_loop().call_later(0.2, go.set)
        assert await call
        await channel.close()


async def test_a_port_that_is_taken_or_a_missing_library_ends_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with client() as c:
        with pytest.raises(SetupError, match=r"gRPC port \d+ cannot be listened on"):
            async with grpc_port(c.service.app.state.service):
                pass
        monkeypatch.delitem(sys.modules, "app.api.protocols.grpc.port")
        monkeypatch.setitem(sys.modules, "grpc", None)
        with pytest.raises(SetupError, match=r"pip install 'vit-serve\[grpc\]'"):
            async with grpc_port(c.service.app.state.service):
                pass


@pytest.mark.parametrize("size", [1000, 100_000])
async def test_an_error_lets_go_of_the_message_at_once(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    class Held:
        """Stands for views of the message."""

    held = list[weakref.ref[Held]]()

    def fail(message: bytes) -> Any:
        view = Held()
        held.append(weakref.ref(view))
        raise MalformedRequest("no")

    monkeypatch.setattr(methods, "read_message", fail)
    async with client() as c:
        gc.disable()  # a service collects only when it is idle
        try:
            await refused(c.call("ModelInfer", bytes(size)), CODE.INVALID_ARGUMENT, "no")
            await counted(c, "400")
            await asyncio.sleep(0.05)
            assert held[0]() is None
        finally:
            gc.enable()
