"""Owns the server of the gRPC port: its limits, its start and its end; does not know methods."""

import time
from typing import Final

import grpc
import grpc.aio

from app.api.protocols.grpc.service import Service
from app.api.state import State
from app.errors import SetupError

_FRAME_BYTES: Final = 64 * 1024  # of a message that nobody reads yet
_MOST_BESIDE_BYTES: Final = 64 * 1024  # of a message, beside its tensors
_SHARE_FOR_CALLS: Final = 0.9  # of what is left until all must be over; the rest is for the engine
_STREAMS: Final = 256  # calls at once on one connection


class GrpcPort:
    """A listening server of grpc.aio on the running event loop. Raises SetupError if the port cannot be had."""

    def __init__(self, state: State) -> None:
        settings = state.settings
        self._classifier = state.classifier
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.max_body_bytes + _MOST_BESIDE_BYTES),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", 16 * 1024),
                ("grpc.max_concurrent_streams", _STREAMS),
                ("grpc.so_reuseport", 0),  # or a second service would take half of the first's calls
                ("grpc.http2.bdp_probe", 0),  # or what nobody reads yet may be megabytes a call
                ("grpc.http2.lookahead_bytes", _FRAME_BYTES),
            ],
            maximum_concurrent_rpcs=2 * settings.slots,
        )
        self._server.add_generic_rpc_handlers((Service(state).handler(),))
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            self.port: int = self._server.add_insecure_port(f"{host}:{settings.grpc_port}")
        except RuntimeError as error:
            raise SetupError(
                f"the gRPC port {settings.grpc_port} cannot be listened on: {str(error).partition(';')[0]}"
            ) from error

    async def start(self) -> None:
        """Answers from now on."""
        await self._server.start()

    async def close(self) -> None:
        """Takes no more calls, and finishes those there are; shortly before the service must end they are cut off."""
        left_s = (self._classifier.closes_at or time.monotonic()) - time.monotonic()
        await self._server.stop(max(left_s * _SHARE_FOR_CALLS, 0.0))
