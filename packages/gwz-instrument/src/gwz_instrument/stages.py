"""`stage`: times one stage of a request; and the time that passes before a request calls its first provider."""

import time
from collections.abc import Callable
from typing import Any, Final, Self, TypeVar

from opentelemetry import trace

from .blocks import around
from .exchange import Exchange, sampled_trace_id
from .labels import OTHER, Bounded
from .metrics import Collectors
from .per_registry import PerRegistry
from .recording import Recording, recording
from .semconv import stages as metrics

_F = TypeVar("_F", bound=Callable[..., Any])

MAX_STAGES: Final = 50
_FRONTEND: Final = "gwz_instrument.frontend"
"""Where a request's scope says who has told that its frontend is done."""


def stage(name: str) -> "Stage":
    """Time a stage of the current request: a block, by `with` or `async with`; or each call of a function, as a decorator.

    The time is recorded in seconds, whatever is raised, which passes through, under the route that the request has by
    then, or `_none` outside of any request. `name` is a constant of your code; after fifty of them the rest is `_other`.
    One object serves one block at a time.
    """
    return Stage(name)


class Stage:
    """A stage that is under way or to come. No method raises."""

    __slots__ = ("_name", "_recording", "_started_s", "_suspended")

    def __init__(self, name: object) -> None:
        self._name = name
        self._recording: Recording | None = None
        self._started_s = 0.0
        self._suspended = False

    def __enter__(self) -> Self:
        """Start the clock."""
        self._recording = recording()
        self._started_s = time.perf_counter()
        return self

    def __exit__(self, *_raised: object) -> None:
        """Record the time; an exception passes through."""
        if self._suspended:
            return
        seconds = time.perf_counter() - self._started_s
        found, self._recording = self._recording, None
        if found is not None:
            _record(found, self._name, seconds)

    async def __aenter__(self) -> Self:
        """Start the clock."""
        return self.__enter__()

    async def __aexit__(self, *raised: object) -> None:
        """Record the time; an exception passes through."""
        self.__exit__(*raised)

    def __call__(self, function: _F) -> _F:
        """Have each call of `function`, or of a coroutine function, timed. TypeError for a generator function."""
        return around(function, lambda: Stage(self._name))

    def suspend(self) -> None:
        """Let the clock run on when the block is left."""
        self._suspended = True

    def resume(self) -> None:
        """Let the clock stop when the block is left."""
        self._suspended = False


def frontend_done(exchange: Exchange | None, recording: Recording) -> None:
    """Note that a request calls its first provider now: what has passed since its arrival is the application's time.

    Once per request, for the first to come; a call that begins after the response's end, or outside of any request, says
    nothing of it. Never raises.
    """
    try:
        mine = object()
        if exchange is None or exchange.ended_s or exchange.scope.setdefault(_FRONTEND, mine) is not mine:
            return
        span = exchange.span or exchange.foreign
        cell = recording.collectors.child(metrics.FRONTEND, recording.endpoint_of(exchange))
        cell.observe(exchange.seconds, 0 if span is None else sampled_trace_id(span))
    except Exception:  # noqa: BLE001  # no fault of ours may cost a call
        recording.complain("frontend")


def _record(found: Recording, name: object, seconds: float) -> None:
    try:
        stage = _names(found.collectors).admit(found.name("the name of a stage", name))
        cell = found.collectors.child(metrics.STAGE_DURATION, stage, found.endpoint())
        cell.observe(seconds, sampled_trace_id(trace.get_current_span()))
    except Exception:  # noqa: BLE001  # no fault of ours may cost a request
        found.complain("stage")


def _bound(collectors: Collectors) -> Bounded:
    return Bounded(collectors, metrics.STAGE_DURATION, "stage", budget=MAX_STAGES, declared=(OTHER,))


_names: Final = PerRegistry(_bound)
