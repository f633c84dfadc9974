"""An HTTP connection that the application can lose on purpose."""

import asyncio
import socket
import struct

from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

_NO_LINGER = struct.pack("ii", 1, 0)


class LosableProtocol(H11Protocol):
    """Hands its transport to the application in the scope's state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its parent does
        """Note the transport of this connection only; the state is shared by all."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


def lose(scope: Scope) -> None:
    """End the connection without another byte; what was written before still arrives."""
    _transport(scope).abort()


def reset(scope: Scope) -> None:
    """End the connection so that the peer sees it reset."""
    sock: socket.socket = _transport(scope).get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    lose(scope)


def _transport(scope: Scope) -> asyncio.Transport:
    transport: asyncio.Transport = scope["state"]["transport"]
    return transport
