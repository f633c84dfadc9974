"""`instrument()`: puts the parts together, and the handle that flushes and closes them."""

import atexit
import logging
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .settings import Settings, SettingsError

if TYPE_CHECKING:  # all of this loads when it is needed: importing the package stays cheap
    from prometheus_client.registry import CollectorRegistry

    from .exchange import Exchange
    from .guard import Guard
    from .http import Parts
    from .labels import HttpLabels
    from .logs import LokiHandler
    from .metrics import Collectors
    from .recording import Recording
    from .routes import RouteTemplates
    from .traces import Traces

_EXIT_S: Final = 1.4
"""What the stop of an application, or the exit of its process, may take with everything down."""
_SECOND_TRY_S: Final = 0.1
"""What an exit gets that follows a stop whose deliveries failed."""
_JUST_NOW_S: Final = 2.0
_SPANS_S: Final = 0.4
"""What the spans get even when the lines took all the time."""
_LOGGERS: Final = ("", "uvicorn")
"""The root logger, and the server's, which does not propagate to it; its access log is left alone."""


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Telemetry:
    """What `instrument()` has set up."""

    settings: Settings
    registry: "CollectorRegistry"
    _traces: "Traces | None"
    _logs: "LokiHandler | None"
    _guard: "Guard"
    _recording: "Recording | None"

    def force_flush(self, timeout_s: float = 5.0) -> bool:
        """Send every finished span and written line; False if something is left, or was lost, after `timeout_s`."""
        until = time.monotonic() + timeout_s
        spans_sent = self._traces is None or self._traces.force_flush(timeout_s)
        lines_sent = self._logs is None or self._logs.force_flush(max(0.0, until - time.monotonic()))
        return spans_sent and lines_sent

    def shutdown(self, timeout_s: float | None = None) -> None:
        """Send what is left, for `timeout_s` at most, count the rest as lost, and stop; metrics can still be scraped.

        The callbacks of gauges are asked no more, unless another application feeds the same registry.

        Without a timeout it takes two seconds at most, and longer only while Loki goes on taking lines. Safe to call twice.
        """
        from .recording import close  # noqa: PLC0415

        self._guard.handler = None
        if self._recording is not None:
            close(self._recording)
        if self._logs is not None:
            _detach(self._logs)
        self._shut_down(time.monotonic() + (_EXIT_S if timeout_s is None else timeout_s), patient=timeout_s is None)

    def _reopen(self) -> None:
        """Ask the callbacks of gauges again, if they were let be: the application is instrumented once more."""
        from .recording import reopen  # noqa: PLC0415

        if self._recording is not None:
            reopen(self._recording)

    def attach(self, thing: Any, *, database: str | None = None) -> None:
        """Have an engine, a Redis client or httpx recorded; see `attach.attach`, which says what is raised."""
        from .attach import attach  # noqa: PLC0415
        from .metrics import collectors_of  # noqa: PLC0415

        attach(thing, collectors_of(self.registry), database=database)

    def _shut_down(self, until: float, *, patient: bool) -> None:
        """Stop by `until`; `patient`, go on for as long as Loki takes line after line."""
        if self._logs is not None:
            left = max(0.0, until - time.monotonic())
            least = min(_SPANS_S, left / 2) if self._traces else 0.0
            self._logs.drain(None if patient else left - least, patience_s=left - least)
        if self._traces is not None:
            self._traces.shutdown(max(_SPANS_S if patient else 0.0, until - time.monotonic()))


def instrument(
    app: Any,
    settings: Settings | None = None,
    *,
    registry: "CollectorRegistry | None" = None,
    **overrides: Any,
) -> Telemetry:
    """Make `app`, a FastAPI or Starlette application, emit metrics, spans and log lines.

    Idempotent: a second call for the same application returns the first one's handle. Settings come from
    `overrides`, `settings` or the environment, and the defaults, in this order. The metrics go into `registry`,
    prometheus_client's own by default. Raises TypeError for what is no application, SettingsError for wrong
    settings and CollisionError when the application already has a metric or a route of ours, and has then
    changed nothing; afterwards nothing of ours raises into the application.

    `monitoring` among the overrides says where the JSON endpoints have their numbers from, `"local"` or
    `"prometheus"`, or `False` for none of them.
    """
    from . import takeover  # noqa: PLC0415

    takeover.check_app(app)
    takeover.check_registry(registry)
    with _lock:
        if (existing := _instrumented.get(app)) is not None:
            existing._reopen()  # noqa: SLF001  # of this module
            return existing
        with ExitStack() as undo:
            telemetry = _set_up(app, _checked(app, settings, overrides), registry, undo)
            undo.pop_all()
        _instrumented[app] = telemetry
        # Exit hooks run in reverse: ours has to come before those of what was just loaded, which would wait for longer.
        atexit.unregister(_shut_all_down)
        atexit.register(_shut_all_down)
    return telemetry


