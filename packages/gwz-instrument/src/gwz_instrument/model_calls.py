"""`inference`: opens a call to a model, around a block or a function."""

import inspect
import sys
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Self, TypeVar, cast

from opentelemetry.context import Context

from . import reports
from .awaitables import is_awaitable, lasting
from .calls import AskCost, Attempt, Call, Options
from .open_calls import Block, around, current
from .recording import recording
from .reports import ReadReport
from .streams import is_iterator

_F = TypeVar("_F", bound=Callable[..., Any])


def inference(
    provider: Any = None,
    model: Any = None,
    *,
    endpoint: str | None = None,
    stream: bool = False,
    operation: str = "chat",
    cost: AskCost | None = None,
    usage_from: ReadReport = reports.report_of,
) -> "Inference":
    """Record a call to a model: around a block, by `with` or `async with`, which gives the `Call`; or around a function, as a decorator.

    The call ends with the block, with its outcome: what is raised passes through. `provider` may be unknown at the start;
    `call.attempt` then says who is asked. Both names may be functions in a decorator: they are given the function's
    arguments. Opened within another call it is an attempt of that, so that clients can be decorated wherever they are used.
    `endpoint` is the route of the current request unless it is given. `cost` is asked for the price once the tokens are
    known, never on the event loop. A decorator reads usage from what the function returns, and watches it if it is a stream.

    A provider is a label value if the settings declare it or it is a literal in the code that calls this; a model, if
    the settings declare it or an upstream has answered it with success.
    """
    code = sys._getframe(1).f_code  # noqa: SLF001  # there is no other way to ask
    options = Options(provider, code, model, endpoint, stream, operation, cost)
    return Inference(options, usage_from)


class Inference:
    """A call that is to be made; see `inference`. It may be entered again while it is open, also by another thread."""

    __slots__ = ("_options", "_usage_from", "_visits")

    def __init__(self, options: Options, usage_from: ReadReport) -> None:
        self._options = options
        self._usage_from = usage_from
        self._visits: list[_Visit] = []

    def __enter__(self) -> "Call | Attempt":
        """Begin the call."""
        visit = _Visit(self._options)
        self._visits.append(visit)
        return visit.opened

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """End the call, unless a stream goes on; an exception passes through."""
        visits = self._visits
        visit = visits[-1]
        if len(visits) > 1:
            here = current.get()
            visit = next((each for each in reversed(visits) if each.opened is here), visit)
        visits.remove(visit)
        visit.leave(error)

    async def __aenter__(self) -> "Call | Attempt":
        """Begin the call."""
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End the call, unless a stream goes on; an exception passes through."""
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _F) -> _F:
        """Have each call of `function` recorded: a function, a coroutine function, or a generator of either kind."""
        if isinstance(function, staticmethod | classmethod):
            return cast("_F", type(function)(self(function.__func__)))
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def recorded_async(*args: Any, **kwargs: Any) -> Any:
                visit = self._visit(args, kwargs)
                with visit:
                    return self._told(visit.opened, await function(*args, **kwargs))

            return cast("_F", recorded_async)
        generates = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)

        @wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            visit = self._visit(args, kwargs)
            with visit:
                answer = function(*args, **kwargs)
                if is_awaitable(answer):
                    return lasting(answer, visit, partial(self._told, visit.opened))
                return self._told(visit.opened, answer, generates=generates)

        return cast("_F", recorded)

    def _visit(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "_Visit":
        options = self._options
        provider, model = (_asked(name, args, kwargs) for name in (options.provider, options.model))
        return _Visit(options._replace(provider=provider, model=model))

    def _told(self, call: "Call | Attempt", answer: Any, *, generates: bool = False) -> Any:
        """What the function returns: read, or watched if it is a stream."""
        if generates:
            return call.wrap_generator(answer, self._usage_from)
        if is_iterator(answer):
            return call.wrap(answer, usage_from=self._usage_from)
        call.read(answer, self._usage_from)
        return answer


class _Visit:
    """One call of one function, or one run of one block: what was opened for it, and the block in which it is current."""

    __slots__ = ("_block", "_owned", "opened")

    def __init__(self, options: Options) -> None:
        self.opened, context, self._owned = _open(options)
        self._block: Block | None = None
        if self._owned:
            self.opened._begin(context)  # noqa: SLF001  # what only the opener may call
            self._block = Block(self.opened, context)

    def __enter__(self) -> Self:
        """The call has begun already."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """End the call, unless it goes on; an exception passes through."""
        self.leave(error)

    def leave(self, error: BaseException | None) -> None:
        """End the call, unless a stream goes on, or its answer is awaited elsewhere."""
        if self._block is None:
            return
        self._block.leave()
        self._block = None
        self.opened._leave(error)  # noqa: SLF001  # as above

    def suspend(self) -> None:
        """Let the call be no longer the current one, and yet go on."""
        if self._block is not None:
            self._block.leave()
            self._block = None

    def resume(self) -> None:
        """Let the call be the current one again, here."""
        if self._owned:
            self._block = Block(self.opened)


def _open(options: Options) -> "tuple[Call | Attempt, Context | None, bool]":
    """What the recorder opens here, what its span derives from, and whether it is the recorder's to end.

    An attempt that is open already is its opener's.
    """
    if current.get() is None:
        return Call(recording(), options), None, True
    outer, context, straggles = around()
    if straggles:
        return Call(None, options), None, True
    if outer is None:
        return Call(recording(), options), context, True
    if isinstance(outer, Attempt):
        return outer, None, False
    attempt = Attempt(outer, options.provider, options.model, options.code)
    attempt.outer = outer
    return attempt, context, True


def _asked(name: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A name, or what the application's function makes of the arguments."""
    if not callable(name):
        return name
    try:
        return name(*args, **kwargs)
    except Exception:  # noqa: BLE001  # it is not worth the call
        return None
