"""What the application asks Redis, by the clients of redis-py that `telemetry.attach` was given.

The client gets a class derived from its own, which overrides public methods: `execute_command`, through which every
command goes, and `pipeline`. The class of connections, the other hook, does not see which bytes are a pipeline.
"""

import re
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from weakref import WeakSet

from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from . import client_spans
from .cells import Cell
from .exchange import sampled_trace_id
from .labels import OTHER, Bounded
from .metrics import Collectors, Values
from .per_registry import PerRegistry
from .recording import Recording, recording
from .semconv import cache as metrics
from .semconv import spans
from .subclasses import rebase

PIPELINE: Final = "pipeline"
MAX_COMMANDS: Final = 300  # of Redis and its modules
_COMMON: Final = (
    "get set setex setnx getdel getex mget mset del unlink exists expire pexpire ttl pttl incr incrby incrbyfloat decr decrby "
    "hget hset hmget hgetall hincrby hincrbyfloat hdel hlen hexists lpush rpush lpop rpop blpop brpop lrange llen ltrim "
    "sadd srem smembers sismember scard zadd zrem zrange zrangebyscore zremrangebyscore zcard zcount zincrby zscore "
    "eval evalsha script publish scan keys ping info watch unwatch xadd xread flushdb"
)
COMMON: Final = tuple(_COMMON.split())
"""Commands that have their name from the start; others have it once Redis has carried them out."""
_SUCCESS, _ERROR = metrics.STATUS.values
_ACTIVE, _IDLE = metrics.STATE.values
_COMMAND: Final = re.compile(r"[a-z][a-z0-9._-]{0,39}")


def attach(client: Any, collectors: Collectors, *, is_async: bool) -> None:
    """Have the commands and pipelines of `client` recorded, and its pool watched; once, however often it is attached.

    A command is what was asked, retries included; the commands of a pipeline are one operation. Of those that are sent at
    once, while a pipeline watches keys, each is. What a `pubsub()` or a `monitor()` listens to is no operation.
    """
    _kept(collectors).pools.add(client.connection_pool)
    rebase(client, _async_client if is_async else _client)


