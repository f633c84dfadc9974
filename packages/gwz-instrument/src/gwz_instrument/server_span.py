"""The server span of a request: started when it arrives, ended at its last byte; kept, unsampled, when it matters."""

from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode

from . import traces
from .exchange import NO_RESPONSE, Ending, Exchange, sampled_trace_id
from .semconv import http, logs, spans

_FAILED = ("stream_error", "cancelled")
_ROUTELESS = (http.UNMATCHED, http.UNROUTED)
_FACTS = {logs.PROVIDER.name: spans.PROVIDER.name, logs.MODEL.name: spans.MODEL.name}


@dataclass(frozen=True, slots=True)
class ServerSpans:
    """Makes the server spans of one application."""

    traces: traces.Traces
    slow_s: float

    def start(self, exchange: Exchange) -> None:
        """Start the span of a request; it gets its full name once the route is known."""
        parent = traces.parent(exchange.scope["headers"])
        span = self.traces.tracer.start_span(exchange.method, parent, SpanKind.SERVER, start_time=exchange.start_ns)
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
                _describe(span, exchange, end, error, failed=failed)
            finally:
                span.end(ended_ns)
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
            attributes=_attributes(exchange, end, error, failed=failed),
            start_ns=exchange.start_ns,
            end_ns=ended_ns,
            failed=failed,
            exception=error if failed else None,
        )


def _describe(span: Span, exchange: Exchange, end: Ending, error: BaseException | None, *, failed: bool) -> None:
    span.update_name(_name(exchange))
    span.set_attributes(_attributes(exchange, end, error, failed=failed))
    if failed:
        span.set_status(Status(StatusCode.ERROR))
        if error is not None:
            span.add_event("exception", traces.exception_facts(error))


def _is_unsampled(context: SpanContext) -> bool:
    return context.is_valid and not context.trace_flags.sampled


def _name(exchange: Exchange) -> str:
    return exchange.method if exchange.path in _ROUTELESS else f"{exchange.method} {exchange.path}"


def _remote_parent(exchange: Exchange) -> SpanContext | None:
    context: Context = traces.parent(exchange.scope["headers"])
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid else None


def _attributes(exchange: Exchange, end: Ending, error: BaseException | None, *, failed: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        spans.HTTP_METHOD.name: exchange.method,
        spans.HTTP_STATUS.name: end.status,
        spans.URL_PATH.name: exchange.url_path,
        spans.URL_SCHEME.name: str(exchange.scope.get("scheme", "http")),
        spans.OUTCOME.name: end.outcome,
        spans.REQUEST_ID.name: exchange.request_id,
    }
    if exchange.path not in _ROUTELESS:
        found[spans.HTTP_ROUTE.name] = exchange.path
    match exchange.scope.get("server"):
        case [str() as host, port]:
            found[spans.SERVER_ADDRESS.name] = host
            if isinstance(port, int):  # a Unix socket has none
                found[spans.SERVER_PORT.name] = port
    if failed:
        found[spans.ERROR_TYPE.name] = str(end.status or NO_RESPONSE) if error is None else type(error).__name__
    if exchange.chunks > 1:
        found[spans.CHUNKS.name] = exchange.chunks
        found[spans.FIRST_BYTE.name] = exchange.first_byte_s
        found[spans.LONGEST_GAP.name] = exchange.longest_gap_s
    for name, value in exchange.facts.items():
        found[_FACTS[name]] = value
    return found
