"""Spans on their way out: bounded, counted, redacted, and given up at a deadline.

Imports the OpenTelemetry SDK and is therefore itself imported when traces start, not before.
"""

import contextlib
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import TracerProvider

from .late_spans import OurProcessor
from .redact import redact
from .semconv import health
from .settings import GRPC
from .span_ends import SpanEnds
from .span_text import cleaned
from .traces import EXIT_S, Count

_CREDENTIAL_PROVIDERS: Final = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
)
_DEFAULT_QUEUE: Final = 2048  # the SDK's own
_MAX_REASON: Final = 300
_EXPORTER_LOGGERS: Final = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)
_COME_BACK_LATER: Final = frozenset({408, 429})
_GRPC_REFUSALS: Final = frozenset(
    {
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "UNIMPLEMENTED",
    }
)


class Account:
    """Follows each span from its end to its fate, and counts each fate once.

    A span takes a place when it ends and gives it back when it is settled. Places are taken without a lock: a span
    may end in the finalizer of a generator, which may run on a thread that holds one.
    """

    def __init__(self, places: int, count: Count) -> None:
        self._places = places
        self._count = count
        self._closing = self._closed = False
        self.forget()

    def forget(self) -> None:
        """Start from nothing: after a fork the parent's spans, and whoever held the lock, are in the parent."""
        self._progress = threading.Condition(threading.Lock())
        self._free = deque([None] * (0 if self._closing else self._places))
        self._unused = self._places if self._closing else 0
        self.settled = self.lost = 0

    @property
    def taken(self) -> int:
        """How many spans have found a place so far."""
        with self._progress:
            return self.settled + self._places - len(self._free)

    def take(self) -> bool:
        """Whether there is a place for one more span; if not, it is counted as dropped."""
        try:
            self._free.pop()
        except IndexError:
            self._count("traces", health.SHUTDOWN if self._closing else health.QUEUE_FULL, 1)
            return False
        return True

    def settle(self, fates: Mapping[str, int]) -> None:
        """Count what became of spans, unless they have been given up in the meantime."""
        number = sum(fates.values())
        with self._progress:
            if self._closed:
                return
            self.settled += number
            self.lost += number - fates.get(health.DELIVERED, 0)
            if self._closing:
                self._unused += number
            else:
                self._free.extend([None] * number)
            self._progress.notify_all()
        self._tell(fates)

    def wait(self, target: int, timeout_s: float) -> bool:
        """Wait until as many spans as `target` are settled."""
        with self._progress:
            return self._progress.wait_for(lambda: self.settled >= target, timeout_s)

    def refuse(self) -> None:
        """Take no more: who sends them is about to stop."""
        with self._progress:
            self._closing = True
            with contextlib.suppress(IndexError):
                while True:
                    self._free.pop()
                    self._unused += 1

    def close(self) -> int:
        """Give up what is still pending: that many."""
        with self._progress:
            pending = 0 if self._closed else self._places - self._unused
            self._closed = True
            self.settled += pending
            self._progress.notify_all()
        self._tell({health.SHUTDOWN: pending})
        return pending

    def _tell(self, fates: Mapping[str, int]) -> None:
        for word, number in fates.items():
            if number:
                self._count("traces", word, number)


