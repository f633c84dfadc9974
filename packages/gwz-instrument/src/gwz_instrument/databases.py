"""`database`: records a query, whichever client asks it."""

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, Self, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from . import client_spans
from .blocks import around
from .cells import Cell
from .contexts import leave
from .exchange import sampled_trace_id
from .labels import OTHER, Bounded
from .metrics import Collectors
from .names import name_of
from .per_registry import PerRegistry
from .recording import Recording, recording
from .semconv import database as metrics
from .semconv import spans

_F = TypeVar("_F", bound=Callable[..., Any])

MAX_TABLES: Final = 300
MAX_OPERATIONS: Final = 50
POSTGRESQL: Final = "postgresql"
RPC: Final = "rpc"
"""The operation whose table is a stored function."""
OPERATIONS: Final = ("select", "insert", "update", "upsert", "delete", RPC)
"""What attached clients ask; applications may have verbs of their own."""


def database(table: str, operation: str, *, system: str = POSTGRESQL) -> "Query":
    """Record a query: around a block, by `with` or `async with`; or around a function, each call of it, as a decorator.

    It is counted and timed until the end of the block, failed or not, with a client span "{operation} {table}"; what is
    raised passes through, and its class is the span's `error.type`. `table` and `operation` are constants of your code:
    after some hundred different ones the rest is `_other`. `system` is the database by OpenTelemetry's name. The block is
    one query, whatever an attached client sends within it. One object serves one block at a time.
    """
    return Query(table, operation, system)


class Query:
    """A query that is made or to be made. No method raises."""

    # Defaults of the class for what most queries never set.
    _recording: Recording | None = None
    _span: Span | None = None
    _error_type: str | None = None
    _token: Any = None
    _span_token: Any = None
    _started_s = 0.0
    details: Callable[[], Mapping[str, AttributeValue]] | None = None
    """Asked for further attributes when there is a span that they can stand in."""

    def __init__(self, table: object, operation: object, system: str) -> None:
        self.table, self.operation, self.system = table, operation, system

    @property
    def under_way(self) -> bool:
        """Whether it has begun and not ended, and is recorded."""
        return self._recording is not None

    def fail(self, reason: object) -> None:
        """Let the query count as failed though nothing is raised; `reason` becomes its `error.type`."""
        self._error_type = name_of(reason) or OTHER

    def __enter__(self) -> Self:
        """Begin."""
        found = recording()
        if found is not None:
            self.begin(found)
            self.resume()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """End; an exception passes through."""
        if self._token is not None:
            self.suspend()
            self.end(error)

    async def __aenter__(self) -> Self:
        """Begin."""
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """End; an exception passes through."""
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _F) -> _F:
        """Have each call of `function`, or of a coroutine function, recorded. TypeError for a generator function."""
        return around(function, lambda: Query(self.table, self.operation, self.system))

    def suspend(self) -> None:
        """Go back to what was before; the query goes on."""
        token, span_token = self._token, self._span_token
        self._token = self._span_token = None
        if token is not None:
            leave(token, span_token)

    def resume(self) -> None:
        """Be the current query here."""
        if self._recording is not None:
            self._token = current.set(self)
            if self._span is not None:
                self._span_token = otel_context.attach(trace.set_span_in_context(self._span))

    def begin(self, found: Recording) -> None:
        """Start the clock and the span."""
        self._recording, self._error_type = found, None
        try:
            if found.tracer is not None:
                self._span = client_spans.begin(found.tracer, self._span_name)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a query
            found.complain("database")
        self._started_s = time.perf_counter()

    def end(self, error: BaseException | None = None, *, known: bool = True) -> None:
        """Write what there is to say; `known` tells whether anybody vouches that there is such a table and operation."""
        seconds = time.perf_counter() - self._started_s
        found, span = self._recording, self._span
        if found is None:
            return
        self._recording = None
        try:
            queries, duration = self._cells(found, known=known)
            queries.inc()
            duration.observe(seconds, 0 if span is None else sampled_trace_id(span))
            if span is not None:
                self._end_span(span, error)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a query
            found.complain("database")

    def _end_span(self, span: Span, error: BaseException | None) -> None:
        self._span = None
        error_type = self._error_type if error is None else type(error).__name__
        failed = error_type is not None if error is None else client_spans.is_failure(error)
        client_spans.end(span, self._attributes(), error_type, failed=failed)

    def _cells(self, found: Recording, *, known: bool) -> "_Cells":
        table, operation, kept = self.table, self.operation, _kept(found.collectors)
        if table.__class__ is str and operation.__class__ is str:
            cells = kept.cells.get((table, operation))
            if cells is not None:
                return cells
        return kept.find(found.collectors, found.name("table", table), found.name("operation", operation), known)

    def _span_name(self) -> str:
        table = name_of(self.table)
        operation = name_of(self.operation) or OTHER
        return operation if not table or table == OTHER else f"{operation} {table}"

    def _attributes(self) -> dict[str, AttributeValue]:
        operation, table = name_of(self.operation) or OTHER, name_of(self.table)
        found: dict[str, AttributeValue] = {
            spans.DB_SYSTEM.name: name_of(self.system) or OTHER,
            spans.DB_OPERATION.name: operation,
            **({} if self.details is None else self.details()),
        }
        if table and table != OTHER:
            found[(spans.DB_PROCEDURE if operation == RPC else spans.DB_COLLECTION).name] = table
        return found


def within_block() -> bool:
    """Whether a `database` block is open here, which records what attached clients send."""
    outer = current.get()
    return outer is not None and outer.under_way  # a task that was started within outlives it


class _Cells(NamedTuple):
    queries: Cell
    duration: Cell


class _Kept:
    """The bounds of the labels, and the cells of what they admitted."""

    def __init__(self, collectors: Collectors) -> None:
        self.cells: dict[tuple[str, str], _Cells] = {}
        self._tables = Bounded(collectors, metrics.QUERIES, "table", budget=MAX_TABLES, declared=(OTHER,))
        self._operations = Bounded(
            collectors, metrics.QUERIES, "operation", budget=MAX_OPERATIONS, declared=(OTHER, *OPERATIONS)
        )

    def find(self, collectors: Collectors, table: str, operation: str, known: bool) -> _Cells:  # noqa: FBT001  # as given
        """The cells for these names, or for `_other` in their place."""
        tables, operations = self._tables, self._operations
        labels = (
            tables.admit(table) if known else tables.of(table),
            operations.admit(operation) if known else operations.of(operation),
        )
        cells = _Cells(collectors.child(metrics.QUERIES, *labels), collectors.child(metrics.QUERY_DURATION, labels[0]))
        if labels == (table, operation):  # not under a name that was refused: they may be many
            self.cells[labels] = cells
        return cells


_kept: Final = PerRegistry(_Kept)
current: ContextVar[Query | None] = ContextVar("gwz_query", default=None)
"""The innermost `database` block that is open here."""
