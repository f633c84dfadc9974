"""`inference`: opens a call to a model, around a block or a function."""

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar, cast

from . import outcomes, reports
from .calls import AskCost, Attempt, Block, Call, Options, ReadReport, current
from .recording import recording

_F = TypeVar("_F", bound=Callable[..., Any])
_STRAGGLERS: Final = frozenset({outcomes.TIMEOUT, outcomes.CANCELLED, outcomes.CLIENT_DISCONNECTED})
"""How a call ended that may have left a thread behind: what the thread still does is no call of its own."""


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
    """A call that is to be made; see `inference`."""

    __slots__ = ("_block", "_opened", "_options", "_owned", "_usage_from")

    def __init__(self, options: Options, usage_from: ReadReport) -> None:
        self._options = options
        self._usage_from = usage_from
        self._block: Block | None = None
        self._opened: Call | Attempt | None = None
        self._owned = True
        """Whether what was opened is ours to end; an attempt that was open before is its opener's."""

    def __enter__(self) -> "Call | Attempt":
        """Begin the call."""
        self._opened, self._owned = _open(self._options)
        if self._owned:
            self._opened._begin()  # noqa: SLF001  # what only the opener may call
            self._block = Block(self._opened, self._opened.span)
        return self._opened

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """End the call, unless a stream goes on; an exception passes through."""
        if self._block is not None:
            self._block.leave()
            self._block = None
        if self._owned and self._opened is not None:
            self._opened._leave(error)  # noqa: SLF001  # as above

    async def __aenter__(self) -> "Call | Attempt":
        """Begin the call."""
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End the call, unless a stream goes on; an exception passes through."""
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _F) -> _F:
        """Have each call of `function` recorded: a function, a coroutine function, or a generator of either kind."""
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def recorded_async(*args: Any, **kwargs: Any) -> Any:
                with self._for(args, kwargs) as call:
                    return self._told(call, await function(*args, **kwargs))

            return cast("_F", recorded_async)

        @wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            with self._for(args, kwargs) as call:
                return self._told(call, function(*args, **kwargs))

        return cast("_F", recorded)

    def _for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Inference":
        options = self._options
        provider, model = (_asked(name, args, kwargs) for name in (options.provider, options.model))
        return Inference(options._replace(provider=provider, model=model), self._usage_from)

    def _told(self, call: "Call | Attempt", answer: Any) -> Any:
        """What the function returns: read, or watched if it is a stream."""
        if hasattr(type(answer), "__next__") or hasattr(type(answer), "__anext__"):
            return call.wrap(answer, usage_from=self._usage_from)
        call.read(answer, self._usage_from)
        return answer


def _open(options: Options) -> "tuple[Call | Attempt, bool]":
    outer = current.get()
    if isinstance(outer, Attempt) and not outer.over:
        return outer, False
    call = outer.call if isinstance(outer, Attempt) else outer
    if call is not None and not call.over:
        return Attempt(call, options.provider, options.model, options.code), True
    straggles = call is not None and call.outcome is not None and call.outcome.status in _STRAGGLERS
    return Call(None if straggles else recording(), options), True


def _asked(name: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A name, or what the application's function makes of the arguments."""
    if not callable(name):
        return name
    try:
        return name(*args, **kwargs)
    except Exception:  # noqa: BLE001  # it is not worth the call
        return None
