"""The handler: what logging calls, on the thread of whoever logs. It only enqueues."""

import contextlib
import logging
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import logging_loki

from gwz_instrument.redact import redact
from gwz_instrument.semconv import health

from . import entry as entries
from . import processes
from .backlog import CLOSED, Backlog
from .connection import basic
from .entry import PLAIN, Entry, Metadata
from .lines import level_of
from .outage import Outage
from .sender import Sender, Target
from .values import SCALARS, text_of

__all__ = ["PUSH_PATH", "Count", "LokiHandler", "level_of", "no_metadata"]

Count = Callable[[str, str, int], None]
"""Called with `logs`, `delivered` or a reason of `gwz_telemetry_dropped_total`, and a number of lines."""

_SIGNAL: Final = "logs"
PUSH_PATH: Final = "/loki/api/v1/push"
MAX_QUEUE_BYTES: Final = 16 * 1024 * 1024
_PROGRESS_S: Final = 1.0
"""How long a Loki that has taken lines may take for more."""
_HOPELESS_S: Final = 0.3
_LONGEST_CLOSE_S: Final = 10.0
_ACCESS_LOG: Final = "uvicorn.access"  # it has whole query strings, and a request has its own line


def no_metadata() -> Metadata:
    """Structured metadata of a line that was written outside any request."""
    return {}


def no_count(_signal: str, _word: str, _number: int) -> None:
    """Count nothing."""


