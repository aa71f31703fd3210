"""Owns whether there is a gRPC port; imports gRPC only where there is one. Does not know anything of it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.api.state import State
from app.errors import SetupError

logger = logging.getLogger(__name__)


@asynccontextmanager
async def grpc_port(state: State) -> AsyncIterator[int]:
    """Answers the Open Inference Protocol by gRPC as long as the `with` lasts, if the settings name a port for it.

    Gives that port, 0 for none. Raises SetupError.
    """
    if not state.settings.grpc_port:
        yield 0
        return
    try:
        from app.api.protocols.grpc.port import GrpcPort
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("grpc", "google"):
            raise
        raise SetupError("VIT_GRPC_PORT needs gRPC: pip install 'vit-serve[grpc]'") from error
    port = GrpcPort(state)
    await port.start()
    logger.info("the Open Inference Protocol is also on port %d, by gRPC", port.port)
    try:
        yield port.port
    finally:
        await port.close()
