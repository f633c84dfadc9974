"""The server span of a request: started when it arrives, ended at its last byte; kept, unsampled, when it matters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext

from . import traces
from .exchange import NO_RESPONSE, Ending, Exchange, sampled_trace_id
from .semconv import http, logs, spans
from .span_ends import SpanEnd

_FAILED = ("stream_error", "cancelled")
_ROUTELESS = (http.UNMATCHED, http.UNROUTED)
_SAID_AS = {logs.PROVIDER.name: spans.PROVIDER.name, logs.MODEL.name: spans.MODEL.name}


@dataclass(frozen=True, slots=True)
class ServerSpans:
    """Makes the server spans of one application."""

    traces: traces.Traces
    slow_s: float

    def start(self, exchange: Exchange) -> None:
        """Start the span of a request; it gets its full name once the route is known."""
        parent = traces.parent(exchange.scope["headers"])
        span = self.traces.begin(exchange.method, parent, exchange.start_ns)
        exchange.span = span
        exchange.sampled_trace_id = sampled_trace_id(span)

    def finish(self, exchange: Exchange, end: Ending, error: BaseException | None) -> None:
        """End the span at the moment of the last byte, or write one for an unsampled request that failed or was slow.

        A span that somebody else made is theirs to end; where theirs is unsampled, ours is kept all the same.
        """
        span = exchange.span or exchange.foreign
        if span is None:
            return
        ended_ns = exchange.start_ns + int(exchange.seconds * 1e9)
        failed = end.status >= 500 or end.outcome in _FAILED
        if span is exchange.span and span.is_recording():
            try:
                self.traces.end(_last_words(span, exchange, end, error, failed=failed, ended_ns=ended_ns))
            except Exception:
                span.end(ended_ns)
                raise
        elif (failed or exchange.seconds >= self.slow_s) and _is_unsampled(context := span.get_span_context()):
            self._keep(exchange, context, end, error, failed=failed, ended_ns=ended_ns)

    def _keep(
        self,
        exchange: Exchange,
        context: SpanContext,
        end: Ending,
        error: BaseException | None,
        *,
        failed: bool,
        ended_ns: int,
    ) -> None:
        self.traces.keep(
            name=_name(exchange),
            context=context,
            parent=_remote_parent(exchange),
            attributes=_facts(exchange, end, error, failed=failed).attributes(),
            start_ns=exchange.start_ns,
            end_ns=ended_ns,
            failed=failed,
            exception=error if failed else None,
        )


def _last_words(
    span: Span, exchange: Exchange, end: Ending, error: BaseException | None, *, failed: bool, ended_ns: int
) -> SpanEnd:
    return SpanEnd(
        span,
        _name(exchange),
        _facts(exchange, end, error, failed=failed).attributes,
        failed,
        traces.exception_facts(error) if failed and error is not None else None,
        ended_ns,
    )


def _is_unsampled(context: SpanContext) -> bool:
    return context.is_valid and not context.trace_flags.sampled


def _name(exchange: Exchange) -> str:
    return exchange.method if exchange.path in _ROUTELESS else f"{exchange.method} {exchange.path}"


def _remote_parent(exchange: Exchange) -> SpanContext | None:
    context: Context = traces.parent(exchange.scope["headers"])
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid else None


class _Facts(NamedTuple):
    """What a span says of its request; taken at the request's end, made attributes when there is time."""

    method: str
    status: int
    outcome: str
    url_path: str
    scheme: object
    request_id: str
    path: str
    server: object
    error_type: str | None
    chunks: int
    first_byte_s: float
    longest_gap_s: float
    said: Mapping[str, Any]

    def attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            _METHOD: self.method,
            _STATUS: self.status,
            _URL_PATH: self.url_path,
            _URL_SCHEME: str(self.scheme),
            _OUTCOME: self.outcome,
            _REQUEST_ID: self.request_id,
        }
        if self.path not in _ROUTELESS:
            found[_ROUTE] = self.path
        server = self.server
        if isinstance(server, tuple | list) and len(server) == 2 and isinstance(server[0], str):
            found[_SERVER_ADDRESS] = server[0]
            if isinstance(server[1], int):  # a Unix socket has none
                found[_SERVER_PORT] = server[1]
        if self.error_type is not None:
            found[_ERROR_TYPE] = self.error_type
        if self.chunks > 1:
            found[_CHUNKS] = self.chunks
            found[_FIRST_BYTE] = self.first_byte_s
            found[_LONGEST_GAP] = self.longest_gap_s
        for name, attribute in _SAID_AS.items():
            if name in self.said:
                found[attribute] = self.said[name]
        return found


def _facts(exchange: Exchange, end: Ending, error: BaseException | None, *, failed: bool) -> _Facts:
    scope = exchange.scope
    return _Facts(
        exchange.method,
        end.status,
        end.outcome,
        exchange.url_path,
        scope.get("scheme", "http"),
        exchange.request_id,
        exchange.path,
        scope.get("server"),
        None if not failed else str(end.status or NO_RESPONSE) if error is None else type(error).__name__,
        exchange.chunks,
        exchange.first_byte_s,
        exchange.longest_gap_s,
        exchange.facts,
    )


# Looked up once: this is written for every request.
_METHOD, _STATUS, _ROUTE = spans.HTTP_METHOD.name, spans.HTTP_STATUS.name, spans.HTTP_ROUTE.name
_URL_PATH, _URL_SCHEME = spans.URL_PATH.name, spans.URL_SCHEME.name
_OUTCOME, _REQUEST_ID, _ERROR_TYPE = spans.OUTCOME.name, spans.REQUEST_ID.name, spans.ERROR_TYPE.name
_SERVER_ADDRESS, _SERVER_PORT = spans.SERVER_ADDRESS.name, spans.SERVER_PORT.name
_CHUNKS, _FIRST_BYTE, _LONGEST_GAP = spans.CHUNKS.name, spans.FIRST_BYTE.name, spans.LONGEST_GAP.name
