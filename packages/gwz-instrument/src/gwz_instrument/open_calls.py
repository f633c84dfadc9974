"""Which call to a model is open here: the blocks and steps in which one is current, and how to find it."""

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from .contexts import leave

if TYPE_CHECKING:
    from .calls import Attempt, Call


class Block:
    """The time in which a call, or an attempt, is the current one: of the recorders, and of OpenTelemetry."""

    __slots__ = ("_span_token", "_token")

    def __init__(self, opened: "Call | Attempt", context: Context | None = None) -> None:
        """Begin; `context` is what the block's context derives from, if that is not the current one."""
        self._token: Token[Call | Attempt | None] = current.set(opened)
        self._span_token: Token[Context] | None = None
        if (span := opened.span) is not None:
            before = otel_context.get_current() if context is None else context
            if opened.context is None:
                opened.context = before
            self._span_token = otel_context.attach(trace.set_span_in_context(span, before))

    def leave(self) -> None:
        """Go back to what was before; a generator that somebody else closes is in another context, see `around`."""
        leave(self._token, self._span_token)


class Steps:
    """The steps of a generator that is a call: within each, what was current at the end of the last, at first the call."""

    def __init__(self, opened: "Call | Attempt") -> None:
        self._inner: Call | Attempt | None = opened
        self._token: Token[Call | Attempt | None] | None = None

    def __enter__(self) -> None:
        """Begin a step."""
        self._token = current.set(self._inner)

    def __exit__(self, *_raised: object) -> None:
        """End it, wherever that is: the step of an asynchronous generator may be closed by somebody else."""
        self._inner, token, self._token = current.get(), self._token, None
        if token is not None:
            with suppress(ValueError):
                current.reset(token)


def around() -> "tuple[Call | Attempt | None, Context | None, bool]":
    """What is open here, the context that spans derive from if it is not the current one, and whether this is a straggler.

    What is current may be over: in a task that was born in its block, or where a generator was broken off and somebody
    else closed it. It is passed over then, and so is its span. A straggler is a thread that was begun within a call, or
    an attempt, that was then given up; what happens in it is recorded no more.
    """
    found, context, straggles = current.get(), None, False
    while found is not None and not found.joinable:
        straggles = straggles or (found.given_up and found.thread != threading.get_ident())
        if found.span is not None and trace.get_current_span(context) is found.span:
            context = found.context
        found = found.outer
    return found, context, straggles


def run(opened: "Call | Attempt", function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call `function` with what is `opened` as the current one."""
    block = Block(opened)
    try:
        return function(*args, **kwargs)
    finally:
        block.leave()


current: "ContextVar[Call | Attempt | None]" = ContextVar("gwz_call", default=None)
"""The innermost call or attempt that is open here."""