class Operation:
    """A command, or a pipeline, that is being sent. Raises nothing of its own."""

    __slots__ = ("_batch", "_client", "_name", "_recording", "_span", "_started_s")

    def __init__(self, client: Any, command: object, batch: int | None = None) -> None:
        self._client, self._batch = client, batch
        self._name = _command_name(command)
        self._span: Span | None = None
        self._recording = recording()

    def __enter__(self) -> Self:
        """Begin."""
        if self._recording is not None and self._recording.tracer is not None:
            try:
                self._span = client_spans.begin(self._recording.tracer, lambda: self._name)
            except Exception:  # noqa: BLE001  # no fault of ours may cost a command
                self._recording.complain("redis")
        self._started_s = time.perf_counter()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Write what there is to say; an exception passes through."""
        found = self._recording
        if found is None:
            return
        seconds = time.perf_counter() - self._started_s
        try:
            self._write(found, seconds, error)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a command
            found.complain("redis")

    def _write(self, found: Recording, seconds: float, error: BaseException | None) -> None:
        span = self._span
        cells = _kept(found.collectors).find(found.collectors, self._name, succeeded=error is None)
        (cells.succeeded if error is None else cells.failed).inc()
        cells.duration.observe(seconds, 0 if span is None else sampled_trace_id(span))
        if span is not None:
            error_type = None if error is None else type(error).__name__
            client_spans.end(span, self._attributes(), error_type, failed=client_spans.is_failure(error))

    def _attributes(self) -> dict[str, AttributeValue]:
        found: dict[str, AttributeValue] = {
            spans.REDIS_SYSTEM.name: spans.REDIS_SYSTEM.values[0],
            spans.DB_OPERATION.name: self._name,
        }
        if self._batch is not None:
            found[spans.DB_BATCH_SIZE.name] = self._batch
        where = self._client.connection_pool.connection_kwargs
        for attribute, key, kind in _WHERE:
            if isinstance(value := where.get(key), kind):
                found[attribute] = str(value) if attribute == spans.DB_NAMESPACE.name else value
        return found


def _client(base: Any) -> dict[str, Any]:
    """What a client does otherwise than its class."""

    def execute_command(client: Any, *args: Any, **options: Any) -> Any:
        with Operation(client, args[0] if args else None):
            return base.execute_command(client, *args, **options)

    def pipeline(client: Any, *args: Any, **options: Any) -> Any:
        made = base.pipeline(client, *args, **options)
        rebase(made, _pipeline)
        return made

    return {"execute_command": execute_command, "pipeline": pipeline}


def _pipeline(base: Any) -> dict[str, Any]:
    """What a pipeline does otherwise: its commands only wait, but for those that it sends at once."""

    def execute(pipeline: Any, *args: Any, **options: Any) -> Any:
        if _is_empty(pipeline):
            return base.execute(pipeline, *args, **options)
        with Operation(pipeline, PIPELINE, len(pipeline.command_stack)):
            return base.execute(pipeline, *args, **options)

    def immediate(pipeline: Any, *args: Any, **options: Any) -> Any:
        with Operation(pipeline, args[0] if args else None):
            return base.immediate_execute_command(pipeline, *args, **options)

    return {"execute": execute, "immediate_execute_command": immediate}


def _async_client(base: Any) -> dict[str, Any]:
    """As `_client`."""

    async def execute_command(client: Any, *args: Any, **options: Any) -> Any:
        with Operation(client, args[0] if args else None):
            return await base.execute_command(client, *args, **options)

    def pipeline(client: Any, *args: Any, **options: Any) -> Any:
        made = base.pipeline(client, *args, **options)
        rebase(made, _async_pipeline)
        return made

    return {"execute_command": execute_command, "pipeline": pipeline}


def _async_pipeline(base: Any) -> dict[str, Any]:
    """As `_pipeline`."""

    async def execute(pipeline: Any, *args: Any, **options: Any) -> Any:
        if _is_empty(pipeline):
            return await base.execute(pipeline, *args, **options)
        with Operation(pipeline, PIPELINE, len(pipeline.command_stack)):
            return await base.execute(pipeline, *args, **options)

    async def immediate(pipeline: Any, *args: Any, **options: Any) -> Any:
        with Operation(pipeline, args[0] if args else None):
            return await base.immediate_execute_command(pipeline, *args, **options)

    return {"execute": execute, "immediate_execute_command": immediate}


def _is_empty(pipeline: Any) -> bool:
    """Whether nothing will be sent."""
    return not (pipeline.command_stack or pipeline.watching)


class _Cells(NamedTuple):
    succeeded: Cell
    failed: Cell
    duration: Cell


class _Kept:
    """The bounds of the commands, the cells of those that they admitted, and the pools of the attached clients."""

    def __init__(self, collectors: Collectors) -> None:
        self._cells: dict[str, _Cells] = {}
        self._commands = Bounded(
            collectors, metrics.REDIS_OPERATIONS, "operation", budget=MAX_COMMANDS, declared=(OTHER, PIPELINE, *COMMON)
        )
        pools: WeakSet[Any] = WeakSet()
        self.pools = pools
        collectors.watch(metrics.REDIS_POOL, lambda: _connections(list(pools)), owner=pools)

    def find(self, collectors: Collectors, command: str, *, succeeded: bool) -> _Cells:
        """The cells of a command that is common, or that Redis has carried out before, else those of `_other`."""
        cells = self._cells.get(command)
        if cells is not None:
            return cells
        label = self._commands.admit(command) if succeeded else self._commands.of(command)
        cells = _Cells(
            collectors.child(metrics.REDIS_OPERATIONS, label, _SUCCESS),
            collectors.child(metrics.REDIS_OPERATIONS, label, _ERROR),
            collectors.child(metrics.REDIS_DURATION, label),
        )
        if label == command:
            self._cells[label] = cells
        return cells


def _connections(pools: Iterable[Any]) -> dict[Values, float]:
    """The connections of all pools by their state; nothing without a pool."""
    counts = [found for pool in pools if (found := _counts(pool)) is not None]
    return (
        {(state,): sum(found[place] for found in counts) for place, state in enumerate((_ACTIVE, _IDLE))}
        if counts
        else {}
    )


def _counts(pool: Any) -> tuple[int, int] | None:
    """Connections in use and idle, which redis-py says only since 6.3, and in words of its own; None for what is no pool of its."""
    try:
        if hasattr(pool, "pool"):  # one that blocks: its queue is filled up with None
            idle = sum(each is not None for each in list(pool.pool.queue))
            return len(pool._connections) - idle, idle  # noqa: SLF001  # as the docstring says
        return len(pool._in_use_connections), len(pool._available_connections)  # noqa: SLF001  # as above
    except (AttributeError, TypeError):
        return None


def _command_name(command: object) -> str:
    """The command's first word, in lower case: what follows may be a key."""
    if isinstance(command, bytes | bytearray):
        command = bytes(command[:100]).decode("latin-1")
    if not isinstance(command, str):
        return OTHER
    name = command[:100].partition(" ")[0].lower()
    return name if _COMMAND.fullmatch(name) else OTHER


_WHERE: Final = (
    (spans.DB_NAMESPACE.name, "db", int),
    (spans.SERVER_ADDRESS.name, "host", str),
    (spans.SERVER_PORT.name, "port", int),
)
_kept: Final = PerRegistry(_Kept)
