"""Runs the example application with a fault in its telemetry: `python -m gwz_e2e.saboteur BREAK`.

The faults are put into the real library, so that a check that overlooks one is caught.
"""

import copy
import logging
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from opentelemetry import trace

from gwz_instrument import http, logs, metrics, traces
from gwz_instrument.semconv import http as names

_EVERY = 20


def rename_metric() -> None:
    """Emit the request counter under a name that nobody asks for."""
    make = metrics._make  # a fault is put where it would really be
    renamed = replace(names.REQUESTS, name="fastapi_http_requests_total")
    metrics._make = lambda entry: make(renamed if entry is names.REQUESTS else entry)


def drop_lines() -> None:
    """Lose one request line in twenty without a word."""
    _each_line(lambda emit, record, number: None if number % _EVERY == 0 else emit(record))


def double_lines() -> None:
    """Queue one request line in twenty twice."""

    def twice(emit: Callable[[logging.LogRecord], None], record: logging.LogRecord, number: int) -> None:
        twin = copy.copy(record)  # the handler takes the same record only once
        emit(record)
        if number % _EVERY == 0:
            emit(twin)

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

    def nothing(span: trace.Span | None) -> dict[str, str] | None:
        del span
        return None  # the type it stands for may return more

    http._exemplar = nothing


def _each_line(deal: Callable[[Callable[[logging.LogRecord], None], logging.LogRecord, int], None]) -> None:
    emit = logs.LokiHandler.emit
    numbers = count(1)

    def sabotaged(self: logs.LokiHandler, record: logging.LogRecord) -> None:
        if record.name == http.REQUEST_LOGGER:
            deal(lambda r: emit(self, r), record, next(numbers))
        else:
            emit(self, record)

    logs.LokiHandler.emit = sabotaged  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "metric-renamed": rename_metric,
    "log-dropped": drop_lines,
    "log-doubled": double_lines,
    "trace-parent": forget_parent,
    "exemplar": forget_exemplars,
}

if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    runpy.run_module("fastapi_app", run_name="__main__")
