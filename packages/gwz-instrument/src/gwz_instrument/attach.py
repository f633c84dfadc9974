"""What `telemetry.attach(thing)` does: finds out what `thing` is by the names of its classes, and has it recorded."""

import logging
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

from .metrics import Collectors

ATTACHABLE: Final = (
    "a SQLAlchemy Engine or AsyncEngine",
    "a redis-py client, redis.Redis or redis.asyncio.Redis",
    "an httpx.Client or httpx.AsyncClient, with database='postgrest' if it asks PostgREST",
    "httpx itself, or one of its classes, for all clients",
)


def attach(thing: Any, collectors: Collectors, *, database: str | None = None) -> None:
    """Have what `thing` does recorded: the queries of an engine, the commands of a Redis client, the requests of httpx.

    `database="postgrest"` makes queries of an httpx client's requests. Idempotent. None, as a factory returns it while
    its server is down, is let pass with one warning. Raises TypeError for what cannot be attached, ValueError for a
    `database` that is not known, or not where it is given.
    """
    if thing is None:
        _warn_of_none()
        return
    kind = _kind_of(thing)
    if kind is None:
        raise TypeError(
            f"{_described(thing)} cannot be attached. What can be: {'; '.join(ATTACHABLE)}. "
            "Around anything else use database(), cache() or inference()"
        )
    _check_database(database, thing, kind)
    if kind in _ENGINES:
        from . import sqlalchemy_engine  # noqa: PLC0415  # what is not attached is not loaded

        sqlalchemy_engine.attach(thing)
    elif kind == _REDIS:
        from . import redis_client  # noqa: PLC0415  # as above

        redis_client.attach(
            thing, collectors, is_async=any(".asyncio." in each.__module__ for each in type(thing).__mro__)
        )
    else:
        from . import client  # noqa: PLC0415  # as above

        if kind in _CLIENTS and not isinstance(thing, type):
            client.attach(thing, database=database)
        else:
            client.attach_all(thing)


def _kind_of(thing: Any) -> str | None:
    """What `thing` is, or is a class of, in the form `package.Class`; None for what cannot be attached."""
    if isinstance(thing, ModuleType):
        return _HTTPX if thing.__name__ == _HTTPX else None
    if isinstance(thing, type):
        return next((name for name in _names(thing) if name in _CLIENTS), None)
    return next((name for name in _names(type(thing)) if name in _KINDS), None)


def _names(kind: type) -> Iterator[str]:
    for each in kind.__mro__:
        yield f"{str(each.__module__).partition('.')[0]}.{each.__name__}"


def _check_database(database: str | None, thing: Any, kind: str) -> None:
    if database is None:
        return
    from .client import DATABASES  # noqa: PLC0415  # as above

    if database not in DATABASES:
        raise ValueError(f"database={database!r} is none that is asked over HTTP: {', '.join(map(repr, DATABASES))}")
    if kind not in _CLIENTS or isinstance(thing, type):
        raise ValueError(
            f"database={database!r} is for an httpx client that asks nothing else, not for {_described(thing)}"
        )


def _described(thing: Any) -> str:
    if isinstance(thing, ModuleType):
        return f"the module {thing.__name__}"
    kind, what = (thing, "the class ") if isinstance(thing, type) else (type(thing), "an object of ")
    return f"{what}{kind.__module__}.{kind.__qualname__}"


def _warn_of_none() -> None:
    if not _warned:
        _warned.append(True)
        _LOG.warning(
            "gwz-instrument: attach(None) records nothing: its server may have been down. "
            "Attach the client where it is made, each time"
        )


_HTTPX: Final = "httpx"
_REDIS: Final = "redis.Redis"
_CLIENTS: Final = frozenset({"httpx.Client", "httpx.AsyncClient"})
_ENGINES: Final = frozenset({"sqlalchemy.Engine", "sqlalchemy.AsyncEngine"})
_KINDS: Final = _CLIENTS | _ENGINES | {_REDIS}
_warned: list[bool] = []
_LOG: Final = logging.getLogger("gwz_instrument")
