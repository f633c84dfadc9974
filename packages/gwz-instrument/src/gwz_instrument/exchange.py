"""One request and its response: what went over the wire so far, and how it ended."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from opentelemetry import trace
from opentelemetry.trace import Span, TraceFlags

from .routes import Scope
from .semconv import http, logs, spans

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

NO_RESPONSE: Final = 500  # what a server answers for an application that sent nothing
_CLIENT_CLOSED: Final = int(http.CLIENT_CLOSED)
_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_TIMEOUT_STATUS: Final = frozenset({408, 504})
_MAX_ID: Final = 128
_MAX_URL_PATH: Final = 1024
_MAX_FACT: Final = 1024
_MAX_LENGTH_DIGITS: Final = 10  # a Content-Length beyond 10 GB is a claim, not a size


class Ending(NamedTuple):
    """How a request ended, in the words of the contract."""

    status: int
    outcome: str


class Exchange:
    """One request and what is known of its response so far."""

    # Defaults of the class for what most requests never set; what each part reads is set at the start, which is cheaper.
    span: Span | None = None
    sampled_trace_id = 0
    """The trace that an exemplar may name: that of a sampled span; any other would be a link to nothing."""
    foreign: Span | None = None
    """The server span that somebody else's instrumentation made."""
    path = http.UNMATCHED
    status: int | None = None
    received_bytes = 0
    longest_gap_s = 0.0
    error: BaseException | None = None
    recording: Any = None
    """Where the recorders write that are used within the request: a `Recording`."""
    streams: set[Any] | None = None
    """The streams that are open of the calls that were made within it, each a `Watch`; none once it is over."""
    facts: Mapping[str, Any] = MappingProxyType({})
    """What the application, and the recorders that it used, said of this request: fields of its line."""
    left = False
    outer: int | None = None
    """Whose metrics count the request already, in an application that this one is mounted in."""
    lost: OSError | None = None
    """What the server raised when the client had left: no exception of the application's."""
    _start_ns = 0
    _first_chunk_s = 0.0
    last_chunk_s = 0.0
    _request_id = ""
    _headers: dict[bytes, bytes] | None = None
    _metadata: dict[str, str] | None = None

    def __init__(self, scope: Scope, method: str) -> None:
        self.scope = scope
        self.method = method
        self.path_asked = scope["path"]  # an old Starlette writes the rest of it into the scope when it enters a mount
        self.sent_bytes = self.chunks = 0
        self.disconnected = self.measured = self.told = False
        self.ended_s = 0.0  # when the last byte of the response was handed to the server; 0 before
        self.started_s = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time from arrival to the last byte, or to now."""
        return (self.ended_s or time.perf_counter()) - self.started_s

    @property
    def start_ns(self) -> int:
        """When it arrived, in nanoseconds since 1970."""
        if not self._start_ns:
            self._start_ns = time.time_ns() - int((time.perf_counter() - self.started_s) * 1e9)
        return self._start_ns

    @property
    def first_byte_s(self) -> float:
        """Seconds from arrival to the first part of the body."""
        return self._first_chunk_s - self.started_s

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The request's headers; of a repeated one, the last."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return self._headers

    @property
    def request_bytes(self) -> int:
        """Size of the request's body: what it declares, else what was read of it; of methods that have none, what was read."""
        if self.method in _BODILESS:  # their headers need not be looked through
            return self.received_bytes
        declared = None
        with suppress(TypeError, ValueError):  # the application may have spoilt its scope, and the request still counts
            for name, value in self.scope["headers"]:  # no property: most are asked for no other of their headers
                if name == b"content-length":
                    declared = value
        if declared is None or not declared.isdigit() or len(declared) > _MAX_LENGTH_DIGITS:
            return self.received_bytes
        return int(declared)

    @property
    def url_path(self) -> str:
        """The path as it was asked for, cut at a length that nobody needs."""
        return str(self.path_asked)[:_MAX_URL_PATH]

    @property
    def request_id(self) -> str:
        """The client's id if it is a plain word of reasonable length, else a new one."""
        if not self._request_id:
            given = self.headers.get(b"x-request-id")
            self._request_id = (given and _plain_word(given)) or _new_id()
        return self._request_id

    @property
    def metadata(self) -> dict[str, str]:
        """Structured metadata of this request's own line: its ids."""
        if self._metadata is None:
            self._metadata = {**ids(self.span or self.foreign), logs.REQUEST_ID.name: self.request_id}
        return self._metadata

    def see_received(self, message: Message) -> None:
        """Note what the client sent; a disconnect counts only while the response is not complete."""
        kind = message.get("type")
        if kind == "http.request":
            self.received_bytes += len(message.get("body") or b"")
        elif kind == "http.disconnect" and not self.ended_s:
            self.disconnected = True

    def see_sent(self, message: Message) -> bool:
        """Note what the application sends; whether it is the end of the response. Nonsense is the server's to refuse."""
        kind = message.get("type")
        if kind == "http.response.body":
            body = message.get("body")
            size = len(body) if body else 0
            more = message.get("more_body", False)
        elif kind == "http.response.start":
            status = message.get("status")
            self.status = _CLIENT_CLOSED if self.disconnected else status if isinstance(status, int) else NO_RESPONSE
            return False
        elif (file := _file(message)) is None:
            return False
        else:
            size, more = file
        now = time.perf_counter()
        if size:
            self.sent_bytes += size
            if self.chunks:
                gap = now - self.last_chunk_s
                if gap > self.longest_gap_s:  # noqa: PLR1730  # max() costs as much as the rest of this block
                    self.longest_gap_s = gap
                self.chunks += 1
                self.last_chunk_s = now
            elif more:  # a body in one part is no stream
                self.chunks = 1
                self._first_chunk_s = self.last_chunk_s = now
        if more or self.ended_s:
            return False
        self.ended_s = now
        return True

    def end(self) -> None:
        """Stop the clock, once."""
        if not self.ended_s:
            self.ended_s = time.perf_counter()

    def ending(self) -> Ending:
        """How it ended, as far as it is known now."""
        return ending(status=self.status, complete=bool(self.ended_s), disconnected=self.disconnected, error=self.error)

    def hold(self, stream: Any) -> None:
        """Remember an open stream; a task that outlives the request tells of its streams in vain."""
        if not self.left:
            self.__dict__.setdefault("streams", set()).add(stream)

    def release(self, stream: Any) -> None:
        """Forget a stream that has ended."""
        if (streams := self.streams) is not None:
            streams.discard(stream)

    def leave(self) -> None:
        """The request is over; if the client had left before, streams that nobody reads any more end."""
        streams, self.streams, self.left = self.streams, None, True
        if streams and self.disconnected:
            for stream in list(streams):
                stream.client_left()

    def note(self, facts: Mapping[str, Any]) -> None:
        """Add to its facts, or replace some."""
        self.__dict__.setdefault("facts", {}).update(facts)

    def annotate(self, fact: str, attribute: str, value: object) -> None:
        """Note a fact for the line and the span."""
        try:
            text = str(value)[:_MAX_FACT]
        except Exception:  # noqa: BLE001  # the application's __str__ must not cost the request
            text = f"<{type(value).__name__}>"
        self.note({fact: text})
        if self.span is not None and self.span.is_recording():
            self.span.set_attribute(attribute, text)


