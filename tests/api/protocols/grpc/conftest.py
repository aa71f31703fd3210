"""Owns a gRPC port in this process and a plain client of it; does not test."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from app.api.protocols.grpc import open_inference_pb2 as messages
from app.api.protocols.grpc.open import grpc_port
from app.domain import ModelInfo
from tests.api.conftest import MODEL, Service, service

Input = messages.ModelInferRequest.InferInputTensor
Contents = messages.InferTensorContents
Output = messages.ModelInferRequest.InferRequestedOutputTensor
PREFIX = "/inference.GRPCInferenceService/"


class Client:
    """Calls by name; `raw`: bytes instead of a message."""

    def __init__(self, channel: grpc.aio.Channel, s: Service) -> None:
        self.channel, self.service = channel, s

    @property
    def info(self) -> ModelInfo:
        return self.service.classifier.info

    def call(self, name: str, message: Any = b"", **options: Any) -> Any:
        answer = getattr(messages, f"{name}Response")
        method = self.channel.unary_unary(PREFIX + name, response_deserializer=answer.FromString)
        raw = message if isinstance(message, bytes) else message.SerializeToString()
        return method(raw, **options)

    def infer(self, *inputs: Any, raw: Iterable[bytes] = (), timeout: float | None = None, **more: Any) -> Any:
        request = messages.ModelInferRequest(
            **{"model_name": MODEL, **more}, inputs=inputs, raw_input_contents=list(raw)
        )
        return self.call("ModelInfer", request, timeout=timeout)


async def counted(c: Client, code: str) -> None:
    """Returns once a ModelInfer is counted with that status: its answer may be here before."""
    async with asyncio.timeout(10):
        while not c.service.counted("vit_requests_total", route=PREFIX + "ModelInfer", code=code):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def client(**options: Any) -> AsyncIterator[Client]:
    async with (
        service(**{"grpc_port": free_port(), **options}) as s,
        grpc_port(s.app.state.service) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Client(channel, s)
