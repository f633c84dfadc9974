"""`task`: a background task has a trace of its own, linked to the request that started it."""

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Final, Self, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind

from . import client_spans, databases, exchange, open_calls
from .blocks import around
from .contexts import leave
from .names import MAX_NAME
from .recording import Recording, recording
from .semconv import spans

_F = TypeVar("_F", bound=Callable[..., Any])

_NO_PARENT: Final = Context()
_OF_THE_REQUEST: Final[tuple[ContextVar[Any], ...]] = (exchange.current, open_calls.current, databases.current)
"""What a task inherits from the request that started it, and must leave alone: the request may have ended."""


def task(name: str) -> "Task":
    """Record a background task: a block, by `with` or `async with`; or each call of a function, as a decorator.

    It becomes a span "task {name}" in a trace of its own, with a link to the span that was current where it began, so
    that it does not lengthen the request that started it. Within, there is no current request: lines carry the task's
    trace, calls and queries belong to no endpoint. What is raised passes through, and its class is the span's
    `error.type`. `name` is a constant of your code. One object serves one block at a time.
    """
    return Task(name)


class Task:
    """A background task that is under way or to come. No method raises."""

    __slots__ = ("_name", "_recording", "_span", "_span_token", "_tokens")

    def __init__(self, name: object) -> None:
        self._name = name
        self._recording: Recording | None = None
        self._span: Span | None = None
        self._span_token: Token[Context] | None = None
        self._tokens: list[Token[Any]] = []

    def __enter__(self) -> Self:
        """Begin the task, and leave the request."""
        found = self._recording = recording()
        if found is not None:
            try:
                self._begin(found)
            except Exception:  # noqa: BLE001  # no fault of ours may cost a task
                found.complain("task")
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """End the task; an exception passes through."""
        found = self._recording
        if found is not None and self._tokens:
            self._recording = None
            try:
                self._end(error)
            except Exception:  # noqa: BLE001  # as above
                found.complain("task")

    async def __aenter__(self) -> Self:
        """Begin the task, and leave the request."""
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End the task; an exception passes through."""
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _F) -> _F:
        """Have each call of `function`, or of a coroutine function, recorded. TypeError for a generator function."""
        return around(function, lambda: Task(self._name))

    def suspend(self) -> None:
        """Go back to the request; the task goes on."""
        tokens, span_token = self._tokens, self._span_token
        self._tokens, self._span_token = [], None
        if tokens:
            leave(tokens[0], span_token, *tokens[1:])

    def resume(self) -> None:
        """Leave whatever request is current here."""
        if self._recording is not None:
            self._tokens = [variable.set(None) for variable in _OF_THE_REQUEST]
            self._attach()

    def _begin(self, found: Recording) -> None:
        self._tokens = [variable.set(None) for variable in _OF_THE_REQUEST]
        starter = trace.get_current_span().get_span_context()
        if found.tracer is not None:
            name = found.name("the name of a task", self._name)[:MAX_NAME]
            self._span = found.tracer.start_span(
                f"task {name}",
                context=_NO_PARENT,
                kind=SpanKind.INTERNAL,
                attributes={spans.TASK_NAME.name: name},
                links=[Link(starter)] if starter.is_valid else None,
            )
        self._attach()

    def _attach(self) -> None:
        # Without traces of ours the request's span, somebody else's, is left all the same; baggage stays.
        self._span_token = otel_context.attach(trace.set_span_in_context(self._span or trace.INVALID_SPAN))

    def _end(self, error: BaseException | None) -> None:
        span, self._span = self._span, None
        try:
            self.suspend()
        finally:
            if span is not None:
                error_type = None if error is None else type(error).__name__
                client_spans.end(span, {}, error_type, failed=client_spans.is_failure(error))
