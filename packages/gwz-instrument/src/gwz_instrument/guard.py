"""Puts our collectors, log handler and loggers back where the application removed them, and says so once."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.registry import Collector, CollectorRegistry

from . import taken_metrics
from .runtime import register_process_collectors
from .semconv import Metric
from .takeover import CollisionError, Collisions

_SPEAKERS = ("gwz_instrument.", "opentelemetry.exporter.", "opentelemetry.sdk.")
"""Whose loggers say that telemetry is lost; with their children, hence the dot."""
_LOG = logging.getLogger("gwz_instrument")


def attach(logger: logging.Logger, handler: logging.Handler) -> bool:
    """Give `handler` the logger's records, unless one of its kind has them already; whether it got them."""
    if any(type(other) is type(handler) for other in logger.handlers):
        return False
    logger.addHandler(handler)
    return True


@dataclass(slots=True, kw_only=True)
class Guard:
    """What must stay in place once `instrument()` has put it there.

    `entries` are the names that are ours; `replace` says whether collectors that the application has given such
    a name since may be taken out. `loggers` are names, the root logger's is empty.
    """

    registry: CollectorRegistry
    collectors: Collector
    entries: tuple[Metric, ...]
    replace: bool
    handler: logging.Handler | None
    loggers: tuple[str, ...]
    _seen: list[Collector] | None = field(default=None, init=False)
    """What the registry held after it was last looked at."""
    _told: set[str] = field(default_factory=set, init=False)
    _off: frozenset[str] = field(default_factory=lambda: frozenset(logger.name for logger in _disabled()), init=False)
    """The loggers that the application had disabled by then: it does not want to hear them."""
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)

    def put_back(self) -> None:
        """Put back what is missing; cheap when nothing is, thread-safe, never raises."""
        try:
            with self._lock:
                removed = [*self._put_back_metrics(), *self._put_back_handler(), *self._enable_loggers()]
            self._report(removed)
            self._warn_of_doubled_lines()
        except Exception:  # noqa: BLE001  # a scrape goes on without it
            if self._is_new("fault"):
                _LOG.exception("gwz-instrument could not put back what the application has removed")

    def _put_back_metrics(self) -> Iterator[str]:
        held = list(taken_metrics.registered(self.registry))
        if held == self._seen:  # the usual case; what follows would read /proc at every scrape
            return
        if self.collectors not in held and self._register():
            yield "our metrics"
        if register_process_collectors(self.registry):
            yield "process_* and python_*"
        self._seen = list(taken_metrics.registered(self.registry))

    def _register(self) -> bool:
        """Join the registry; where the application has taken our names since, that is possible only if ours may replace them."""
        taken = taken_metrics.find(self.registry, self.collectors, self.entries)
        if taken and not self.replace:
            if self._is_new("taken"):
                _LOG.error("our metrics are gone from the registry: %s", CollisionError(Collisions(taken)))
            return False
        taken_metrics.unregister(self.registry, taken)
        self.registry.register(self.collectors)
        return True

    def _put_back_handler(self) -> Iterator[str]:
        for name in self.loggers:
            logger = logging.getLogger(name)
            # A server that sets up its own loggers when it starts is no news.
            if self.handler is not None and attach(logger, self.handler) and logger is logger.root:
                yield "the log handler of the root logger"

    def _enable_loggers(self) -> Iterator[str]:
        """A logging configuration disables every logger that it does not name, unless it is told otherwise."""
        disabled = [logger for logger in _disabled() if logger.name not in self._off]
        for logger in disabled:
            logger.disabled = False
        if disabled:
            yield "the loggers of gwz-instrument and the exporters (disable_existing_loggers=False leaves them enabled)"

    def _report(self, removed: list[str]) -> None:
        if news := [what for what in removed if self._is_new(what)]:
            _LOG.warning(
                "removed since instrument() and put back: %s. To avoid this, call instrument(app) after "
                "the code that resets the registry or the logging",
                ", ".join(news),
            )

    def _warn_of_doubled_lines(self) -> None:
        # Another application's of this process is of our own kind, and a record that has been taken once is not taken again.
        others = [type(handler) for handler in logging.getLogger().handlers if type(handler) is not type(self.handler)]
        loki = [kind for kind in others if "loki" in kind.__name__.lower()]
        if self.handler is not None and loki and self._is_new("doubled"):
            _LOG.warning(
                "every log line will be in Loki twice: the root logger also has a %s.%s; remove one of the two, "
                "ours by leaving GWZ_LOKI_URL unset",
                loki[0].__module__,
                loki[0].__qualname__,
            )

    def _is_new(self, what: str) -> bool:
        """Whether `what` has not been told before; it has then."""
        with self._lock:
            new = what not in self._told
            self._told.add(what)
        return new


def _disabled() -> Iterator[logging.Logger]:
    """The loggers that say that telemetry is lost, and cannot."""
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and logger.disabled and f"{logger.name}.".startswith(_SPEAKERS):
            yield logger
