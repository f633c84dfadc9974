"""What is observed at the far end: whether Loki and Tempo take what is sent, and give it back."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, Protocol

from gwz_instrument.exchange import metadata
from gwz_instrument.settings import Settings

from . import models
from .address import Address
from .far_loki import FarLoki, SentLine
from .far_tempo import FarTempo, SentSpan
from .hops import GRACE_S, Step, first_failed, follow, status_of, visit

if TYPE_CHECKING:
    from gwz_instrument.logs import LokiHandler
    from gwz_instrument.traces import Traces

PUSH, EXPORT, QUERY, SEND, FIND = "push", "export", "query", "send", "find"
DEADLINE_S: Final = 8.0

_Status = Literal["ok", "failed", "disabled"]


class FarEnds:
    """Loki and Tempo, seen from this process.

    Methods block, for `deadline_s` at most, and raise nothing however broken a far end is: its hops say so. A signal that
    the settings switch off is disabled. No token and, but for `with_urls`, no address is in what they return.
    """

    def __init__(
        self,
        settings: Settings,
        logs: "LokiHandler | None",
        traces: "Traces | None",
        *,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._settings = settings
        self._deadline_s = deadline_s
        self._logs, self._traces = logs, traces
        self._loki = FarLoki(settings.loki_url, settings) if logs is not None and settings.loki_url else None
        self._tempo = FarTempo(settings.traces_url, settings) if traces is not None and settings.traces_url else None

    def health(self, *, with_urls: bool) -> models.TelemetryHealth:
        """Both, at the same time."""
        with ThreadPoolExecutor(1, "gwz-far-end") as pool:
            asked = pool.submit(self.tempo, with_urls=with_urls)
            loki, tempo = self.loki(with_urls=with_urls), asked.result()
        statuses = (loki.status, tempo.status)
        worst: _Status = next((one for one in ("failed", "ok") if one in statuses), "disabled")
        return models.TelemetryHealth(status=worst, timestamp=datetime.now(UTC), loki=loki, tempo=tempo)

    def loki(self, *, with_urls: bool) -> models.FarEnd:
        """Whether Loki would take a line, of which none is written, and gives back what it has."""
        return self._look(self._loki, PUSH, with_urls=with_urls)

    def tempo(self, *, with_urls: bool) -> models.FarEnd:
        """Whether the receiver would take a span, of which none is sent, and Tempo gives back what it has."""
        return self._look(self._tempo, EXPORT, with_urls=with_urls)

    def test_log(self, message: str, level: str) -> models.Proof:
        """Write a line of that level, one of `semconv.logs.LEVELS`, and ask Loki for it."""
        if self._loki is None or self._logs is None:
            return _disabled(message)
        return self._prove(SentLine(self._loki, self._logs, message, level, metadata()), PUSH)

    def test_trace(self, message: str) -> models.Proof:
        """Export a span, a trace by itself, and ask Tempo for it."""
        if self._tempo is None or self._traces is None:
            return _disabled(message)
        return self._prove(SentSpan(self._tempo, self._traces, message), EXPORT)

    def _look(self, far: "_Far | None", way_in: str, *, with_urls: bool) -> models.FarEnd:
        seen: list[datetime | None] = []
        steps = () if far is None else (Step(way_in, far.admit), Step(QUERY, lambda end: seen.append(far.newest(end))))
        hops = visit(steps, self._until())
        failed_hop, reason = first_failed(hops)
        return models.FarEnd(
            status="disabled" if far is None else status_of(hops),
            timestamp=datetime.now(UTC),
            service_name=self._settings.service_name,
            environment=self._settings.environment,
            hops=hops,
            failed_hop=failed_hop,
            reason=reason,
            newest=next(iter(seen), None),
            push_url=far.push.shown if far and with_urls else None,
            query_url=far.query.shown if far and far.query and with_urls else None,
        )

    def _prove(self, sent: "_Sent", way_in: str) -> models.Proof:
        steps = (Step(SEND, sent.send), Step(way_in, sent.deliver), Step(FIND, sent.find))
        began = time.perf_counter()
        hops = follow(steps, self._until())
        took_ms = round((time.perf_counter() - began) * 1000, 3)
        failed_hop, reason = first_failed(hops)
        return models.Proof(
            status=status_of(hops),
            timestamp=datetime.now(UTC),
            message=sent.message,
            trace_id=sent.trace_id,
            span_id=sent.span_id,
            duration_ms=took_ms if failed_hop is None else None,
            hops=hops,
            failed_hop=failed_hop,
            reason=reason,
        )

    def _until(self) -> float:
        return time.monotonic() + self._deadline_s - GRACE_S


class _Far(Protocol):
    """A server as it is sent to and asked."""

    @property
    def push(self) -> Address: ...
    @property
    def query(self) -> Address | None: ...
    def admit(self, until: float) -> None: ...
    def newest(self, until: float) -> datetime | None: ...


class _Sent(Protocol):
    """Something that is sent and asked for."""

    @property
    def message(self) -> str: ...
    @property
    def trace_id(self) -> str | None: ...
    @property
    def span_id(self) -> str | None: ...
    def send(self, until: float, /) -> None: ...
    def deliver(self, until: float, /) -> None: ...
    def find(self, until: float, /) -> None: ...


def _disabled(message: str) -> models.Proof:
    return models.Proof(
        status="disabled",
        timestamp=datetime.now(UTC),
        message=message,
        trace_id=None,
        span_id=None,
        duration_ms=None,
        hops=[],
        failed_hop=None,
        reason=None,
    )
