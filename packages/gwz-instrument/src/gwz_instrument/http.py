"""One pure ASGI middleware: it sees every request and every way in which one can end."""

import asyncio
import contextvars
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span
from prometheus_client import Counter, Histogram
from prometheus_client.registry import CollectorRegistry

from . import traces
from .metrics import Collectors, render
from .routes import RouteTemplates
from .semconv import Metric, http, logs, spans

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

METRICS_PATH: Final = "/metrics"
REQUEST_LOGGER: Final = "gwz_instrument.request"
_MAX_ID: Final = 128
_MAX_URL_PATH: Final = 1024
_MAX_LENGTH_DIGITS: Final = 10  # a Content-Length beyond 10 GB is a claim, not a size
_TIMEOUT_STATUS: Final = frozenset({408, 504})
_NO_RESPONSE: Final = 500  # what a server answers for an application that sent nothing


@dataclass(slots=True, eq=False)
class Exchange:
    """One request and what is known of its response so far."""

    scope: Scope
    method: str
    request_id: str
    declared_bytes: int | None
    start_ns: int
    start_s: float
    span: Span | None = None
    status: int | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    disconnected: bool = False
    ended_s: float | None = None
    error: BaseException | None = None
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the last byte of the response has been handed to the server."""
        return self.ended_s is not None

    def see_received(self, message: Message) -> None:
        """Note what the client sent; a disconnect counts only while the response is not complete."""
        kind = message.get("type")
        if kind == "http.request":
            self.received_bytes += len(message.get("body") or b"")
        elif kind == "http.disconnect" and not self.ended:
            self.disconnected = True

    def see_sent(self, message: Message) -> None:
        """Note what the application sends; the last body message ends the request. Nonsense is the server's to refuse."""
        kind = message.get("type")
        if kind == "http.response.start":
            self.status = int(http.CLIENT_CLOSED) if self.disconnected else message.get("status")
        elif kind == "http.response.body":
            self.sent_bytes += len(message.get("body") or b"")
            if not message.get("more_body", False):
                self.end()
        elif kind == "http.response.pathsend":
            self.end()

    def end(self) -> None:
        """Stop the clock, once."""
        if self.ended_s is None:
            self.ended_s = time.perf_counter()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended, in the words of the contract."""

    status: int
    outcome: str


def ending(*, status: int | None, complete: bool, disconnected: bool, error: BaseException | None) -> Ending:
    """Judge a request by what was sent, whether it was all, whether the client left, and what was raised.

    Before the response starts a client that leaves counts as status 499 and an exception as 500; after
    that the status that was sent stays, and only the outcome tells.
    """
    if disconnected:
        return Ending(int(http.CLIENT_CLOSED) if status is None else status, "client_disconnected")
    if isinstance(error, asyncio.CancelledError) and not complete:
        return Ending(_NO_RESPONSE if status is None else status, "cancelled")
    if status is None:
        return Ending(_NO_RESPONSE, "error")
    if not complete:
        return Ending(status, "stream_error")
    if status in _TIMEOUT_STATUS:
        return Ending(status, "timeout")
    return Ending(status, "success" if status < 400 else "error")


class TelemetryMiddleware:
    """Records each request in metrics, a server span and a log line; answers /metrics itself.

    It stands outside everything else of the application, so that it sees the response that the client
    gets, and passes messages and exceptions on untouched.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        templates: RouteTemplates,
        collectors: Collectors,
        registry: CollectorRegistry,
        tracer: trace.Tracer | None,
        log_handler: logging.Handler | None,
        exclude_paths: Iterable[str],
    ) -> None:
        self._app = app
        self._templates = templates
        self._collectors = collectors
        self._registry = registry
        self._tracer = tracer
        self._excluded = frozenset(exclude_paths)
        self._live: set[Exchange] = set()
        self._seen: dict[tuple[str, str], int] = {}
        self._children: dict[tuple[str, str], _Children] = {}
        self._log_handler = log_handler
        self._complained: set[str] = set()
        collectors.watch_requests(self._in_progress)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == METRICS_PATH:
            await self._answer_metrics(scope, send)
        elif scope["path"] in self._excluded:
            await self._app(scope, receive, send)
        else:
            await self._record(scope, receive, send)

    async def _record(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            exchange = self._begin(scope)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a request
            self._complain("begin")
            await self._app(scope, receive, send)
            return

        async def see_receive() -> Message:
            message = await receive()
            exchange.see_received(message)
            return message

        async def see_send(message: Message) -> None:
            exchange.see_sent(message)
            if exchange.ended and exchange in self._live:
                self._try(self._measure, exchange)
            try:
                await send(message)
            except OSError:  # how a server may report a client that has left
                exchange.disconnected = True
                raise

        token = _current.set(exchange)
        span_token = None if exchange.span is None else otel_context.attach(trace.set_span_in_context(exchange.span))
        try:
            await self._app(scope, see_receive, see_send)
        except BaseException as error:
            exchange.error = error
            self._try(self._count_exception, exchange)
            raise
        finally:
            if span_token is not None:
                otel_context.detach(span_token)
            _current.reset(token)
            if exchange in self._live:
                self._try(self._measure, exchange)
            self._try(self._tell, exchange)

    def _try(self, step: Callable[[Exchange], None], exchange: Exchange) -> None:
        """Take a step of ours; what it raises never reaches the application."""
        try:
            step(exchange)
        except Exception:  # noqa: BLE001  # as above
            self._complain(step.__name__)

    def _complain(self, step: str) -> None:
        """Log a fault of ours, with its traceback, the first time that this step has one."""
        if step not in self._complained:
            self._complained.add(step)
            _LOG.exception("gwz-instrument failed to record a request (%s); the request itself is not affected", step)

    def _begin(self, scope: Scope) -> Exchange:
        headers = scope.get("headers", ())
        method = scope["method"] if scope["method"] in http.METHODS else http.OTHER_METHOD
        exchange = Exchange(
            scope=scope,
            method=method,
            request_id=_request_id(headers),
            declared_bytes=_content_length(headers),
            start_ns=time.time_ns(),
            start_s=time.perf_counter(),
        )
        if self._tracer is not None:
            context = traces.parent(headers)
            exchange.span = traces.start_server_span(self._tracer, context, method, exchange.start_ns)
        self._live.add(exchange)
        return exchange

    def _measure(self, exchange: Exchange) -> None:
        """Write the samples of a request that has ended; before its last message leaves, so that no scrape misses it."""
        complete = exchange.ended
        exchange.end()
        self._live.discard(exchange)
        path = self._templates.of(exchange.scope)
        end = self._ending(exchange, complete=complete)
        exchange.facts.update({logs.PATH.name: path, logs.OUTCOME.name: end.outcome})
        exchange.status = end.status
        self._of(exchange.method, path).observe(exchange, end.status)

    def _ending(self, exchange: Exchange, *, complete: bool) -> Ending:
        return ending(
            status=exchange.status,
            complete=complete,
            disconnected=exchange.disconnected,
            error=exchange.error,
        )

    def _of(self, method: str, path: str) -> "_Children":
        key = (method, path)
        if key not in self._children:
            self._children[key] = _Children(self._collectors, method, path)
            self._seen.setdefault(key, 0)
        return self._children[key]

    def _count_exception(self, exchange: Exchange) -> None:
        error = exchange.error and _single(exchange.error)
        if isinstance(error, Exception) and type(error).__name__ != "ClientDisconnect":
            self._collectors.count(http.EXCEPTIONS, type(error).__name__)

    def _in_progress(self) -> Mapping[tuple[str, str], int]:
        """Requests under way by method and route; a pair stays at zero once it has been seen."""
        numbers = dict(self._seen)
        for exchange in list(self._live):
            key = (exchange.method, self._templates.of(exchange.scope))
            numbers[key] = numbers.get(key, 0) + 1
        self._seen.update(dict.fromkeys(numbers, 0))
        return numbers

    def _tell(self, exchange: Exchange) -> None:
        """End the span and write the line, once it is known whether an exception followed the response."""
        error = None if exchange.error is None else _single(exchange.error)
        if error is not None and exchange.facts[logs.OUTCOME.name] == "success":
            error = None  # raised after the last byte, by a background task: counted, but not this response's
        if exchange.span is not None:
            _end_span(exchange, error)
        if self._log_handler is not None:
            self._write_line(self._log_handler, exchange, error)

    def _write_line(self, handler: logging.Handler, exchange: Exchange, error: BaseException | None) -> None:
        status = exchange.status or _NO_RESPONSE
        failed = status >= 500 or exchange.facts[logs.OUTCOME.name] == "stream_error"
        token = _current.set(exchange)
        try:
            handler.handle(
                _REQUESTS.makeRecord(
                    REQUEST_LOGGER,
                    logging.ERROR if failed else logging.INFO,
                    "",
                    0,
                    "%s %s %s",
                    (exchange.method, exchange.facts[logs.PATH.name], status),
                    (type(error), error, error.__traceback__) if isinstance(error, Exception) else None,
                    extra={
                        logs.METHOD.name: exchange.method,
                        logs.URL_PATH.name: exchange.scope["path"][:_MAX_URL_PATH],
                        logs.STATUS_CODE.name: status,
                        logs.DURATION_MS.name: round(_seconds(exchange) * 1e3, 3),
                        **exchange.facts,
                    },
                )
            )
        finally:
            _current.reset(token)

    async def _answer_metrics(self, scope: Scope, send: Send) -> None:
        """Answer with 200 and no redirect; the rendering stays off the event loop."""
        headers = dict(scope.get("headers", ()))
        accept = headers.get(b"accept", b"").decode("latin-1")
        encoding = headers.get(b"accept-encoding", b"").decode("latin-1")
        body, response_headers = await asyncio.get_running_loop().run_in_executor(
            _SCRAPES, render, self._registry, accept, encoding
        )
        await send({"type": "http.response.start", "status": 200, "headers": response_headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class _Children:
    """The collectors' children for one method and route, looked up once."""

    def __init__(self, collectors: Collectors, method: str, path: str) -> None:
        self._collectors = collectors
        self._labels = (method, path)
        self._duration = _histogram(collectors, http.DURATION, *self._labels)
        self._request_size = _histogram(collectors, http.REQUEST_SIZE, *self._labels)
        self._response_size = _histogram(collectors, http.RESPONSE_SIZE, *self._labels)
        self._requests: dict[int, Counter] = {}

    def observe(self, exchange: Exchange, status: int) -> None:
        """Add one request."""
        if status not in self._requests:
            child = self._collectors.child(http.REQUESTS, *self._labels, str(status))
            assert isinstance(child, Counter)  # noqa: S101  # the contract says so
            self._requests[status] = child
        self._requests[status].inc()
        self._duration.observe(_seconds(exchange), _exemplar(exchange.span))
        declared = exchange.declared_bytes
        self._request_size.observe(exchange.received_bytes if declared is None else declared)
        self._response_size.observe(exchange.sent_bytes)


def annotate(*, provider: str | None = None, model: str | None = None) -> None:
    """Add what is known of the current request to its span and its log line; outside a request, do nothing."""
    exchange = _current.get()
    if exchange is None:
        return
    for field_, attribute, value in (
        (logs.PROVIDER.name, spans.PROVIDER.name, provider),
        (logs.MODEL.name, spans.MODEL.name, model),
    ):
        if value is not None:
            exchange.facts[field_] = value
            if exchange.span is not None:
                exchange.span.set_attribute(attribute, value)


def metadata() -> dict[str, str]:
    """Structured metadata of a line written now: the trace and span that are current, the request."""
    exchange = _current.get()
    found = {} if exchange is None else {logs.REQUEST_ID.name: exchange.request_id}
    span = trace.get_current_span()
    ids = traces.ids(span) or (exchange and exchange.span and traces.ids(exchange.span))
    if ids:
        found[logs.TRACE_ID.name], found[logs.SPAN_ID.name] = ids
    return found


def _end_span(exchange: Exchange, error: BaseException | None) -> None:
    """Give the server span its name, attributes and end: the moment of the last byte."""
    span = exchange.span
    assert span is not None  # noqa: S101  # the caller checked
    if span.is_recording():
        path, outcome = exchange.facts[logs.PATH.name], exchange.facts[logs.OUTCOME.name]
        status = exchange.status or _NO_RESPONSE
        routed = path not in (http.UNMATCHED, http.UNROUTED)
        span.update_name(f"{exchange.method} {path}" if routed else exchange.method)
        span.set_attributes(_attributes(exchange, status, outcome))
        if routed:
            span.set_attribute(spans.HTTP_ROUTE.name, path)
        if status >= 500 or outcome in ("stream_error", "cancelled"):
            traces.mark_failed(span, str(status) if error is None else type(error).__name__, error)
    span.end(exchange.start_ns + int(_seconds(exchange) * 1e9))


def _attributes(exchange: Exchange, status: int, outcome: str) -> dict[str, str | int]:
    scope = exchange.scope
    found: dict[str, str | int] = {
        spans.HTTP_METHOD.name: exchange.method,
        spans.HTTP_STATUS.name: status,
        spans.URL_PATH.name: scope["path"][:_MAX_URL_PATH],
        spans.URL_SCHEME.name: scope.get("scheme", "http"),
        spans.OUTCOME.name: outcome,
        spans.REQUEST_ID.name: exchange.request_id,
    }
    if server := scope.get("server"):
        found[spans.SERVER_ADDRESS.name] = server[0]
        if server[1] is not None:
            found[spans.SERVER_PORT.name] = server[1]
    return found


def _histogram(collectors: Collectors, entry: Metric, *labels: str) -> Histogram:
    child = collectors.child(entry, *labels)
    assert isinstance(child, Histogram)  # noqa: S101  # the contract says so
    return child


def _exemplar(span: Span | None) -> dict[str, str] | None:
    """The trace of a sampled span; any other would be a link to nothing."""
    if span is None or not span.get_span_context().trace_flags.sampled:
        return None
    ids = traces.ids(span)
    return ids and {logs.TRACE_ID.name: ids[0]}


def _seconds(exchange: Exchange) -> float:
    return (exchange.ended_s or time.perf_counter()) - exchange.start_s


def _single(error: BaseException) -> BaseException:
    """The exception that a task group wrapped, when it wrapped only one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"x-request-id" and 0 < len(value) <= _MAX_ID:
            text = value.decode("latin-1")
            if text.isascii() and text.isprintable():
                return text
    return uuid.uuid4().hex


def _content_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS else None
    return None


# Of their own: the default pool is where an application waits for its providers.
_SCRAPES = ThreadPoolExecutor(2, "gwz-scrape")
_LOG = logging.getLogger("gwz_instrument")
_REQUESTS = logging.getLogger(REQUEST_LOGGER)
_current: contextvars.ContextVar[Exchange | None] = contextvars.ContextVar("gwz_exchange", default=None)
