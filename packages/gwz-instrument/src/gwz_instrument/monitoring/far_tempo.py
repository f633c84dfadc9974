"""Tempo, as spans are exported to it, or to what stands before it, and asked of it."""

import base64
import json
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from gwz_instrument.redact import redact
from gwz_instrument.settings import Settings
from gwz_instrument.traces import Traces, attribute

from . import otlp
from .address import Address
from .fetch import FetchError
from .hops import deliver, missing, poll

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

SCOPE: Final = "gwz-test"
"""Not that of the contract's spans: this one tells nothing of the application."""
NAME: Final = "gwz test"
MESSAGE: Final = "message"
NOT_CONFIGURED, NO_EXPORTER = "not_configured", "no_exporter"
_QUERY: Final = "GWZ_TEMPO_URL"
_SEARCHED_S: Final = 3600.0
_SKEW_S: Final = 60.0


class FarTempo:
    """Where spans go, and where they are asked for. Methods may be called from any thread, and raise FetchError."""

    def __init__(self, traces_url: str, settings: Settings) -> None:
        self._service = settings.service_name
        self.push = otlp.address_of(traces_url, settings)
        self.admit = otlp.admission(self.push, settings.protocol)
        self.query = (
            Address(settings.tempo_url, "Tempo", _QUERY, credentials=f"user and password in {_QUERY}")
            if settings.tempo_url is not None
            else None
        )

    @property
    def asked(self) -> Address:
        """Where to ask; FetchError if nobody has said."""
        if self.query is None:
            raise FetchError(
                NOT_CONFIGURED, f"nobody has said where to ask for traces: set {_QUERY}, as to http://tempo:3200"
            )
        return self.query

    def newest(self, until: float) -> datetime | None:
        """When the newest trace of the last hour began that can be searched already; None if there is none."""
        with closing(self.asked) as tempo:
            answer = self._search(tempo, until)
        try:
            times = [int(found["startTimeUnixNano"]) for found in answer.get("traces") or ()]
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise tempo.unreadable() from error
        return datetime.fromtimestamp(max(times) / 1e9, UTC) if times else None

    def find(self, context: SpanContext, until: float) -> bool:
        """Whether the span is there; asked again and again until it is."""
        with closing(self.asked) as tempo:
            return _has(tempo, context, until) or self._wait_for(tempo, context, until)

    def _wait_for(self, tempo: Address, context: SpanContext, until: float) -> bool:
        self._search(tempo, until)  # 404 may mean that there is no such trace, or that this is no Tempo
        return poll(lambda: _has(tempo, context, until), until)

    def _search(self, tempo: Address, until: float) -> Any:
        now = time.time()
        parameters = {
            # By itself a search gives back what it happens to find first; versions that do not know the hint ignore it.
            "q": f"{{resource.service.name={json.dumps(self._service, ensure_ascii=False)}}} with (most_recent=true)",
            "start": f"{int(now - _SEARCHED_S)}",
            "end": f"{int(now + _SKEW_S)}",
            "limit": "20",
        }
        return tempo.json("/api/search", parameters, until)


class SentSpan:
    """A span that goes out like those of requests, whatever the sampler says, and is asked for afterwards."""

    def __init__(self, far: FarTempo, traces: Traces, message: str) -> None:
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415  # there are traces, so it is here

        self._far, self._traces = far, traces
        self.message = redact(message)
        make = RandomIdGenerator()
        self._context = SpanContext(
            make.generate_trace_id(),
            make.generate_span_id(),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )
        self._is_lost = False

    @property
    def trace_id(self) -> str:
        """In hex."""
        return f"{self._context.trace_id:032x}"

    @property
    def span_id(self) -> str:
        """In hex."""
        return f"{self._context.span_id:016x}"

    def send(self, _until: float) -> None:
        """Put it into the queue."""
        if self._traces.outlet is None:
            raise FetchError(
                NO_EXPORTER,
                "the application's tracer provider takes no exporter: set an opentelemetry.sdk.trace.TracerProvider "
                "before instrument(), or none",
            )
        self._traces.outlet.on_end(self._span())

    def deliver(self, until: float) -> None:
        """Have it exported."""
        self._is_lost = not deliver(self._traces.force_flush, self._far.admit, "traces", until)

    def find(self, until: float) -> None:
        """Ask for it."""
        if not self._far.find(self._context, until):
            raise missing(self._far.asked, self._far.push, "traces", is_lost=self._is_lost)

    def _span(self) -> "ReadableSpan":
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

        now = time.time_ns()
        text = attribute(self.message)
        return ReadableSpan(
            name=NAME,
            context=self._context,
            resource=getattr(self._traces.provider, "resource", None),
            attributes={} if text is None else {MESSAGE: text},
            kind=SpanKind.INTERNAL,
            start_time=now,
            end_time=now,
            instrumentation_scope=InstrumentationScope(SCOPE),
        )


def _has(tempo: Address, context: SpanContext, until: float) -> bool:
    """Whether the trace is there with its span: a page that answers everything would not have that."""
    answer = tempo.get(f"/api/traces/{context.trace_id:032x}", {}, until)
    if answer.status == 404:
        return False
    if answer.status != 200:
        raise tempo.refusal(str(answer.status))
    in_hex = f"{context.span_id:016x}".encode()
    return in_hex in answer.body or base64.b64encode(bytes.fromhex(in_hex.decode())) in answer.body
