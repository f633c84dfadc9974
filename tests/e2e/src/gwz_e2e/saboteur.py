"""Runs the example application with a fault in its telemetry: `python -m gwz_e2e.saboteur BREAK`.

The faults are put into the real library, so that a check that overlooks one is caught.
"""

import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from opentelemetry import trace

from fastapi_app import customers
from gwz_instrument import caches, cells, http, logs, metrics, outcomes, traces, watches
from gwz_instrument.monitoring import pages
from gwz_instrument.semconv import http as names

_EVERY = 20
_RENAMED = "fastapi_http_requests"


def rename_metric() -> None:
    """Emit the request counter under a name that nobody asks for."""
    collect = metrics.Collectors.collect  # a fault is put where it would really be

    def renamed(self: metrics.Collectors) -> Iterator[Any]:
        for family in collect(self):
            if family.name == names.REQUESTS.family:
                family.name = _RENAMED
                family.samples = [sample._replace(name=f"{_RENAMED}_total") for sample in family.samples]
            yield family

    metrics.Collectors.collect = renamed  # type: ignore[method-assign]


def drop_lines() -> None:
    """Lose one request line in twenty without a word."""
    _each_line(lambda write, number: None if number % _EVERY == 0 else write())


def double_lines() -> None:
    """Queue one request line in twenty twice."""

    def twice(write: Callable[[], None], number: int) -> None:
        write()
        if number % _EVERY == 0:
            write()

    _each_line(twice)


def forget_parent() -> None:
    """Hang the server span under a span that does not exist, in the right trace."""
    parent = traces.parent

    def wrong(headers: Any) -> Any:
        context = parent(headers)
        remote = trace.get_current_span(context).get_span_context()
        other = trace.SpanContext(remote.trace_id, remote.span_id ^ 1, True, remote.trace_flags)
        return trace.set_span_in_context(trace.NonRecordingSpan(other), context)

    traces.parent = wrong


def forget_exemplars() -> None:
    """Observe durations without naming the trace."""

    def nothing(self: cells.Histogram, value: float, trace_id: int) -> None:
        del self, value, trace_id

    cells.Histogram.exemplify = nothing  # type: ignore[method-assign]


def take_broken_for_whole() -> None:
    """Let a stream that broke count as one that ended well, as gateways do whose generators swallow what broke it."""

    def well(self: watches.Watch, error: BaseException) -> None:
        del error
        self.exhausted()

    watches.Watch.broken = well  # type: ignore[method-assign]


def forget_hits() -> None:
    """Lose one hit of a cache in twenty without a word."""
    hit = caches.Cache.hit
    numbers = count(1)

    def sometimes(self: caches.Cache) -> None:
        if next(numbers) % _EVERY:
            hit(self)

    caches.Cache.hit = sometimes  # type: ignore[method-assign]


def keep_balance() -> None:
    """Let the balances stay what they were when they were asked for first, as a gauge does that nobody renews."""
    balances = customers.Census.credits
    first: list[Mapping[str, float]] = []

    def once(self: customers.Census) -> Mapping[str, float]:
        first[:] = first or [balances(self)]
        return first[0]

    customers.Census.credits = once  # type: ignore[method-assign]


def hide_failures() -> None:
    """Let the endpoints take a stream that broke for no failure; what Prometheus scrapes stays as it is."""
    pages.FAILURES = pages.FAILURES - {outcomes.STREAM_ERROR}  # type: ignore[attr-defined]


def _each_line(deal: Callable[[Callable[[], None], int], None]) -> None:
    write = logs.LokiHandler.write
    numbers = count(1)

    def sabotaged(self: logs.LokiHandler, **line: Any) -> None:
        if line["logger"] == http.REQUEST_LOGGER:
            deal(lambda: write(self, **line), next(numbers))
        else:
            write(self, **line)

    logs.LokiHandler.write = sabotaged  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "metric-renamed": rename_metric,
    "log-dropped": drop_lines,
    "log-doubled": double_lines,
    "trace-parent": forget_parent,
    "exemplar": forget_exemplars,
    "failure-as-success": take_broken_for_whole,
    "hit-forgotten": forget_hits,
    "balance-stale": keep_balance,
    "failure-hidden": hide_failures,
}

if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    runpy.run_module("fastapi_app", run_name="__main__")
