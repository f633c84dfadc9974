"""Log lines to Loki: python-logging-loki's handler, made to batch, to bound its queue and never to block."""

import atexit
import gzip
import json
import logging
import os
import random
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import logging_loki

from .semconv import logs

Metadata = Mapping[str, str]
OnDrop = Callable[[str, int], None]
"""Called with a reason of `gwz_telemetry_dropped_total` and the number of lines lost."""

PUSH_PATH: Final = "/loki/api/v1/push"
MAX_QUEUE_BYTES: Final = 16 * 1024 * 1024
MAX_LINE_BYTES: Final = 256 * 1024  # Loki refuses longer lines
_BATCH_BYTES: Final = 1024 * 1024
_LINGER_S: Final = 0.2  # a line waits this long for company
_TIMEOUT_S: Final = (2.0, 10.0)  # connect, answer
_BACKOFF_S: Final = (0.1, 5.0)
_CLOSE_S: Final = 2.0
_REFUSAL_QUIET_S: Final = 60.0
_CLOCK_STEP_NS: Final = 1_000_000_000
_ACCEPTED: Final = 204
_REFUSED: Final = frozenset({400, 413, 422})  # sending the same again would change nothing
_SEEN: Final = "_gwz_seen_by"
_ACCESS_LOG: Final = "uvicorn.access"  # it has whole query strings, and a request has its own line
_RECORD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", _SEEN}
_OVERHEAD_BYTES: Final = 200  # of an entry beyond its line
_LEVELS: Final = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
)


def no_metadata() -> Metadata:
    """Structured metadata of a line that was written outside any request."""
    return {}


def level_of(levelno: int) -> str:
    """The value of the `level` label: one of five, whatever levels the application has made up."""
    return next((name for number, name in _LEVELS if levelno >= number), "debug")