class LokiHandler(logging_loki.LokiHandler):  # type: ignore[misc]  # it ships no types
    """Sends records to Loki in batches from a thread of its own; the caller only enqueues.

    `url` is the full address of the push, as in python-logging-loki; the labels of the streams are `tags` and `level`,
    and nothing else. `token` is sent as a bearer token, `auth` as user and password. `metadata` is called for each
    record on the thread that logs; what it returns becomes structured metadata. `count` is told of every line.

    Guarantees: logging never blocks on the network and never raises; the queue holds at most `max_queue_bytes`, the
    oldest line goes first; every line is counted as delivered or by the reason it was lost; lines keep their order and
    their own time; after a fork the child sends its own lines and none of the parent's. `close`, which a server's
    dictConfig calls at start, ends nothing; `drain` and the exit of the process deliver what is queued, and what is
    logged after the exit's delivery is counted as lost.
    Raises ValueError for an address that is none and for another `version` than "1".
    """

    def __init__(
        self,
        url: str,
        tags: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        version: str | None = "1",
        *,
        token: str | None = None,
        metadata: Callable[[], Metadata] = no_metadata,
        count: Count = no_count,
        max_queue_bytes: int = MAX_QUEUE_BYTES,
    ) -> None:
        if version not in (None, "1"):
            raise ValueError(f"version is {version!r}: Loki has only the push API that python-logging-loki calls '1'")
        super().__init__(url, dict(tags or {}), auth, "1")
        labels = {self._label(name): text_of(value) for name, value in (tags or {}).items()}
        labels.pop("", None)
        self._target = _target(url, labels, auth, token)
        self._metadata = metadata
        self._count = count
        self._max_queue_bytes = max_queue_bytes
        self._seen = threading.local()
        self._gave_up = False
        self._lost = 0
        self._sender: Sender | None = None
        self.restart()
        processes.register(self)

    def handle(self, record: logging.LogRecord) -> bool:
        """Pass the record to `emit` if no filter objects; there is no lock to take."""
        if self.filters:
            passed = self.filter(record)
            if not passed:
                return False
            record = passed if isinstance(passed, logging.LogRecord) else record
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record into the queue, once; records of the sender's own thread and the access log are left out."""
        if get_ident() == self._sender_ident or record.name == _ACCESS_LOG:
            return
        seen = self._seen
        try:
            if seen.last() is record:  # it came by two loggers, the server's and the root
                return
        except AttributeError:
            pass
        seen.last = weakref.ref(record)
        try:
            entry = self._entry(record)
        except Exception as error:  # noqa: BLE001  # logging must not raise into the application
            self._outage.fault(error)
            self._tell(health.FAULT, 1)
            return
        self._put(entry)

    def write(
        self,
        *,
        level: int,
        logger: str,
        message: str,
        fields: Mapping[str, Any] | None = None,
        metadata: Metadata | None = None,
        exception: str | None = None,
        created: float | None = None,
    ) -> None:
        """Put a line into the queue that no logger has made; without `metadata`, the handler's own is asked for."""
        try:
            if fields and not SCALARS.issuperset(map(type, fields.values())):
                fields = {name: entries.scalar(value) for name, value in fields.items()}
            if metadata is None:
                metadata = self._current_metadata()
            created = time.time() if created is None else created
            entry = entries.make(created, level, logger, message, exception, None, fields, metadata)
        except Exception as error:  # noqa: BLE001  # as in `emit`
            self._outage.fault(error)
            self._tell(health.FAULT, 1)
            return
        self._put(entry)

    def force_flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until every line queued so far is delivered; False if one was lost or is still here after `timeout_s`."""
        lost = self._lost
        return self._backlog.wait_until_done(timeout_s) and self._lost == lost

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

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Count the record as lost; logging's own way is a traceback on stderr per record."""
        del record
        self._outage.fault(sys.exc_info()[1])
        self._tell(health.FAULT, 1)

    def drain(self, timeout_s: float | None = None, *, patience_s: float = processes.CLOSE_S) -> bool:
        """Deliver what is queued, count the rest as lost, end the thread; False if any was. Safe to call twice, and to log after.

        Without `timeout_s` this takes `patience_s` at most from a Loki that does not answer, and longer only while
        it takes line after line.
        """
        if self._ended:
            return True
        flushed = self._flush_while_it_helps(patience_s) if timeout_s is None else self.force_flush(timeout_s)
        ended = self._backlog
        self._begin()
        lost = ended.close(_HOPELESS_S if flushed else 0.0)
        self._gave_up = lost > 0
        if lost:
            self._tell(health.SHUTDOWN, lost)
            self._outage.given_up(lost)
        return not lost

    def end(self) -> None:
        """Take no more lines: count each as lost, from those that came since `drain` on. For the exit of the process."""
        self._ended = True
        lost = self._backlog.close()
        if lost:
            self._tell(health.SHUTDOWN, lost)
            self._outage.late()

    def hold_queue(self) -> None:
        """Keep the queue as it is while the process forks."""
        self._held = self._backlog
        self._held.lock.acquire()

    def release_queue(self) -> None:
        """Let the queue go on after a fork."""
        self._held.lock.release()

    def restart(self) -> None:
        """Start empty, as in the child of a fork: lines and connection are the parent's."""
        if self._sender is not None:
            self._sender.abandon()
        self._outage = Outage(self._target.place, self._max_queue_bytes)
        self._ended = False
        self._begin()

    def _begin(self) -> None:
        self._backlog = Backlog(self._max_queue_bytes)
        self._sender = None
        self._sender_ident: int | None = None
        self._starting = threading.Lock()

    def _flush_while_it_helps(self, patience_s: float) -> bool:
        """Give Loki the time that an exit may take, and more only while it takes lines."""
        until = time.monotonic() + _LONGEST_CLOSE_S
        window = min(_HOPELESS_S, patience_s) if self._gave_up else patience_s
        while True:
            before = self._backlog.finished
            if self.force_flush(window):
                return True
            if self._backlog.finished == before or time.monotonic() > until:
                return False
            window = _PROGRESS_S

    def _put(self, entry: Entry) -> None:
        dropped = self._backlog.put(entry)
        if dropped:
            if dropped == CLOSED:
                self._put_after_close(entry)
                return
            self._outage.lost(dropped)
            self._tell(health.QUEUE_FULL, dropped)
        if self._sender_ident is None:
            self._start()

    def _put_after_close(self, entry: Entry) -> None:
        if self._ended:
            self._tell(health.SHUTDOWN, 1)
            self._outage.late()
        else:  # closed by `drain`, a moment ago; another has taken its place
            self._put(entry)

    def _start(self) -> None:
        """Start the thread that sends, once."""
        if not self._starting.acquire(blocking=False):  # another thread does, or a signal handler within it
            return
        try:
            if self._sender_ident is None:
                self._sender = Sender(self._target, self._backlog, self._outage, self._tell)
                self._sender_ident = self._sender.start()
                processes.drain_in_multiprocessing_child()
        except Exception as error:  # noqa: BLE001  # as in `emit`
            self._outage.fault(error)
        finally:
            self._starting.release()

    def _entry(self, record: logging.LogRecord) -> Entry:
        metadata: Metadata | None = None if self._metadata is no_metadata else self._current_metadata()
        if len(vars(record)) > PLAIN or self.formatter is not None:
            return self._rich_entry(record, metadata)
        message = record.msg if type(record.msg) is str and not record.args else entries.message_of(record)
        return entries.of_record(record, message, None, metadata)

    def _rich_entry(self, record: logging.LogRecord, metadata: Metadata | None) -> Entry:
        """The entry of a record with extras, or for a handler with a formatter."""
        if tags := entries.tags_of(record):
            metadata = {
                **(metadata or {}),
                **{self._label(redact(text_of(name))): text_of(value) for name, value in tags.items()},
            }
        if self.formatter is None and entries.is_structlog(record):
            return entries.of_structlog(record, metadata)
        message = entries.message_of(record) if self.formatter is None else self._formatted(record)
        return entries.of_record(record, message, entries.extras(record), metadata)

    def _formatted(self, record: logging.LogRecord) -> str:
        try:
            return text_of(self.format(record))
        except Exception:  # noqa: BLE001  # the application's formatter
            return entries.message_of(record)

    def _current_metadata(self) -> Metadata:
        try:
            return self._metadata()
        except Exception:  # noqa: BLE001  # a line without its ids is better than none
            return {}

    def _label(self, name: str) -> str:
        """A label's name by python-logging-loki's rules, and valid for Loki."""
        label = str(self.emitter.format_label(text_of(name)))
        return f"_{label}" if label[:1].isdigit() else label

    def _tell(self, word: str, lines: int) -> None:
        if word != health.DELIVERED:
            self._lost += lines
        with contextlib.suppress(Exception):  # a broken counter must not cost lines, and there is nobody to tell
            self._count(_SIGNAL, word, lines)


def _target(url: str, labels: Mapping[str, str], auth: tuple[str, str] | None, token: str | None) -> Target:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"url is {redact(url)!r}: it must be the full push address, http://loki:3100{PUSH_PATH}")
    if token is not None and not (token.isascii() and token.isprintable()):
        raise ValueError("token has characters that no header can carry: check GWZ_LOKI_TOKEN for a line break")
    if auth is None and parts.username is not None:
        auth = (unquote(parts.username), unquote(parts.password or ""))
    authorization = f"Bearer {token}" if token else None if auth is None else basic(*auth)
    place = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return Target(urlunsplit(parts._replace(fragment="")), place, authorization, labels)
