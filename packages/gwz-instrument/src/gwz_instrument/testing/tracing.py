"""Spans in memory: a tracer provider that exists once in a process, and lends its spans to whoever captures."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakSet

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from gwz_instrument.semconv import spans
from gwz_instrument.span_text import cleaned
from gwz_instrument.traces import Traces


class _Tap(SpanProcessor):
    """Hands every span that ends to those who capture at the moment, and to nobody between tests."""

    def __init__(self) -> None:
        self.kept: list[list[ReadableSpan]] = []

    def on_end(self, span: ReadableSpan) -> None:
        if self.kept:
            span = cleaned(span)  # as it would leave: a test may ask that no key does
        for one in list(self.kept):
            one.append(span)


@contextmanager
def captured_spans() -> Iterator[list[ReadableSpan]]:
    """A list that grows by every span that ends within, of the application's own tracers too.

    A tracer of an application remembers the first provider that it meets, so that this one is made once and used by
    every capture; the process has no provider afterwards, if it had none before.
    """
    kept: list[ReadableSpan] = []
    with _lock:
        existing = trace.get_tracer_provider()
        if not isinstance(existing, trace.ProxyTracerProvider):
            _tap_into(existing)
        elif not _borrowed:
            _borrow()
        if trace.get_tracer_provider() is _provider:
            _borrowed.append(kept)
    _tap.kept.append(kept)
    try:
        yield kept
    finally:
        _remove(_tap.kept, kept)
        with _lock:
            _remove(_borrowed, kept)
            if not _borrowed:
                _give_back()


def in_memory() -> Traces:
    """Traces whose spans end at once and go to whoever captures."""
    return Traces(_provider, _provider.get_tracer(spans.SCOPE), outlet=None)


def _tap_into(provider: trace.TracerProvider) -> None:
    """Listen to a provider of the application's, once; it cannot be told to forget a processor, so that stays, idle."""
    add = getattr(provider, "add_span_processor", None)
    if add is not None and provider not in _tapped:
        _tapped.add(provider)
        add(_tap)


# OpenTelemetry lets a process set its provider once; its own test utilities (`reset_trace_globals`) go the same way.
def _borrow() -> None:
    trace._TRACER_PROVIDER = _provider  # noqa: SLF001


def _give_back() -> None:
    if trace._TRACER_PROVIDER is _provider:  # noqa: SLF001  # else the application has set one within the test
        trace._TRACER_PROVIDER = None  # noqa: SLF001


def _remove(lists: list[list[ReadableSpan]], one: list[ReadableSpan]) -> None:
    """By identity: two captures may hold equal spans."""
    lists[:] = [other for other in lists if other is not one]


_lock: Final = threading.Lock()
_tap: Final = _Tap()
_provider: Final = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
_provider.add_span_processor(_tap)
_tapped: Final[WeakSet[trace.TracerProvider]] = WeakSet((_provider,))
_borrowed: Final[list[list[ReadableSpan]]] = []
"""The captures for which the process has our provider as its own."""