class JsonFormatter(logging.Formatter):
    """One JSON object per record: the contract's fields, then whatever `extra` brought."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a value that JSON does not know is written as text."""
        line = {name: value for name, value in vars(record).items() if name not in _RECORD_FIELDS}
        line |= {  # after the extras: what a field of ours says is not for `extra` to change
            "timestamp": _iso(record.created),
            "level": level_of(record.levelno),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Entry:
    level: str
    timestamp_ns: int
    line: str
    metadata: Metadata
    size: int


class LokiHandler(logging_loki.LokiHandler):  # type: ignore[misc]  # it ships no types
    """Sends records to Loki in batches from a thread of its own; the caller only enqueues.

    Guarantees: `emit` never blocks on the network and never raises; the queue holds at most
    `max_queue_bytes`, the oldest line goes first; every lost line is counted through `on_drop`; lines
    keep their order and their own time; after a fork the child sends its own lines and none of the
    parent's. `close`, which a server's dictConfig calls at start, ends nothing; `drain` and the exit of
    the process deliver what is queued. The stream's labels are `tags` and `level`.
    """

    _sender: threading.Thread | None
    _generation: int
    _sending: int

    def __init__(
        self,
        url: str,
        tags: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        version: str = "1",
        *,
        metadata: Callable[[], Metadata] = no_metadata,
        on_drop: OnDrop = lambda _reason, _lines: None,
        max_queue_bytes: int = MAX_QUEUE_BYTES,
    ) -> None:
        super().__init__(url, dict(tags or {}), auth, version)
        self._labels = {self.emitter.format_label(name): str(value) for name, value in self.emitter.tags.items()}
        self._shown_url = _without_password(url)
        self._metadata = metadata
        self._on_drop = on_drop
        self._max_queue_bytes = max_queue_bytes
        self._reset()
        self.setFormatter(JsonFormatter())
        _handlers.add(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record into the queue, once; the sender's own HTTP client and the access log are left out."""
        if threading.current_thread() is self._sender or record.name == _ACCESS_LOG:
            return
        if vars(record).get(_SEEN) is self:  # it came by two loggers, the server's and the root
            return
        vars(record)[_SEEN] = self
        try:
            entry = self._entry(record)
        except Exception:  # noqa: BLE001  # an argument whose __str__ raises must not reach the application
            self.handleError(record)
            return
        with self._changed:
            self._append(entry)
            if self._sender is None or not self._sender.is_alive():
                self._start_sender()
            elif len(self._queue) == 1 or self._queued_bytes - entry.size < _BATCH_BYTES <= self._queued_bytes:
                self._changed.notify_all()

    def force_flush(self, timeout_s: float) -> bool:
        """Wait until every line queued so far is delivered or lost; False if that takes longer than `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            try:
                while self._queue or self._sending:
                    if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                        return False
                return True
            finally:
                self._hurry = False

    def flush(self) -> None:
        """Do nothing: logging calls this while it holds locks that the delivery may need. `force_flush` waits."""

    def close(self) -> None:
        """Let logging forget the handler; what is queued is delivered all the same.

        A server's dictConfig calls this at start for every handler there is, so it is no end: `drain` is.
        """
        super().close()

    def createLock(self) -> None:  # noqa: N802  # logging's name
        """Have no lock of logging's: the queue has its own, and delivery must not wait for an application's thread."""
        self.lock = None

    def drain(self, timeout_s: float = _CLOSE_S) -> None:
        """Deliver what is queued, for `timeout_s` at most, count the rest as lost, end the thread. Safe to call twice."""
        with self._changed:
            if not self._queue and not self._sending:
                timeout_s = 0.0
        self.force_flush(timeout_s)
        with self._changed:
            lost = len(self._queue) + self._sending
            self._queue.clear()
            self._queued_bytes = 0
            self._sending = 0
            self._generation += 1
            self._sender = None
            self._changed.notify_all()
        if lost:
            self._on_drop("shutdown", lost)
            _complain(f"{lost} log lines were given up: Loki at {self._shown_url} did not take them in time")

    def _reset(self) -> None:
        """Start empty: at first, and in the child of a fork, whose copied locks may be held by threads it lacks."""
        self.emitter.close()
        self._changed = threading.Condition(threading.RLock())  # a signal handler may log while its thread holds it
        self._queue: deque[_Entry] = deque()
        self._queued_bytes = 0
        self._sending = 0
        self._hurry = False
        self._last_ns = 0
        self._generation = 0
        self._sender = None
        self._down = False
        self._quiet_until = 0.0

    def _entry(self, record: logging.LogRecord) -> _Entry:
        line = self.format(record)
        size = len(line.encode("utf-8", "replace"))
        if size > MAX_LINE_BYTES:
            line = line.encode("utf-8", "replace")[: MAX_LINE_BYTES - 100].decode("utf-8", "ignore") + "… (cut)"
            size = MAX_LINE_BYTES
        return _Entry(
            level_of(record.levelno), _nanoseconds(record.created), line, self._metadata(), size + _OVERHEAD_BYTES
        )

    def _append(self, entry: _Entry) -> None:
        self._queue.append(entry)
        self._queued_bytes += entry.size
        dropped = 0
        while self._queued_bytes > self._max_queue_bytes and len(self._queue) > 1:
            self._queued_bytes -= self._queue.popleft().size
            dropped += 1
        if dropped:
            self._on_drop("queue_full", dropped)

    def _start_sender(self) -> None:
        sender = threading.Thread(target=self._run, args=(self._generation,), name="gwz-loki-sender", daemon=True)
        try:
            sender.start()
        except RuntimeError:  # the interpreter is shutting down: close() counts what stays in the queue
            return
        self._sender = sender

    def _run(self, generation: int) -> None:
        """Take batches and deliver them until `drain` starts a new generation."""
        while batch := self._take(generation):
            self._deliver(batch, generation)
            with self._changed:
                if generation == self._generation:
                    self._sending = 0
                self._changed.notify_all()

    def _take(self, generation: int) -> list[_Entry]:
        """Wait for lines; an empty list means that this thread is no longer wanted."""
        with self._changed:
            while generation == self._generation:
                if self._queue:
                    if not self._hurry and self._queued_bytes < _BATCH_BYTES:
                        self._changed.wait(_LINGER_S)
                    return self._cut_batch() if generation == self._generation else []
                self._changed.wait(1.0)
            return []

    def _cut_batch(self) -> list[_Entry]:
        batch: list[_Entry] = []
        size = 0
        while self._queue and (not batch or size + self._queue[0].size <= _BATCH_BYTES):
            entry = self._queue.popleft()
            size += entry.size
            batch.append(entry)
        self._queued_bytes -= size
        self._sending = len(batch)
        return batch

    def _deliver(self, batch: list[_Entry], generation: int) -> None:
        """Send `batch` until Loki has it or refuses it."""
        body = gzip.compress(self._payload(batch), compresslevel=1)
        delay, longest = _BACKOFF_S
        while generation == self._generation:
            problem, wait_s = self._post(body, len(batch))
            if problem is None:
                self._down = False
                return
            if not self._down:
                self._down = True
                _complain(f"{problem}; lines are kept, up to {self._max_queue_bytes >> 20} MiB, until it answers")
            self._pause(wait_s or delay * random.uniform(0.5, 1.0), generation)  # noqa: S311  # jitter, not a secret
            delay = min(delay * 2, longest)

    def _pause(self, seconds: float, generation: int) -> None:
        """Wait as long as asked, however many lines come in meanwhile; only `drain` ends it."""
        until = time.monotonic() + seconds
        with self._changed:
            while generation == self._generation and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _post(self, body: bytes, lines: int) -> tuple[str | None, float | None]:
        """One attempt: what went wrong, if it is worth another, and how long Loki asks to wait."""
        try:
            answer = self.emitter.session.post(
                self.emitter.url,
                data=body,
                headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
                timeout=_TIMEOUT_S,
                allow_redirects=False,  # it would turn the push into a GET, and a login page into success
            )
        except Exception as error:  # noqa: BLE001  # requests lets those of its parts through; the sender must live
            self.emitter.close()
            return f"Loki at {self._shown_url} cannot be reached ({type(error).__name__}): check GWZ_LOKI_URL", None
        if answer.status_code == _ACCEPTED:
            return None, None
        words = answer.content[:300].decode("utf-8", "replace").strip()
        if answer.status_code in _REFUSED:
            self._on_drop("rejected", lines)
            self._complain_of_refusal(f"{lines} lines ({answer.status_code}): {words}")
            return None, None
        asked = answer.headers.get("Retry-After", "")
        wait_s = min(float(asked), _BACKOFF_S[1]) if asked.isascii() and asked.isdigit() else None
        return f"Loki at {self._shown_url} answers {answer.status_code} ({words}): check GWZ_LOKI_URL", wait_s

    def _complain_of_refusal(self, what: str) -> None:
        """Say it once a minute: the counter has the sum."""
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _REFUSAL_QUIET_S
            _complain(f"Loki at {self._shown_url} refused {what}")

    def _payload(self, batch: list[_Entry]) -> bytes:
        """The push request of a batch, a stream per level."""
        streams: dict[str, list[list[Any]]] = {}
        for entry in batch:
            nanoseconds = str(self._distinct(entry.timestamp_ns))
            streams.setdefault(entry.level, []).append([nanoseconds, entry.line, entry.metadata])
        return json.dumps(
            {
                "streams": [
                    {"stream": {**self._labels, logs.LEVEL.name: level}, "values": values}
                    for level, values in streams.items()
                ]
            }
        ).encode()

    def _distinct(self, timestamp_ns: int) -> int:
        """A nanosecond for this line alone, as Loki drops an equal line of the same one; a clock set back is believed."""
        if 0 <= self._last_ns - timestamp_ns < _CLOCK_STEP_NS:
            timestamp_ns = self._last_ns + 1
        self._last_ns = timestamp_ns
        return timestamp_ns


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _nanoseconds(created: float) -> int:
    """A float holds the time to the microsecond; the digits below it are noise."""
    return round(created * 1e6) * 1000


def _iso(created: float) -> str:
    seconds, fraction = divmod(created, 1)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(fraction * 1e6):06d}Z"


def _complain(sentence: str) -> None:
    """Write one line to stderr: a logger could lead back here."""
    sys.stderr.write(f"gwz-instrument: {sentence}\n")


_handlers: "weakref.WeakSet[LokiHandler]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for handler in list(_handlers):
        handler._reset()  # noqa: SLF001  # this module's own class


def _drain_all() -> None:
    for handler in list(_handlers):
        handler.drain()


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_drain_all)
