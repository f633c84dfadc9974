"""Free loopback ports that no other stack of this machine chooses meanwhile."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from gwz_stack.errors import PortTaken, StackError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HOST = "127.0.0.1"

# Below the kernel's range for outgoing connections, so that none takes a port between its choice and the server's start.
_RANGE = range(20_000, 32_000)


class Reservation:
    """Ports by name. A name in Linux's abstract socket namespace holds each until close(), or until this process ends."""

    def __init__(self, ports: Mapping[str, int], holds: ExitStack) -> None:
        self.ports = dict(ports)
        self._holds = holds

    @classmethod
    def of(cls, names: Iterable[str], *, given: Mapping[str, int]) -> Self:
        """Reserve a port for each name, the given one where there is one; raises PortTaken when that is in use."""
        ports: dict[str, int] = {}
        with ExitStack() as holds:
            for name in names:
                port = given.get(name)
                if port is None:
                    ports[name] = _choose(holds)
                elif _hold(port, holds):
                    ports[name] = port
                else:
                    raise PortTaken(name, port)
            return cls(ports, holds.pop_all())

    def close(self) -> None:
        """Let others choose these ports again."""
        self._holds.close()


def _choose(holds: ExitStack) -> int:
    for port in random.sample(_RANGE, k=500):
        if _hold(port, holds):
            return port
    raise StackError("No free port was found.", cause=f"500 ports of {_RANGE} are in use.", cure="Stop some servers.")


def _hold(port: int, holds: ExitStack) -> bool:
    hold = socket.socket(socket.AF_UNIX)
    try:
        hold.bind(f"\0gatewayz-port-{port}")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is no obstacle
            probe.bind((HOST, port))
    except OSError:
        hold.close()
        return False
    holds.callback(hold.close)
    return True
