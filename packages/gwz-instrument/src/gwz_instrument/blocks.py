"""Has each call of a function run within a block of its own: what a recorder is when it is used as a decorator."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from .awaitables import Pausable, is_awaitable, lasting

_F = TypeVar("_F", bound=Callable[..., Any])


def around(function: _F, block: Callable[[], Pausable]) -> _F:
    """`function`, or coroutine function, with each call within what `block()` gives, until what it returns has been awaited.

    TypeError for a generator function: it runs for as long as its reader takes, which says nothing of its own time.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        name = getattr(function, "__qualname__", function)
        raise TypeError(f"{name} is a generator, which takes the time of its reader: put the block into it instead")
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):

        @wraps(function)
        async def within_async(*args: Any, **kwargs: Any) -> Any:
            with block():
                return await function(*args, **kwargs)

        return cast("_F", within_async)

    @wraps(function)
    def within(*args: Any, **kwargs: Any) -> Any:
        with (opened := block()):
            answer = function(*args, **kwargs)
            return lasting(answer, opened) if is_awaitable(answer) else answer

    return cast("_F", within)