class Outlet(OurProcessor):
    """Hands ended spans to the SDK's batch processor, as many as its queue holds, and can be closed within a deadline.

    One per provider and endpoint, however many applications use it: the last one to leave closes it, and the
    next one to come opens it again, because a provider never lets go of a processor.
    """

    def __init__(
        self,
        provider: TracerProvider,
        protocol: str,
        url: str,
        count: Count,
        *,
        make_exporter: "MakeExporter | None" = None,
    ) -> None:
        self._place = provider, protocol, url
        self._make_exporter = make_exporter or partial(_otlp, protocol, url)
        self._users: set[object] = set()
        self._closed = False
        self._open(count)
        if hasattr(os, "register_at_fork"):  # not on Windows
            in_child = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (method := in_child()) and method())

    def leads(self, provider: TracerProvider, protocol: str, url: str) -> bool:
        """Whether this is the way from `provider` to that receiver."""
        known = self._place
        return known[0] is provider and known[1:] == (protocol, url)

    def join(self, user: object, count: Count) -> None:
        """Let `user` send its spans this way."""
        if self._closed:
            self._open(count)
        self._users.add(user)

    def leave(self, user: object, timeout_s: float) -> None:
        """Send what is finished; close with the last user. Safe to call twice."""
        if user not in self._users:
            return
        self._users.remove(user)
        if self._users:
            self.flush(timeout_s)
        else:
            self.close(timeout_s)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span, or count it as dropped."""
        context = span.context
        if context is not None and context.trace_flags.sampled and self._account.take():
            self._batches.on_end(span)

    def flush(self, timeout_s: float) -> bool:
        """Send every span that has ended; False if one was lost or is still here after `timeout_s`."""
        account = self._account
        target, lost = account.taken, account.lost
        self._errands.run(lambda: self._batches.force_flush(int(timeout_s * 1000)))
        return account.wait(target, timeout_s) and account.lost == lost

    def close(self, timeout_s: float) -> None:
        """Send what is finished, give up the rest after `timeout_s`, and count it."""
        if self._closed:
            return
        self._closed = True
        self._account.refuse()
        done = self._errands.run(self._batches.shutdown)
        self._errands.stop()
        finished = done.wait(timeout_s)
        if lost := self._account.close():
            _LOG.warning("gwz-instrument: %d spans did not arrive at %s before the end", lost, redact(self._place[2]))
        if not finished:
            self._exporter.abandon()
        self._users.clear()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """`flush`, as providers ask for it."""
        return self.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """`close`, as a provider asks for it that is itself shut down."""
        self.close(EXIT_S)

    def _open(self, count: Count) -> None:
        size = _queue_size()
        self._account = Account(size, count)
        self._exporter = _Exporter(self._make_exporter, self._place[2], self._account)
        self._batches = BatchSpanProcessor(self._exporter, max_queue_size=size)
        self._errands = _Errands()
        self._closed = False

    def _after_fork(self) -> None:
        """The batch processor looks after itself; the rest starts anew."""
        self._account.forget()
        self._exporter.renew()
        if not self._closed:
            self._errands = _Errands()


class EndsFirst(OurProcessor):
    """Has spans ended that wait for it before the processors that come after are flushed or shut down."""

    def __init__(self, ends: SpanEnds) -> None:
        self._ends = ends

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """End what waits."""
        return self._ends.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """End what waits."""
        self._ends.flush(EXIT_S)


class _Errands:
    """A thread for calls of the SDK that block for as long as they like.

    It is started beforehand because from Python 3.12 none can be started once the process is exiting.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Callable[[], object], threading.Event] | None] = SimpleQueue()
        threading.Thread(target=self._run, name="gwz-spans", daemon=True).start()

    def run(self, call: Callable[[], object]) -> threading.Event:
        """Have `call` made; the event tells when it has returned."""
        done = threading.Event()
        self._queue.put((call, done))
        return done

    def stop(self) -> None:
        """End the thread after the calls that are waiting."""
        self._queue.put(None)

    def _run(self) -> None:
        while (errand := self._queue.get()) is not None:
            call, done = errand
            try:
                call()
            except Exception:  # noqa: BLE001  # the next errand, perhaps the last, must be done all the same
                _LOG.exception("gwz-instrument: the batch processor of OpenTelemetry failed")
            done.set()


class PartialSuccess:
    """Reads from the answers of an OTLP/HTTP receiver how many spans it refused in a request that it accepted."""

    rejected = 0

    def see(self, response: Any, *_: object, **__: object) -> None:
        """A response hook of requests."""
        if response.ok and response.content and "json" not in response.headers.get("content-type", ""):
            with contextlib.suppress(Exception):  # a proxy's page, not a receiver's answer
                answer = ExportTraceServiceResponse.FromString(response.content)
                self.rejected = answer.partial_success.rejected_spans


MakeExporter = Callable[[PartialSuccess], SpanExporter]


