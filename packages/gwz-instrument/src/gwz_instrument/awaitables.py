"""Awaitables that a function returns: the block around the function lasts until they are done."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import lru_cache, partial
from types import CoroutineType, TracebackType
from typing import Any, Final, Protocol
from weakref import WeakSet

from .streams import is_iterator

Told = Callable[[Any], Any]
"""Called with what an awaitable brought; gives what takes its place."""


class Pausable(Protocol):
    """A block that can be left and entered again before it ends; what it does never raises."""

    def __enter__(self) -> Any:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """End; nothing while it is suspended."""

    def suspend(self) -> None:
        """Let it be no longer the current one here, and yet go on."""

    def resume(self) -> None:
        """Let it be the current one again, here."""


def is_awaitable(answer: object) -> bool:
    """Whether `answer` is only the promise of one; a client that may be awaited to connect it is more than that."""
    kind: Any = type(answer)
    return hasattr(kind, "__await__") and (
        issubclass(kind, Coroutine) or asyncio.isfuture(answer) or _is_only_awaited(kind)
    )


def _as_it_is(result: Any) -> Any:
    return result


def lasting(answer: Any, block: Pausable, told: Told = _as_it_is) -> Any:
    """What stands for `answer`, an awaitable that came within `block`: the block goes on, and ends as the awaitable does.

    `told` is given the result, and gives what takes its place. A future is the same object, whose result stays its own.
    What nobody ever waits for is not recorded, as a coroutine is not that nobody awaits.
    """
    block.suspend()
    if asyncio.isfuture(answer):
        if answer in _told:  # whoever shares an answer has not caused it again
            told = _as_it_is
        _told.add(answer)
        over = partial(_future_over, block, told)
        if answer.done():
            over(answer)
        else:
            answer.add_done_callback(over)  # before those of whoever waits for it
        return answer
    if isinstance(answer, CoroutineType):
        return _awaited(block, told, answer)
    return _stand_in_for(type(answer))(answer, block, told)


@lru_cache(maxsize=256)
def _is_only_awaited(kind: type) -> bool:
    """Whether nothing can be done with it but to wait for it, in one of the ways in which one waits, as grpc.aio's calls."""
    if hasattr(kind, "add_done_callback"):
        return True
    own = {name for base in kind.__mro__ if base is not object for name in vars(base)}
    return not any(name in _USES or not name.startswith("_") for name in own - _WAYS_TO_WAIT)


class _Resumed:
    """The rest of a block that was suspended."""

    __slots__ = ("_block",)

    def __init__(self, block: Pausable) -> None:
        self._block = block

    def __enter__(self) -> None:
        self._block.resume()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._block.__exit__(kind, error, traceback)


async def _awaited(block: Pausable, told: Told, answer: Awaitable[Any]) -> Any:
    with _Resumed(block):
        return told(await answer)


def _future_over(block: Pausable, told: Told, future: "asyncio.Future[Any]") -> None:
    block.resume()
    error = _error_of(future)
    if error is None and not is_iterator(result := future.result()):  # no stream can take another's place in a future
        told(result)
    block.__exit__(None if error is None else type(error), error, None)


def _error_of(future: "asyncio.Future[Any]") -> BaseException | None:
    """What a future ended with; asking it for its exception would keep it from telling that nobody else did."""
    if future.cancelled():
        return asyncio.CancelledError()
    found = getattr(future, "_exception", _UNKNOWN)
    return future.exception() if found is _UNKNOWN else found  # type: ignore[return-value]


class _StandIn:
    """Stands for an awaitable that is no coroutine. Names are long because those of the awaitable must stay free."""

    def __init__(self, answer: Any, block: Pausable, told: Told) -> None:
        self._gwz_answer = answer
        self._gwz_rest: tuple[Pausable, Told] | None = (block, told)

    def __getattr__(self, name: str) -> Any:
        """What is not awaited is the awaitable's own."""
        if name.startswith("_gwz_"):  # only before there is an awaitable
            raise AttributeError(name)
        return getattr(self._gwz_answer, name)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The awaitable's, for whoever asks for it by `isinstance`."""
        return type(self._gwz_answer)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Let a copy be the awaitable's, unrecorded."""
        return self._gwz_answer.__reduce_ex__(protocol)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._gwz_once(self._gwz_answer).__await__()  # type: ignore[no-any-return]

    def _gwz_once(self, awaitable: Any) -> Any:
        """`awaitable` within the block, which it ends; the first time only."""
        rest, self._gwz_rest = self._gwz_rest, None
        return awaitable if rest is None else _awaited(*rest, awaitable)


class _Entered(_StandIn):
    """An awaitable that may be entered instead: with its beginning, which is what is waited for, the block ends."""

    async def __aenter__(self) -> Any:
        """Enter it; what it hands out in its own stead is this."""
        entered = await self._gwz_once(self._gwz_answer.__aenter__())
        return self if entered is self._gwz_answer else entered

    async def __aexit__(self, *error: object) -> Any:
        return await self._gwz_answer.__aexit__(*error)


class _Sent(_StandIn):
    """A coroutine that is none of Python's own, as Cython's and aiohttp's, for who drives it by hand, as a task does."""

    _gwz_coroutine: Any = None

    def send(self, value: Any) -> Any:
        return self._gwz_driven().send(value)

    def throw(self, *error: Any) -> Any:
        return self._gwz_driven().throw(*error)

    def close(self) -> Any:
        return (self._gwz_answer if self._gwz_coroutine is None else self._gwz_coroutine).close()

    def _gwz_driven(self) -> Any:
        if self._gwz_coroutine is None:
            self._gwz_coroutine = self._gwz_once(self._gwz_answer)
        return self._gwz_coroutine


class _Looped(_StandIn):
    """An awaitable that may be looped over instead: the block ends there, unless its owner watches streams."""

    def __aiter__(self) -> Any:
        stream, rest, self._gwz_rest = self._gwz_answer.__aiter__(), self._gwz_rest, None
        if rest is None:
            return stream
        block, told = rest
        with _Resumed(block):
            return told(stream)


_WAYS_TO_WAIT: Final = frozenset({"send", "throw", "close"})
_USES: Final = frozenset({"__call__", "__len__", "__getitem__", "__contains__", "__next__", "__anext__", "__iter__"})
"""What tells that an object is more than a promise."""
_told: "WeakSet[asyncio.Future[Any]]" = WeakSet()
"""Futures whose result was read, or will be."""
_ALSO: Final = {"__aenter__": _Entered, "send": _Sent, "__aiter__": _Looped}
_UNKNOWN: Final = object()


def _stand_in_for(kind: type) -> type[_StandIn]:
    """The class that can do what `kind` can."""
    return _joined(*(can for name, can in _ALSO.items() if hasattr(kind, name)))


@lru_cache(maxsize=8)
def _joined(*classes: type[_StandIn]) -> type[_StandIn]:
    return type("_StandIn", classes or (_StandIn,), {})