def _file(message: Message) -> tuple[int, bool] | None:
    """The size of a part that the server fetches itself, and whether more is to come; None for what is no part."""
    kind = message.get("type")
    if kind == "http.response.zerocopysend":
        count = message.get("count")  # without one it is the rest of the file, whose size only the server knows
        return count if isinstance(count, int) and count > 0 else 0, message.get("more_body", False)
    if kind == "http.response.pathsend":
        return Path(message["path"]).stat().st_size, False
    return None


def ending(*, status: int | None, complete: bool, disconnected: bool, error: BaseException | None) -> Ending:
    """Judge a request by what was sent, whether it was all, whether the client left, and what was raised.

    Before the response starts a client that leaves counts as status 499 and an exception as 500; after
    that the status that was sent stays, and only the outcome tells.
    """
    if disconnected:
        return Ending(_CLIENT_CLOSED if status is None else status, "client_disconnected")
    if isinstance(error, asyncio.CancelledError) and not complete:
        return Ending(NO_RESPONSE if status is None else status, "cancelled")
    if status is None:
        return Ending(NO_RESPONSE, "error")
    if not complete:
        return Ending(status, "stream_error")
    if status in _TIMEOUT_STATUS:
        return Ending(status, "timeout")
    return Ending(status, "success" if status < 400 else "error")


def annotate(*, provider: str | None = None, model: str | None = None) -> None:
    """Add what is known of the current request to its span and its log line; outside a request, do nothing."""
    exchange = current.get()
    if exchange is None:
        return
    if provider is not None:
        exchange.annotate(logs.PROVIDER.name, spans.PROVIDER.name, provider)
    if model is not None:
        exchange.annotate(logs.MODEL.name, spans.MODEL.name, model)


def metadata() -> dict[str, str]:
    """Structured metadata of a line written now: the trace and span that are current, the request."""
    exchange = current.get()
    span = trace.get_current_span()
    if exchange is None:
        return ids(span)
    if span is exchange.span or not span.get_span_context().is_valid:
        return exchange.metadata
    return {**ids(span), logs.REQUEST_ID.name: exchange.request_id}


def ids(span: Span | None) -> dict[str, str]:
    """Trace id and span id in hex; nothing for a span that is not part of a trace."""
    context = span.get_span_context() if span is not None else trace.INVALID_SPAN_CONTEXT
    if not context.is_valid:
        return {}
    return {logs.TRACE_ID.name: f"{context.trace_id:032x}", logs.SPAN_ID.name: f"{context.span_id:016x}"}


def sampled_trace_id(span: Span) -> int:
    """The id of a sampled trace, 0 for another."""
    context = span.get_span_context()
    return context.trace_id if context.trace_flags & TraceFlags.SAMPLED else 0


def _plain_word(given: bytes) -> str:
    text = given.decode("latin-1") if len(given) <= _MAX_ID else ""
    return text if text.isascii() and text.isprintable() else ""


def _new_id() -> str:
    return f"{random.getrandbits(128):032x}"  # an id, not a secret


current: ContextVar[Exchange | None] = ContextVar("gwz_exchange", default=None)
"""The request that is being answered."""
