"""Gives an object of another package a class derived from its own: public methods are overridden, nothing is patched.

A method that is set on the object would do too, but would hold it in a cycle, and stay bound to it in its copies.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

Members = Callable[[Any], Mapping[str, Any]]
"""Given the class that an object has, what it shall do otherwise."""

_BASE: Final = "_gwz_base"
_MEMBERS: Final = "_gwz_members"


def rebase(thing: Any, members: Members) -> None:
    """Let `thing` do otherwise; what it was told by another call before, it does no more."""
    kind: Any = type(thing)
    thing.__class__ = _derived(getattr(kind, _BASE, kind), members)


def members_of(thing: Any) -> Members | None:
    """What `thing` was told to do otherwise; None if nothing."""
    return getattr(type(thing), _MEMBERS, None)


@lru_cache(maxsize=100)
def _derived(base: type, members: Members) -> type:
    as_base = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    marks = {_BASE: base, _MEMBERS: staticmethod(members)}
    return type(base.__name__, (base,), {**as_base, **members(base), **marks})
