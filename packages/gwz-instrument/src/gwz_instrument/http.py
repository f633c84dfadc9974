"""One pure ASGI middleware: it sees every request and every way in which one can end."""

import asyncio
import logging
import os
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace

from .contexts import leave
from .exchange import NO_RESPONSE, Ending, Exchange, Message, Send, current, sampled_trace_id
from .exposition import PATH, Answer, Exposition, plain
from .foreign_spans import current_server_span, foreign_server_spans, hide_from_mounted
from .labels import OTHER, HttpLabels
from .metrics import Bundled, Collectors
from .outcomes import single
from .routes import Known, RouteTemplates, Scope, relative_path
from .semconv import endpoints, health, http, logs

if TYPE_CHECKING:
    from .logs import LokiHandler
    from .monitoring.door import Door
    from .recording import Recording
    from .server_span import ServerSpans

Receive = Callable[[], Awaitable[Message]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_LOGGER: Final = "gwz_instrument.request"
_HISTOGRAMS: Final = (http.DURATION, http.REQUEST_SIZE, http.RESPONSE_SIZE)
_STARTED: Final = "lifespan.startup.complete"
_STOPPED: Final = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})
_COUNTED_BY: Final = "gwz_instrument.counted_by"
"""Where a scope says whose metrics count its request: an application mounted in another comes second, and tells nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """What the middleware works with; a signal that is off is None."""

    app_name: str
    templates: RouteTemplates
    collectors: Collectors
    exposition: Exposition
    labels: HttpLabels
    spans: "ServerSpans | None" = None
    lines: "LokiHandler | None" = None
    recording: "Recording | None" = None
    """Where recorders write that are used within requests."""
    door: "Door | None" = None
    """What answers the JSON endpoints."""
    exclude_paths: Iterable[str] = ()
    routes: dict[tuple[str, str], "_Route"] = field(default_factory=dict)
    """Those that have answered, by method and path; they outlive a middleware whose application builds its stack anew."""
    upkeep: Callable[[], None] = field(default=lambda: None)
    """Called on the event loop when the application has started, at its first request, and in a thread at each scrape."""
    flush: Callable[[], object] = field(default=lambda: None)
    """Called in a thread when the application has shut down: many a server ends by a signal, and no exit hook runs."""


class TelemetryMiddleware:
    """Records each request in metrics, a server span and a log line; answers /metrics itself.

    It stands outside everything else of the application, so that it sees the response that the client
    gets, and passes messages and exceptions on untouched. What fails in here is logged once and counted.
    """

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self.app = app  # the name by which others look for what stands inside
        self._parts = parts
        self._template = parts.templates.of
        self._known = parts.templates.known
        self._foreign = foreign_server_spans(app) is not None
        """Somebody else's instrumentation makes the server span; ours only reads its ids."""
        self._spans = None if self._foreign else parts.spans
        self._silent = parts.spans is None and parts.lines is None
        self._unrecorded = frozenset((*parts.exclude_paths, PATH))
        self._door = parts.door
        self._live: set[Exchange] = set()
        self._routes = parts.routes
        self._complained: set[str] = set()
        self._kept_up = False
        self._mark = id(parts.collectors)  # a scope may be copied, and ours must copy with it
        parts.collectors.watch(http.IN_PROGRESS, self._in_progress, parts)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Handle one ASGI call."""
        kind = scope.get("type")
        if kind == "http":
            try:
                path = relative_path(scope) if scope.get("root_path") else scope["path"]
                recorded, perhaps_ours = path not in self._unrecorded, path.startswith(endpoints.PREFIXES)
            except Exception:  # noqa: BLE001  # a server's nonsense is for the application to refuse
                path, recorded, perhaps_ours = "", True, False
            if path == PATH:
                return self._answer_metrics(scope, send)
            if perhaps_ours and self._door is not None and (endpoint := self._door.of(path)) is not None:
                return self._door.answer(endpoint, path, scope, receive, send)
            if recorded and scope.get(_COUNTED_BY) != self._mark:
                return self._record(scope, receive, send)
        elif kind == "lifespan":
            send = self._over_lifespan(send)
        return self.app(scope, receive, send)

    async def _record(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: C901  # closures: a call less each
        try:
            exchange = self._begin(scope)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a request
            self._complain("begin", "metrics")
            await self.app(scope, receive, send)
            return

        async def see_receive() -> Message:
            message = await receive()
            try:
                exchange.see_received(message)
            except Exception:  # noqa: BLE001  # as above
                self._complain("receive", "metrics")
            return message

        pass_on = send if _never_raises(scope) else _over_who_left(exchange, send)

        def see_send(message: Message) -> Awaitable[None]:
            ended = False
            try:
                if (
                    exchange.chunks
                    and message.get("type") == "http.response.body"
                    and message.get("more_body")
                    and (part := message.get("body"))
                ):  # as `see_sent` does, but a stream has many, and each costs its reader time: no call can be spared
                    now = time.perf_counter()
                    exchange.sent_bytes += len(part)
                    gap = now - exchange.last_chunk_s
                    if gap > exchange.longest_gap_s:  # noqa: PLR1730  # as there
                        exchange.longest_gap_s = gap
                    exchange.chunks += 1
                    exchange.last_chunk_s = now
                elif exchange.see_sent(message):
                    ended = True
                    self._measure(exchange)
            except Exception:  # noqa: BLE001  # as above
                self._complain("send", "metrics")
            # An unhandled exception comes after the 500 that answers it, and belongs into the span and the line.
            if ended and not exchange.told and exchange.status != NO_RESPONSE:
                return self._pass_last(exchange, pass_on, message)
            return pass_on(message)

        token = current.set(exchange)
        span_token = None if exchange.span is None else otel_context.attach(trace.set_span_in_context(exchange.span))
        try:
            await self.app(scope, see_receive, see_send)
        except BaseException as error:
            exchange.error = error
            self._count_exception(exchange, error)
            raise
        finally:
            if not exchange.measured:
                self._measure_late(exchange)
            if not exchange.told:
                self._tell(exchange)
            exchange.left = True
            if exchange.streams:
                self._leave(exchange)
            exchange.error = exchange.lost = None  # their tracebacks hold this frame
            scope[_COUNTED_BY] = exchange.outer
            leave(token, span_token)

    async def _pass_last(self, exchange: Exchange, pass_on: Send, message: Message) -> None:
        await pass_on(message)
        self._tell(exchange)

    def _begin(self, scope: Scope) -> Exchange:
        if not self._kept_up:
            self._keep_up()
        if scope["headers"].__class__ is not list:  # any iterable will do, and some can be read only once
            scope["headers"] = list(scope["headers"])
        method = scope["method"]
        exchange = Exchange(scope, method if method in _METHODS else self._parts.labels.method(method))
        if self._parts.spans is not None:
            self._begin_span(exchange)
        exchange.outer = scope.get(_COUNTED_BY)
        exchange.told = self._silent or exchange.outer is not None
        exchange.recording = self._parts.recording
        scope[_COUNTED_BY] = self._mark
        self._live.add(exchange)
        return exchange

    def _begin_span(self, exchange: Exchange) -> None:
        try:
            hide_from_mounted(exchange.scope)
            if otel_context.get_current():  # usually empty, and that is quickly told
                exchange.foreign = current_server_span()
            if exchange.foreign is None and self._spans is not None:
                self._spans.start(exchange)
        except Exception:  # noqa: BLE001  # the metrics and the line need no span
            self._complain("begin", "traces")

    def _measure(self, exchange: Exchange) -> None:
        """Write the samples of a request that has ended; before its last message leaves, so that no scrape misses it."""
        exchange.measured = True
        self._live.discard(exchange)
        if self._foreign and exchange.foreign is None:
            exchange.foreign = trace.get_current_span()
        if exchange.foreign is not None:
            exchange.sampled_trace_id = sampled_trace_id(exchange.foreign)
        known = self._known(exchange.scope)
        route = (known and known.kept.get(exchange.method)) or self._route_of(exchange, known)
        exchange.path = route.path
        status = exchange.status or exchange.ending().status
        (route.statuses.get(status) or route.status(status)).observe(
            (  # no properties: two calls less
                (exchange.ended_s or time.perf_counter()) - exchange.started_s,
                exchange.received_bytes if exchange.method == "GET" else exchange.request_bytes,
                exchange.sent_bytes,
            ),
            exchange.sampled_trace_id,
        )

    def _measure_late(self, exchange: Exchange) -> None:
        """Write the samples of a request whose last message never came."""
        try:
            self._measure(exchange)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a request
            self._complain("measure", "metrics")

    def _route_of(self, exchange: Exchange, known: Known | None) -> "_Route":
        template = self._template(exchange.scope)
        route = self._route(exchange.method, template)
        if known is not None and route.path == known.template:
            known.kept[exchange.method] = route
        return route

    def _route(self, method: str, template: str) -> "_Route":
        known = self._routes.get((method, template))
        if known is None:
            path = self._parts.labels.path(template)
            known = self._routes.get((method, path)) or _Route(self._parts, method, path)
            self._routes[method, path] = known  # not under a template that was refused: they may be many
        return known

    def _tell(self, exchange: Exchange) -> None:
        """End the span and write the line."""
        exchange.told = True
        end = exchange.ending()
        exchange.end()
        # What is raised after the last byte, by a background task, is counted, but it is not this response's.
        error = None if exchange.error is None or end.outcome == "success" else single(exchange.error)
        try:
            if self._parts.spans is not None:
                self._parts.spans.finish(exchange, end, error)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a request
            self._complain("span", "traces")
        try:
            if self._parts.lines is not None:
                _write_line(self._parts.lines, exchange, end, error)
        except Exception:  # noqa: BLE001  # as above
            self._complain("line", "logs")

    def _leave(self, exchange: Exchange) -> None:
        try:
            exchange.leave()
        except Exception:  # noqa: BLE001  # no fault of ours may cost a request
            self._complain("streams", "metrics")

    def _complain(self, step: str, signal: str) -> None:
        """Count a fault of ours, and log it with its traceback the first time that this step has one."""
        with suppress(Exception):  # the fault may be that nothing can be counted
            self._parts.collectors.tell(signal, health.FAULT)
        if step not in self._complained:
            self._complained.add(step)
            _LOG.exception("gwz-instrument failed at its own work (%s); requests are not affected", step)

    def _count_exception(self, exchange: Exchange, raised: BaseException) -> None:
        try:
            error = single(raised)
            left = error is exchange.lost or type(error).__name__ == "ClientDisconnect"
            if isinstance(error, Exception) and not left:
                name = self._parts.labels.exception(error)
                self._parts.collectors.count(http.EXCEPTIONS, self._parts.app_name, name)
        except Exception:  # noqa: BLE001  # no fault of ours may cost a request
            self._complain("exception", "metrics")

    def _in_progress(self) -> Mapping[tuple[str, ...], float]:
        """Requests under way by method and route; a route stays at zero once it has been seen."""
        now = [(each.method, self._path_under_way(each)) for each in list(self._live)]
        numbers = dict.fromkeys(list(self._routes), 0) | Counter(now)
        return {(self._parts.app_name, *key): number for key, number in numbers.items()}

    def _path_under_way(self, exchange: Exchange) -> str:
        try:
            return self._parts.labels.path_under_way(self._template(exchange.scope))
        except Exception:  # noqa: BLE001  # one request with a spoilt scope must not cost the scrapes of all others
            return http.UNMATCHED

    def _over_lifespan(self, send: Send) -> Send:
        """Look after our things once the application has started, and send what is left when it has stopped."""

        async def see_send(message: Message) -> None:
            kind = message.get("type") if isinstance(message, dict) else None
            if kind == _STARTED:
                self._keep_up()
                self._collect_templates()
            elif kind in _STOPPED:
                await self._flush()
            await send(message)

        return see_send

    async def _flush(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(_threads(), self._parts.flush)
        except Exception:  # noqa: BLE001  # no fault of ours may keep the application from stopping
            self._complain("flush", "traces")

    def _keep_up(self) -> None:
        self._kept_up = True
        try:
            self._parts.upkeep()
            if self._door is not None:
                self._door.keep_up()
        except Exception:  # noqa: BLE001  # no fault of ours may cost a request
            self._complain("upkeep", "metrics")

    def _collect_templates(self) -> None:
        """Walk over the routes before a request has to wait for it."""
        try:
            self._parts.templates.collect()
            if self._door is not None:
                self._door.app()
                self._door.tell_shadowed()
        except Exception:  # noqa: BLE001  # no fault of ours may cost a request
            self._complain("collect", "metrics")

    async def _answer_metrics(self, scope: Scope, send: Send) -> None:
        """Answer with 200 and no redirect; the rendering stays off the event loop."""
        try:
            headers = dict(scope.get("headers", ()))
            answer = self._parts.exposition.refusal(scope["method"], headers)
        except Exception:  # noqa: BLE001  # a server's nonsense
            answer = plain(400, "The request's method or headers are none")
        if answer is None:
            answer = await asyncio.get_running_loop().run_in_executor(_threads(), self._scrape, headers)
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else answer.body})

    def _scrape(self, headers: dict[bytes, bytes]) -> Answer:
        self._keep_up()
        try:
            answer = self._parts.exposition.render(headers)
            self._parts.collectors.tell("metrics", health.DELIVERED)
        except Exception:  # noqa: BLE001  # a collector of the application's, or the folder of the workers
            self._complain("scrape", "metrics")
            return plain(
                500,
                "A collector failed, or the files of the workers are gone: the application's log has the traceback, once",
            )
        return answer


class _Route:
    """The cells of one method and route, looked up once."""

    __slots__ = ("_bundle", "_label", "path", "statuses")

    def __init__(self, parts: Parts, method: str, path: str) -> None:
        self.path = path
        self.statuses: dict[int, Bundled] = {}
        self._label = parts.labels.status
        self._bundle = partial(parts.collectors.bundle, http.REQUESTS, _HISTOGRAMS, parts.app_name, method, path)

    def status(self, status: int) -> Bundled:
        """The cells of a status that is new here."""
        label = self._label(status)
        bundle = self._bundle(label)
        if label is not OTHER:
            self.statuses[status] = bundle
        return bundle


def _never_raises(scope: Scope) -> bool:
    """Whether the server, by the version of the specification that it names, takes a message for a client that has left in silence."""
    asgi = scope.get("asgi")
    return isinstance(asgi, dict) and asgi.get("spec_version") in _SILENT_SERVERS


def _over_who_left(exchange: Exchange, send: Send) -> Send:
    """Note that the server reports a client that has left."""

    async def see_send(message: Message) -> None:
        try:
            await send(message)
        except OSError as error:
            exchange.disconnected, exchange.lost = True, error
            raise

    return see_send


def _write_line(handler: "LokiHandler", exchange: Exchange, end: Ending, error: BaseException | None) -> None:
    failed = end.status >= 500 or end.outcome == "stream_error"
    fields: dict[str, Any] = {
        logs.METHOD.name: exchange.method,
        logs.PATH.name: exchange.path,
        logs.URL_PATH.name: exchange.url_path,
        logs.STATUS_CODE.name: end.status,
        logs.DURATION_MS.name: round(exchange.seconds * 1e3, 3),
        logs.OUTCOME.name: end.outcome,
        **exchange.facts,
    }
    if exchange.chunks > 1:
        fields[logs.CHUNKS.name] = exchange.chunks
        fields[logs.FIRST_BYTE_MS.name] = round(exchange.first_byte_s * 1e3, 3)
        fields[logs.LONGEST_GAP_MS.name] = round(exchange.longest_gap_s * 1e3, 3)
    handler.write(
        level=logging.ERROR if failed else logging.INFO,
        logger=REQUEST_LOGGER,
        message=f"{exchange.method} {exchange.path} {end.status}",
        fields=fields,
        metadata=exchange.metadata,
        exception="".join(traceback.format_exception(error)) if isinstance(error, Exception) else None,
    )


def _threads() -> ThreadPoolExecutor:
    """Threads of our own: the default pool is where an application waits for its providers."""
    global _pool  # noqa: PLW0603  # made when it is first needed
    if _pool is None:
        _pool = ThreadPoolExecutor(2, "gwz-scrape")
    return _pool


def _forget_threads() -> None:
    """In the child of a fork: the pool came along, its threads did not."""
    global _pool  # noqa: PLW0603  # as above
    _pool = None


_METHODS: Final = frozenset(http.METHODS)
_SILENT_SERVERS: Final = ("2.0", "2.1", "2.2", "2.3")  # from 2.4 on they are to raise OSError
_pool: ThreadPoolExecutor | None = None
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_threads)
_LOG = logging.getLogger("gwz_instrument")
