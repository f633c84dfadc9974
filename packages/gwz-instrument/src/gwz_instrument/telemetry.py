"""`instrument()`: puts the parts together, and the handle that flushes and closes them."""

import atexit
import logging
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY
from prometheus_client.registry import CollectorRegistry

from . import http, logs, traces
from .metrics import Collectors
from .routes import RouteTemplates
from .semconv import health
from .settings import Settings

_SERVER_LOGGER = "uvicorn"  # it does not propagate to the root logger; its access log is left alone


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Telemetry:
    """What `instrument()` has set up."""

    settings: Settings
    registry: CollectorRegistry
    _traces: traces.Traces | None
    _logs: logs.LokiHandler | None

    def force_flush(self, timeout_s: float = 5.0) -> bool:
        """Send every finished span and written line; False if something is left after `timeout_s`."""
        spans_sent = self._traces is None or self._traces.force_flush(timeout_s)
        lines_sent = self._logs is None or self._logs.force_flush(timeout_s)
        return spans_sent and lines_sent

    def shutdown(self) -> None:
        """Send what is left and stop; metrics can still be scraped. Safe to call twice."""
        if self._logs is not None:
            self._logs.drain()
        if self._traces is not None:
            self._traces.shutdown()


def instrument(
    app: Any,
    settings: Settings | None = None,
    *,
    registry: CollectorRegistry = REGISTRY,
    **overrides: Any,
) -> Telemetry:
    """Make `app`, a FastAPI or Starlette application, emit metrics, spans and log lines.

    Idempotent: a second call for the same application returns the first one's handle. Settings come from
    `overrides`, the environment and the defaults, in this order. Raises SettingsError for wrong settings
    and NameTakenError when the registry already holds a metric of the contract; afterwards nothing of
    ours raises into the application.
    """
    if (existing := _instrumented.get(app)) is not None:
        return existing
    settings = settings or Settings.load(**overrides)
    collectors = Collectors(settings.service_name)
    collectors.register(registry)
    spans_out = traces.start(settings)
    handler = _loki_handler(settings, collectors)
    _wrap(
        app,
        templates=RouteTemplates(app),
        collectors=collectors,
        registry=registry,
        tracer=None if spans_out is None else spans_out.tracer,
        log_handler=handler,
        exclude_paths=settings.exclude_paths,
    )
    telemetry = Telemetry(settings, registry, spans_out, handler)
    _instrumented[app] = telemetry
    atexit.register(telemetry.shutdown)
    return telemetry


def _wrap(app: Any, **parts: Any) -> None:
    """Stand outside the whole middleware stack, that of Starlette's own error handler included."""
    build = app.build_middleware_stack

    def build_with_telemetry() -> http.ASGIApp:
        return http.TelemetryMiddleware(build(), **parts)

    app.build_middleware_stack = build_with_telemetry
    if app.middleware_stack is not None:  # the application has started: its lifespan is calling us
        app.middleware_stack = http.TelemetryMiddleware(app.middleware_stack, **parts)
    native = getattr(app, "_telemetry", None)  # FastAPI 0.142 and later would add a server span of its own
    if isinstance(native, dict):
        native["tracing"] = False


def _loki_handler(settings: Settings, collectors: Collectors) -> logs.LokiHandler | None:
    """The handler of the application's and the server's records; None without a Loki.

    Request lines go to it directly: the console has the server's own access log.
    """
    if settings.loki_url is None:
        return None
    handler = logs.LokiHandler(
        settings.loki_url.rstrip("/") + logs.PUSH_PATH,
        tags=settings.stream_labels,
        metadata=http.metadata,
        on_drop=lambda reason, lines: collectors.count(health.DROPPED, "logs", reason, amount=lines),
    )
    for logger in (logging.getLogger(), logging.getLogger(_SERVER_LOGGER)):
        logger.addHandler(handler)
    return handler


_instrumented: "WeakKeyDictionary[Any, Telemetry]" = WeakKeyDictionary()
