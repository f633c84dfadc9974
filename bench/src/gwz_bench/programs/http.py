"""Holds an application that can be asked plain and with a variant attached, and measures one beside the other.

`python -m gwz_bench.programs.http SCENARIO VARIANT SINK`
"""

import asyncio
import gc
import sys
from contextlib import AsyncExitStack
from typing import Any

from gwz_bench.apps import SCENARIOS
from gwz_bench.child import Answer, Order, serve
from gwz_bench.drive import Cost, fetch, slice_of, started
from gwz_bench.scrape import total
from gwz_bench.variants import VARIANTS

_WARM = 300


class Pair:
    """An application with two stacks of middlewares, a plain one and that of a variant, both warm.

    Everything inside is the same: of two applications one is always a little faster, as they lie in different places of
    the memory, and behind many routes that is more than what is measured.
    """

    def __init__(self, scenario: str, variant: str, sink: str) -> None:
        self._scenario = SCENARIOS[scenario]
        self._app = self._scenario.make()
        # The plain application makes no logging call, and so is another one.
        self._plain = SCENARIOS["json"].make() if scenario == "json-logging" else self._app
        self._bare = self._plain.build_middleware_stack()
        self._attached = VARIANTS[variant](self._app, sink)
        self._driven = 0
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._runner.run(self._start())

    def obey(self, order: Order) -> Answer:
        """Carry out one order."""
        match order["do"]:
            case "round":
                return self._runner.run(self._round(order["requests"], order["slices"]))
            case "check":
                return self._runner.run(self._check())
            case "profile":
                return self._profile(order["requests"], order["path"])
            case "stop":
                self._runner.run(self._stack.aclose())
                return {}
            case other:
                raise ValueError(f"an application knows no order {other!r}")

    async def _start(self) -> None:
        for app in dict.fromkeys((self._plain, self._app)):
            await self._stack.enter_async_context(started(app))
        await self._plain_slice(_WARM)
        await self._slice(_WARM)
        gc.collect()
        gc.freeze()  # the applications themselves are no garbage: no collection need look at them again

    async def _round(self, requests: int, slices: int) -> Answer:
        """Plain, variant, plain, variant … plain."""
        plain, variant = [await self._plain_slice(requests)], []
        for _ in range(slices):
            variant.append(await self._slice(requests))
            plain.append(await self._plain_slice(requests))
        return {"plain": [_as_json(cost) for cost in plain], "variant": [_as_json(cost) for cost in variant]}

    async def _plain_slice(self, requests: int) -> Cost:
        attached, self._plain.middleware_stack = self._plain.middleware_stack, self._bare
        try:
            return await slice_of(self._plain, self._scenario.ask, requests, lambda: None)
        finally:
            self._plain.middleware_stack = attached

    async def _slice(self, requests: int) -> Cost:
        self._driven += requests
        return await slice_of(self._app, self._scenario.ask, requests, self._attached.settle)

    async def _check(self) -> Answer:
        """How many requests were made, and how many are in the scrape that follows at once."""
        attached = self._attached
        counted = None
        if attached.counter is not None:
            page = await fetch(self._app, "/metrics")
            counted = total(page, attached.counter, attached.path_label, self._scenario.template)
        return {"driven": self._driven, "counted": counted, "spans": attached.spans, "lines": attached.lines}

    def _profile(self, requests: int, path: str) -> Answer:
        import cProfile  # noqa: PLC0415

        profile = cProfile.Profile()
        profile.enable()
        self._runner.run(self._slice(requests))
        profile.disable()
        profile.dump_stats(path)
        return {}


def _as_json(cost: Cost) -> dict[str, Any]:
    return {"answered": cost.answered, "loop": cost.loop, "settled": cost.settled, "cpu": cost.cpu}


if __name__ == "__main__":
    serve(Pair(*sys.argv[1:]).obey)