class _Exporter(SpanExporter):
    """The OTLP exporter, with clean spans going in and the fate of each coming out."""

    def __init__(self, make: MakeExporter, address: str, account: Account) -> None:
        self._make, self._account = make, account
        self._outage = _Outage(address)
        self._partial = PartialSuccess()
        self._inner: SpanExporter | None = make(self._partial)
        self._abandoned = self._ended = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; never raises."""
        if self._abandoned:
            return SpanExportResult.FAILURE
        clean = self._clean(spans)
        fates = self._send(clean) if clean else {}
        fates[health.FAULT] = fates.get(health.FAULT, 0) + len(spans) - len(clean)
        self._account.settle(fates)
        return SpanExportResult.SUCCESS if fates.get(health.DELIVERED) == len(spans) else SpanExportResult.FAILURE

    def renew(self) -> None:
        """Forget the connections that belong to the parent process."""
        self._inner = None

    def abandon(self) -> None:
        """Send nothing more, and interrupt what is waiting to be sent again where the exporter allows it."""
        self._abandoned = True
        with contextlib.suppress(RuntimeError):  # the process is exiting and needs no interruption
            threading.Thread(target=self.shutdown, daemon=True).start()

    def shutdown(self) -> None:
        """Close the connections, once: a second time the exporters complain."""
        if not self._ended and self._inner is not None:
            self._ended = True
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002  # the interface of the SDK
        """Nothing is kept back here."""
        return True

    def _clean(self, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
        """The spans as they may leave; one that cannot be cleaned stays."""
        clean: list[ReadableSpan] = []
        for span in spans:
            try:
                clean.append(cleaned(span))
            except Exception:  # noqa: BLE001  # no fault of ours may stop the others
                self._outage.fault("a span could not be redacted and was not sent")
        return clean

    def _send(self, spans: Sequence[ReadableSpan]) -> dict[str, int]:
        self._partial.rejected = 0
        with _ears.listening() as heard:
            try:
                self._inner = self._inner or self._make(self._partial)
                result = self._inner.export(spans)
            except OSError as error:  # requests' errors are OSErrors
                heard.reason, heard.word = str(error), health.FAILED
                result = SpanExportResult.FAILURE
            except Exception as error:  # noqa: BLE001  # and whatever else an exporter lets out
                heard.reason, heard.word = repr(error), health.FAULT
                result = SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            if not self._abandoned:
                self._outage.begin(heard, len(spans))
            return {heard.word: len(spans)}
        self._outage.end()
        rejected = min(self._partial.rejected, len(spans))
        return {health.DELIVERED: len(spans) - rejected, health.REJECTED: rejected}


@dataclass(slots=True)
class _Heard:
    """What an exporter said, in its log, about a batch that it could not deliver."""

    reason: str = "no reason given"
    word: str = health.FAILED

    def hear(self, record: logging.LogRecord) -> None:
        """Note the message, and who is to blame as far as its arguments tell."""
        self.reason = record.getMessage()
        if record.levelno >= logging.ERROR and isinstance(record.args, tuple):
            self.word = next((word for arg in record.args if (word := _blame(arg))), health.FAILED)


def _blame(arg: object) -> str | None:
    """REJECTED for a final HTTP or gRPC status, FAULT for an exception that is not the network's."""
    if isinstance(arg, int) and not isinstance(arg, bool):
        return health.REJECTED if 400 <= arg < 500 and arg not in _COME_BACK_LATER else None
    if isinstance(arg, Exception) and not isinstance(arg, OSError):
        return health.FAULT
    return health.REJECTED if getattr(arg, "name", None) in _GRPC_REFUSALS else None


@dataclass(slots=True)
class _Outage:
    """One line when spans cease to arrive and one when they arrive again."""

    address: str
    since: float | None = None
    lost: int = 0
    faults: set[str] = field(default_factory=set)

    def begin(self, heard: _Heard, spans: int) -> None:
        """Note a batch that did not arrive."""
        self.lost += spans
        if self.since is None:
            self.since = time.monotonic()
            _LOG.warning(
                "gwz-instrument: spans do not arrive at %s: %s. They are dropped and counted in "
                "gwz_telemetry_dropped_total until it accepts them again",
                redact(self.address),
                redact(heard.reason)[:_MAX_REASON],
            )

    def end(self) -> None:
        """Note a batch that arrived."""
        if self.since is not None:
            _LOG.warning(
                "gwz-instrument: spans arrive at %s again after %.0f s; %d were lost",
                redact(self.address),
                time.monotonic() - self.since,
                self.lost,
            )
            self.since, self.lost = None, 0

    def fault(self, what: str) -> None:
        """Log a fault of ours, with the traceback, the first time."""
        if what not in self.faults:
            self.faults.add(what)
            _LOG.exception("gwz-instrument: %s", what)


class _Ears(logging.Filter):
    """Hears what the exporters log while they export for us, and keeps it from the application's log.

    They tell the reason of a failure nowhere else, and repeat it for every attempt at every batch. What other
    exporters of the process log passes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()
        for name in _EXPORTER_LOGGERS:
            logging.getLogger(name).addFilter(self)

    @contextlib.contextmanager
    def listening(self) -> Iterator[_Heard]:
        """Hear this thread."""
        self._local.heard = _Heard()
        try:
            yield self._local.heard
        finally:
            self._local.heard = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record goes on to the handlers."""
        heard: _Heard | None = getattr(self._local, "heard", None)
        if heard is None:
            return True
        if record.levelno >= logging.WARNING:
            heard.hear(record)
        return False


def _otlp(protocol: str, url: str, partial_success: PartialSuccess) -> SpanExporter:
    """The exporter of a protocol; headers, timeout, compression and certificates it reads from OTEL_* itself."""
    if protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter  # noqa: PLC0415

        return GrpcExporter(endpoint=url)
    import requests  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    if any(os.environ.get(variable) for variable in _CREDENTIAL_PROVIDERS):
        return OTLPSpanExporter(endpoint=url)  # which asks the provider for its session
    session = requests.Session()
    session.hooks["response"].append(partial_success.see)
    return OTLPSpanExporter(endpoint=url, session=session)


def _queue_size() -> int:
    """`OTEL_BSP_MAX_QUEUE_SIZE`, read as the SDK reads it."""
    try:
        return int(os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE) or _DEFAULT_QUEUE)
    except ValueError:
        return _DEFAULT_QUEUE


_LOG = logging.getLogger("gwz_instrument")
_ears = _Ears()
