"""What the application asks others over httpx, by the clients, or all clients, that `telemetry.attach` was given.

The hook is `send`, a public method through which every request goes with its redirects, its authentication and its
errors. httpx's `event_hooks` do not see what was raised, and the transport, which does, is private to the client.
"""

import logging
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import ContextVar
from functools import wraps
from types import ModuleType, TracebackType
from typing import Any, Final, Protocol, Self

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from . import client_spans
from .databases import within_block
from .names import name_of
from .open_calls import current
from .postgrest import PostgrestQuery
from .recording import Recording, recording
from .semconv import http, spans
from .subclasses import members_of, rebase

POSTGREST: Final = "postgrest"
DATABASES: Final = (POSTGREST,)
"""Databases that are asked over HTTP."""

_ASYNC_CLIENT: Final = "AsyncClient"


def attach(client: Any, *, database: str | None = None) -> None:
    """Have the requests of an httpx client recorded; once, however often it is attached.

    Each has a client span and sends W3C's `traceparent`. With `database="postgrest"` it is a query instead. A request
    lasts until `send` returns: a stream's to its headers, another's to the end of its body, redirects included.
    """
    hide_queries()
    if database is not None:
        rebase(client, _asks_postgrest)
    elif members_of(client) is None:  # what is a query stays one
        rebase(client, _asks)


def attach_all(clients: Any) -> None:
    """Have the requests recorded of all clients of httpx, or of one class of them, those that are born later too.

    Here a public method is replaced: a derived class would not reach those who have imported theirs already, as the
    clients of OpenAI and Supabase have.
    """
    hide_queries()
    classes = (clients.Client, clients.AsyncClient) if isinstance(clients, ModuleType) else (clients,)
    for kind in classes:
        if not hasattr(vars(kind).get("send"), _OURS):
            kind.send = _recorded(kind, kind.send, HttpRequest)


class Record(Protocol):
    """A request that has begun."""

    def end(self, status: int | None, error: BaseException | None) -> None:
        """Write it, with the status that was answered or what was raised."""


class HttpRequest:
    """A request that is recorded as such: by a span, which has nothing of the URL but the host."""

    def __init__(self, found: Recording, request: Any) -> None:
        self._span: Span | None = None
        self._attributes: dict[str, AttributeValue] = {}
        method = request.method if request.method in _METHODS else http.OTHER_METHOD
        if found.tracer is not None:
            self._span = found.tracer.start_span(method, kind=SpanKind.CLIENT)
            self._attributes = {spans.HTTP_METHOD.name: method, **_where(request.url), **_peer()}
        _propagate(request, self._span or trace.get_current_span())

    def end(self, status: int | None, error: BaseException | None) -> None:
        """End the span; a status from 400 on is a failure, as OpenTelemetry has it for clients."""
        if self._span is None:
            return
        attributes, error_type, failed = self._attributes, None, client_spans.is_failure(error)
        if error is not None:
            error_type = type(error).__name__
        if status is not None:
            attributes = {**attributes, spans.HTTP_STATUS.name: status}
            if status >= _FAILED and error is None:
                error_type, failed = str(status), True
        client_spans.end(self._span, attributes, error_type, failed=failed)


class Sending:
    """The time in which a request is sent: nobody else records it, and httpx's log line has no query."""

    def __init__(self, request: Any, kind: type[HttpRequest] | type[PostgrestQuery]) -> None:
        self.status: int | None = None
        self._request, self._kind = request, kind
        self._found: Recording | None = None
        self._record: Record | None = None
        self._alone: AbstractContextManager[Any] = nullcontext()

    def __enter__(self) -> Self:
        """Begin."""
        known = _sending.get() is self._request  # a class and an object of it may both be attached
        self._token = _sending.set(self._request)
        if not known:
            self._found = recording()
        if self._found is not None:
            try:
                self._begin(self._found)
            except Exception:  # noqa: BLE001  # no fault of ours may cost a request
                self._found.complain("client")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what there is to say; an exception passes through."""
        self._alone.__exit__(kind, error, traceback)
        with suppress(ValueError):  # a coroutine that somebody else closes is in another context
            _sending.reset(self._token)
        if self._found is None or self._record is None:
            return
        try:
            self._record.end(self.status, error)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a request
            self._found.complain("client")

    def _begin(self, found: Recording) -> None:
        is_query = self._kind is PostgrestQuery
        if is_query or found.tracer is not None:
            alone = _without_others()
            alone.__enter__()
            self._alone = alone
        if not (is_query and within_block()):
            self._record = self._kind(found, self._request)


def hide_queries() -> None:
    """Let httpx log the URLs of the requests that are recorded without their queries, where keys may stand."""
    logging.getLogger("httpx").addFilter(_hider)


class _Hider(logging.Filter):
    """Takes the query, and whose URL it is, out of the lines that are written while a request of ours is sent."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if _sending.get() is not None and isinstance(record.args, tuple):
            record.args = tuple(map(_without_query, record.args))
        return True


