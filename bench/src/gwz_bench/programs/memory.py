"""Serves a mix of requests for a long time and tells its size: `python -m gwz_bench.programs.memory SINK`."""

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from gwz_bench.apps import mixed_app
from gwz_bench.child import Answer, Order, serve
from gwz_bench.drive import Ask, started, visit
from gwz_bench.variants import Attached, ours_all

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SETTLE_EVERY = 1000  # fewer than the queue of spans holds


def mix(first: int, number: int) -> list[Ask]:
    """Of ten requests six are JSON, two streams, one a path that nobody has, one in a mount of a new tenant."""
    kinds: list[Callable[[int], Ask]] = [
        *[lambda n: Ask(f"/items/{n}")] * 6,
        *[lambda _: Ask("/stream")] * 2,
        lambda n: Ask(f"/nobody/has/{n}"),
        lambda n: Ask(f"/mount/tenant{n}/items/1"),
    ]
    return [kinds[n % 10](n) for n in range(first, first + number)]


class Server:
    """An instrumented application that has served `served` requests."""

    def __init__(self, sink: str) -> None:
        self._app = mixed_app()
        self._attached: Attached = ours_all(self._app, sink)
        self._served = 0
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._runner.run(self._stack.enter_async_context(started(self._app)))

    def obey(self, order: Order) -> Answer:
        """Carry out one order."""
        match order["do"]:
            case "serve":
                return self._runner.run(self._serve(order["requests"]))
            case "stop":
                self._runner.run(self._stack.aclose())
                return {}
            case other:
                raise ValueError(f"a server knows no order {other!r}")

    async def _serve(self, requests: int) -> Answer:
        end = self._served + requests
        while self._served < end:
            number = min(_SETTLE_EVERY, end - self._served)
            for start in range(self._served, self._served + number, 100):
                await visit(self._app, mix(start, 100))
            self._served += number
            self._attached.settle()
        gc.collect()
        return {"served": self._served, "resident_bytes": _resident_bytes()}


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


if __name__ == "__main__":
    serve(Server(sys.argv[1]).obey)