def _shut_all_down() -> None:
    """Stop every application's telemetry, all within the time of one."""
    hopeless = _stopping.failed and time.monotonic() - _stopping.ended_s < _JUST_NOW_S
    until = time.monotonic() + (_SECOND_TRY_S if hopeless else _EXIT_S)
    for number, telemetry in enumerate(_instrumented.values()):
        telemetry._shut_down(until, patient=number == 0 and not hopeless)  # noqa: SLF001  # of this module


def _flush_at_stop(traces: "Traces | None", handler: "LokiHandler | None") -> None:
    """Send what is left when an application has stopped: after SIGTERM, uvicorn ends without any exit hook.

    Spans and lines at the same time, so that each has the whole of it.
    """
    with ThreadPoolExecutor(1, "gwz-stop") as pool:
        spans = pool.submit(traces.force_flush, _EXIT_S) if traces is not None else None
        lines_sent = handler is None or handler.drain(patience_s=_EXIT_S)
        spans_sent = spans is None or spans.result()
    _stopping.ended_s, _stopping.failed = time.monotonic(), not (lines_sent and spans_sent)


@dataclass(slots=True)
class _Stopping:
    """What became of the last stop of an application."""

    ended_s: float = 0.0
    failed: bool = False


def _checked(app: Any, settings: Settings | None, overrides: dict[str, Any]) -> Settings:
    """The settings in force; one SettingsError for everything that is wrong with them here."""
    from . import multiprocess, takeover  # noqa: PLC0415
    from .monitoring import setup  # noqa: PLC0415

    problems = multiprocess.problems()
    try:
        resolved = Settings.resolve(settings, overrides)
    except SettingsError as error:
        raise SettingsError([*error.problems, *problems]) from None
    problems += takeover.middleware_problems(app, resolved.remove_middleware) + setup.problems(resolved)
    if problems:
        raise SettingsError(problems)
    return resolved


def _set_up(app: Any, settings: Settings, registry: "CollectorRegistry | None", undo: ExitStack) -> Telemetry:
    """Make every part, then join them to the application; `undo` takes back what was done, should a step fail."""
    import prometheus_client  # noqa: PLC0415

    from . import semconv, taken_metrics, takeover, traces  # noqa: PLC0415
    from .exposition import PATH  # noqa: PLC0415
    from .guard import Guard, attach  # noqa: PLC0415
    from .metrics import collectors_of  # noqa: PLC0415
    from .monitoring import door, setup  # noqa: PLC0415
    from .runtime import register_process_collectors  # noqa: PLC0415

    registry = registry or prometheus_client.REGISTRY
    collectors = collectors_of(registry)
    undo.callback(_forget, registry, collectors)
    monitoring = setup.is_wanted(settings)
    paths = (PATH, *door.PATHS) if monitoring else (PATH,)
    takeover.make_room(
        app, registry, collectors, entries=semconv.METRICS, paths=paths, replace=settings.replace_existing
    )
    takeover.remove_middleware(app, settings.remove_middleware)
    handler = _loki_handler(settings, collectors, undo)
    spans_out = traces.start(settings, count=collectors.tell)
    if spans_out is not None:
        undo.callback(spans_out.shutdown, 0.0)
    if collectors not in taken_metrics.registered(registry):
        registry.register(collectors)
    register_process_collectors(registry)
    guard = Guard(
        registry=registry,
        collectors=collectors,
        entries=semconv.METRICS,
        replace=settings.replace_existing,
        handler=handler,
        loggers=_LOGGERS,
    )
    if handler is not None:
        for name in _LOGGERS:
            attach(logging.getLogger(name), handler)
    parts = _parts(app, settings, registry, collectors, spans_out, handler, guard)
    if monitoring and parts.recording is not None:
        opened = setup.open_door(app, settings, collectors, parts.recording, handler, spans_out)
        parts = replace(parts, door=opened)
    _wrap(app, parts)
    return Telemetry(settings, registry, spans_out, handler, guard, parts.recording)