def _without_query(value: Any) -> Any:
    if type(value).__name__ != "URL":
        return value
    try:
        return f"{value.scheme}://{value.netloc.decode('ascii')}{value.path}"
    except Exception:  # noqa: BLE001  # somebody else's class of this name
        return "<URL>"


def _recorded(base: Any, send: Any, kind: type[HttpRequest] | type[PostgrestQuery]) -> Any:
    """The `send` of a class of clients, recorded."""
    if any(each.__name__ == _ASYNC_CLIENT for each in base.__mro__):

        @wraps(send)
        async def send_async(client: Any, request: Any, *args: Any, **options: Any) -> Any:
            with Sending(request, kind) as sending:
                response = await send(client, request, *args, **options)
                sending.status = getattr(response, "status_code", None)
            return response

        setattr(send_async, _OURS, True)
        return send_async

    @wraps(send)
    def send_sync(client: Any, request: Any, *args: Any, **options: Any) -> Any:
        with Sending(request, kind) as sending:
            response = send(client, request, *args, **options)
            sending.status = getattr(response, "status_code", None)
        return response

    setattr(send_sync, _OURS, True)
    return send_sync


def _asks(base: Any) -> Mapping[str, Any]:
    return {"send": _recorded(base, _sent_by(base), HttpRequest)}


def _asks_postgrest(base: Any) -> Mapping[str, Any]:
    return {"send": _recorded(base, _sent_by(base), PostgrestQuery)}


def _sent_by(base: Any) -> Any:
    """The `send` that the class has at the time, for others may replace it too."""

    @wraps(base.send)
    def send(*args: Any, **options: Any) -> Any:
        return base.send(*args, **options)

    return send


def _without_others() -> AbstractContextManager[Any]:
    """A context in which OpenTelemetry's own instrumentation of httpx is silent: its spans have the whole URL."""
    if "opentelemetry.instrumentation.httpx" not in sys.modules:
        return nullcontext()
    suppress = getattr(
        sys.modules.get("opentelemetry.instrumentation.utils"), "suppress_http_instrumentation", nullcontext
    )
    found: AbstractContextManager[Any] = suppress()
    return found


def _propagate(request: Any, span: Span) -> None:
    """Tell the far end whose request this is, sampled or not, unless the application tells it something else."""
    headers, extensions = request.headers, request.extensions
    if _HEADER in headers and headers[_HEADER] != extensions.get(_SENT):  # one of ours: the request is sent again
        return
    if span.get_span_context().is_valid:
        told: dict[str, str] = {}
        _PROPAGATOR.inject(told, trace.set_span_in_context(span))
        headers.update(told)
        request.extensions = {**extensions, _SENT: told[_HEADER]}


def _peer() -> dict[str, AttributeValue]:
    """Within a call to a model this is what leaves the process: a second span that names the peer would be a second call."""
    opened = current.get()
    if (
        opened is None or opened.over or (opened is opened.call and opened.call.attempts)
    ):  # each of these has named its own
        return {}
    provider = name_of(opened.provider)
    if not provider:
        return {}
    opened.asked = True
    return {spans.PEER_SERVICE.name: provider}


def _where(url: Any) -> dict[str, AttributeValue]:
    return {
        spans.SERVER_ADDRESS.name: url.host,
        spans.SERVER_PORT.name: url.port or _PORTS.get(url.scheme, 0),
    }


_FAILED: Final = 400
_HEADER: Final = "traceparent"
_SENT: Final = "gwz_traceparent"
_OURS: Final = "_gwz_recorded"
_METHODS: Final = frozenset(http.METHODS)
_PORTS: Final = {"http": 80, "https": 443}
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_hider: Final = _Hider()
_sending: ContextVar[Any] = ContextVar("gwz_sending", default=None)
"""The request that is being sent here."""
