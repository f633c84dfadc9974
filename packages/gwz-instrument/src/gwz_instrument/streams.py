"""Streams that are watched: they hand on what they are given, and tell how they began, went on and ended."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self


class Watcher(Protocol):
    """Who is told what becomes of a stream; it never raises."""

    def stepping(self) -> AbstractContextManager[None]:
        """What the next step takes place in."""

    def seen(self, chunk: Any) -> None:
        """A chunk has come."""

    def exhausted(self) -> None:
        """The stream has ended by itself."""

    def broken(self, error: BaseException) -> None:
        """The stream has raised, or whoever waited for its next chunk was cancelled."""

    def closed(self) -> None:
        """The stream was closed before its end."""

    def dropped(self) -> None:
        """Nobody can ask for the next chunk any more."""


def watched(stream: Any, watcher: Watcher) -> Any:
    """A stream of the same kind as `stream` that tells `watcher`; TypeError for what is no stream.

    Synchronous or not, iterator or generator: as what came. Attributes that are not of the kind are the stream's own.
    Each chunk may be asked for by another thread.
    """
    kind = _kind_of(stream)
    if kind is None:
        raise TypeError(
            f"wrap() was given a {type(stream).__name__}: give it the stream itself, an iterator, sync or async"
        )
    return kind(stream, watcher)


def is_iterator(answer: Any) -> bool:
    """Whether `answer`, which a function returned, is a stream: it gives its next chunk and can be looped over."""
    kind = type(answer)
    return (hasattr(kind, "__next__") and hasattr(kind, "__iter__")) or (
        hasattr(kind, "__anext__") and hasattr(kind, "__aiter__")
    )


def _kind_of(stream: Any) -> "type[_Watched] | None":
    kind = type(stream)
    if issubclass(kind, AsyncGenerator):
        return _AsyncGenerator
    if issubclass(kind, Generator):
        return _Generator
    if hasattr(kind, "__aiter__") and (hasattr(kind, "__anext__") or not _is_whole(kind)):
        return _AsyncStream
    if hasattr(kind, "__iter__") and (hasattr(kind, "__next__") or not _is_whole(kind)):
        return _Stream
    return None


def _is_whole(kind: type) -> bool:
    """Whether it can be looped over as any container, or as the fields of a pydantic model: an answer, not a stream."""
    return issubclass(kind, Mapping | Sequence | AbstractSet) or any(
        base.__name__ == "BaseModel" for base in kind.__mro__
    )


class _Watched:
    """What the four kinds have in common. Names are long because those of the stream must stay free."""

    def __init__(self, stream: Any, watcher: Watcher) -> None:
        self._gwz_stream = stream
        self._gwz_watcher = watcher

    def __getattr__(self, name: str) -> Any:
        """What the stream has and its kind has not; closing it is told."""
        if name.startswith("_gwz_"):  # only before there is a stream
            raise AttributeError(name)
        found = getattr(self._gwz_stream, name)
        return self._gwz_closing(found) if name in ("close", "aclose") and callable(found) else found

    def __del__(self) -> None:
        """Tell that nobody holds the stream."""
        if (watcher := self.__dict__.get("_gwz_watcher")) is not None:
            watcher.dropped()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Let a copy be the stream's, unwatched: what becomes of it says nothing of this one."""
        return self._gwz_stream.__reduce_ex__(protocol)

    def _gwz_closing(self, close: Callable[..., Any]) -> Callable[..., Any]:
        def told(*args: Any, **kwargs: Any) -> Any:
            self._gwz_watcher.closed()
            return close(*args, **kwargs)

        return told


class _Stream(_Watched, Iterator[Any]):
    _gwz_iterator: Iterator[Any] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._gwz_iterator is None:
            self._gwz_iterator = iter(self._gwz_stream)
        return self._gwz_step(self._gwz_iterator.__next__)

    def __enter__(self) -> Any:
        """Enter the stream; what it hands out in its own stead is this."""
        entered = self._gwz_stream.__enter__()
        return self if entered is self._gwz_stream else entered

    def __exit__(self, *error: object) -> Any:
        self._gwz_watcher.closed()
        return self._gwz_stream.__exit__(*error)

    def _gwz_step(self, step: Callable[..., Any], *args: Any) -> Any:
        try:
            with self._gwz_watcher.stepping():
                chunk = step(*args)
        except StopIteration:
            self._gwz_watcher.exhausted()
            raise
        except BaseException as error:
            self._gwz_watcher.broken(error)
            raise
        self._gwz_watcher.seen(chunk)
        return chunk


class _Generator(_Stream, Generator[Any, Any, Any]):
    def send(self, value: Any) -> Any:
        return self._gwz_step(self._gwz_stream.send, value)

    def throw(self, *error: Any) -> Any:
        return self._gwz_step(self._gwz_stream.throw, *error)

    def close(self) -> Any:
        self._gwz_watcher.closed()
        return self._gwz_stream.close()


class _AsyncStream(_Watched, AsyncIterator[Any]):
    _gwz_iterator: AsyncIterator[Any] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._gwz_iterator is None:
            self._gwz_iterator = self._gwz_stream.__aiter__()
        return await self._gwz_step(self._gwz_iterator.__anext__)

    async def __aenter__(self) -> Any:
        """Enter the stream; what it hands out in its own stead is this."""
        entered = await self._gwz_stream.__aenter__()
        return self if entered is self._gwz_stream else entered

    async def __aexit__(self, *error: object) -> Any:
        self._gwz_watcher.closed()
        return await self._gwz_stream.__aexit__(*error)

    async def _gwz_step(self, step: Callable[..., Any], *args: Any) -> Any:
        try:
            with self._gwz_watcher.stepping():
                chunk = await step(*args)
        except StopAsyncIteration:
            self._gwz_watcher.exhausted()
            raise
        except BaseException as error:
            self._gwz_watcher.broken(error)
            raise
        self._gwz_watcher.seen(chunk)
        return chunk


class _AsyncGenerator(_AsyncStream, AsyncGenerator[Any, Any]):
    async def asend(self, value: Any) -> Any:
        return await self._gwz_step(self._gwz_stream.asend, value)

    async def athrow(self, *error: Any) -> Any:
        return await self._gwz_step(self._gwz_stream.athrow, *error)

    async def aclose(self) -> Any:
        self._gwz_watcher.closed()
        return await self._gwz_stream.aclose()