def _parts(  # noqa: PLR0917  # each is made where it can be undone, and goes to one place only
    app: Any,
    settings: Settings,
    registry: "CollectorRegistry",
    collectors: "Collectors",
    spans_out: "Traces | None",
    handler: "LokiHandler | None",
    guard: "Guard",
) -> "Parts":
    from . import multiprocess  # noqa: PLC0415
    from .exposition import Exposition  # noqa: PLC0415
    from .http import Parts  # noqa: PLC0415
    from .labels import HttpLabels  # noqa: PLC0415
    from .providers import watch_providers  # noqa: PLC0415
    from .recording import install, make_recording  # noqa: PLC0415
    from .routes import RouteTemplates  # noqa: PLC0415
    from .semconv import http as semconv_http  # noqa: PLC0415
    from .server_span import ServerSpans  # noqa: PLC0415
    from .upkeep import Upkeep  # noqa: PLC0415

    collectors.child(semconv_http.APP_INFO, settings.service_name).set(1)
    templates, labels = RouteTemplates(app), HttpLabels(collectors, max_paths=settings.max_paths)
    recording = make_recording(
        settings,
        collectors,
        tracer=None if spans_out is None else spans_out.tracer,
        lines=handler,
        endpoint_of=partial(
            _endpoint_of, weakref.ref(templates), labels
        ),  # which knows the application, and would keep it
        **({} if spans_out is None else {"end_span": spans_out.end}),
    )
    if not multiprocess.enabled():  # one worker's share of the calls is no provider's health
        recording.observers.append(watch_providers(collectors, settings))
    install(recording)
    return Parts(
        app_name=settings.service_name,
        templates=templates,
        collectors=collectors,
        exposition=Exposition(registry, collectors, settings.metrics_token),
        labels=labels,
        spans=None if spans_out is None else ServerSpans(spans_out, settings.slow_request_s),
        lines=handler,
        recording=recording,
        exclude_paths=settings.exclude_paths,
        upkeep=Upkeep(guard, collectors),
        flush=partial(_flush_at_stop, spans_out, handler),
    )


def _endpoint_of(find: "weakref.ref[RouteTemplates]", labels: "HttpLabels", exchange: "Exchange | None") -> str:
    """The route template of a request, as its own metrics will have it."""
    templates = None if exchange is None else find()
    if templates is None or exchange is None:
        return labels.no_request
    return labels.path_under_way(templates.of(exchange.scope))


def _wrap(app: Any, parts: "Parts") -> None:
    """Stand outside the whole middleware stack, that of Starlette's own error handler included."""
    from .foreign_spans import replace_native  # noqa: PLC0415
    from .http import TelemetryMiddleware  # noqa: PLC0415

    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: TelemetryMiddleware(build(), parts)
    if app.middleware_stack is not None:  # the application has started: its lifespan is calling us
        app.middleware_stack = TelemetryMiddleware(app.middleware_stack, parts)
    if parts.spans is not None:
        replace_native(app)


def _loki_handler(settings: Settings, collectors: "Collectors", undo: ExitStack) -> "LokiHandler | None":
    """The handler of the application's and the server's records; None without a Loki.

    Request lines go to it directly: the console has the server's own access log.
    """
    if settings.loki_url is None:
        return None
    from .exchange import metadata  # noqa: PLC0415
    from .logs import PUSH_PATH, LokiHandler  # noqa: PLC0415

    handler = LokiHandler(
        settings.loki_url.rstrip("/") + PUSH_PATH,
        tags=settings.stream_labels,
        token=settings.loki_token,
        metadata=metadata,
        count=collectors.tell,
        max_queue_bytes=settings.log_queue_bytes,
    )
    undo.callback(_detach, handler)
    return handler


def _detach(handler: "LokiHandler") -> None:
    for name in _LOGGERS:
        logging.getLogger(name).removeHandler(handler)


def _forget(registry: "CollectorRegistry", collectors: "Collectors") -> None:
    """Take the collectors out again, if no other application has them."""
    if not any(telemetry.registry is registry for telemetry in _instrumented.values()):
        with suppress(KeyError):
            registry.unregister(collectors)


_lock = threading.RLock()
_stopping = _Stopping()
_instrumented: "weakref.WeakKeyDictionary[Any, Telemetry]" = weakref.WeakKeyDictionary()
