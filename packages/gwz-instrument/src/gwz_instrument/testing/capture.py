"""What the fixture `telemetry` gives: numbers, spans and lines of a test, and assertions that say what is there."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

import prometheus_client
from opentelemetry.sdk.trace import ReadableSpan
from prometheus_client.registry import CollectorRegistry

from gwz_instrument import recording as recordings
from gwz_instrument import telemetry as wiring
from gwz_instrument.foreign_spans import replace_native
from gwz_instrument.http import Parts, TelemetryMiddleware
from gwz_instrument.judge import Emitted, EmittedSpan, Signals, judge
from gwz_instrument.logs import LokiHandler
from gwz_instrument.recording import Recording
from gwz_instrument.semconv import logs
from gwz_instrument.server_span import ServerSpans
from gwz_instrument.settings import Settings
from gwz_instrument.telemetry import Telemetry

from .lines import Line, MemoryHandler, muted
from .series import Series, listed, series_of, texts, written
from .tracing import captured_spans, in_memory

_NOTHING_EXPECTED: Final = Signals((), (), (), ())
_LOGGERS: Final = ("", "uvicorn")
_OFFLINE: Final[dict[str, Any]] = {"otlp_endpoint": None, "otlp_traces_endpoint": None, "loki_url": None}
_OF_AN_APP: Final = ("build_middleware_stack", "middleware_stack", "user_middleware")


class Capture:
    """Metrics, spans and log lines of every instrumented application, while it is open."""

    def __init__(self, spans: list[ReadableSpan], lines: MemoryHandler, undo: ExitStack) -> None:
        self._spans = spans
        self._handler = lines
        self._undo = undo
        self._registries: list[CollectorRegistry] = []
        self._before = self._now()

    def instrument(self, app: Any, settings: Settings | None = None, **overrides: Any) -> Telemetry:
        """Instrument `app` for this test alone, with a registry of its own; one that is instrumented stays as it is.

        Takes what `gwz_instrument.instrument` takes and raises what it raises; addresses of collectors are left out.
        """
        known = wiring._instrumented.get(app)  # noqa: SLF001  # of this package
        if known is None:
            overrides.setdefault("registry", CollectorRegistry())
            self._undo.callback(_restore, app, _state(app), list(recordings._installed))  # noqa: SLF001  # as above
            known = wiring.instrument(app, settings, **{**_OFFLINE, **overrides})
            self._undo.callback(known.shutdown, 0.0)
            recordings._installed[:] = [_captured(known_one) for known_one in recordings._installed]  # noqa: SLF001
            _replace_native_spans(app, self._undo)
        if known.registry not in self._registries:
            self._registries.append(known.registry)
        return known

    def value(self, name: str, **labels: object) -> float:
        """The sum of the series of `name` that have these labels; AssertionError if there is none.

        `name` is that of a series: of a histogram `…_count`, `…_sum` or `…_bucket`. The application's own count too.
        """
        now = self._now()
        found = now.matching(name, texts(labels))
        if not found:
            raise AssertionError(now.none_matches(name, texts(labels)))
        return sum(found.values())

    def increase(self, name: str, **labels: object) -> float:
        """By how much `value` has grown since the test began; 0 where nothing was counted.

        AssertionError for a name or a label that no metric has, lest a slip of the pen looks like a zero.
        """
        found = self._now().matching(name, texts(labels))
        return sum(number - self._before.numbers.get(key, 0.0) for key, number in found.items())

    def spans(self, name: str | None = None, **attributes: object) -> list[ReadableSpan]:
        """The spans that have ended, in that order; of this `name`, with these attributes (`_` stands for `.`)."""
        return [span for span in list(self._spans) if _is_span(span, name, attributes)]

    def span(self, name: str | None = None, **attributes: object) -> ReadableSpan:
        """The one span that fits; AssertionError if there are none or several."""
        found = self.spans(name, **attributes)
        if len(found) == 1:
            return found[0]
        raise AssertionError(
            _not_one("span", {"name": name, **attributes}, len(found), [_shown(span) for span in list(self._spans)])
        )

    def lines(
        self, *, level: str | None = None, message: str | None = None, logger: str | None = None, **fields: object
    ) -> list[Line]:
        """The log lines so far; of this level and logger, with `message` in their message, and these fields."""
        return [line for line in self._handler.lines() if _is_line(line, level, message, logger, fields)]

    def line(
        self, *, level: str | None = None, message: str | None = None, logger: str | None = None, **fields: object
    ) -> Line:
        """The one line that fits; AssertionError if there are none or several."""
        found = self.lines(level=level, message=message, logger=logger, **fields)
        if len(found) == 1:
            return found[0]
        wanted = {"level": level, "message": message, "logger": logger, **fields}
        raise AssertionError(_not_one("line", wanted, len(found), map(str, self._handler.lines())))

    def assert_clean(self) -> None:
        """AssertionError if something was emitted under the contract's names that the contract does not have."""
        found = {
            finding
            for registry in self._all_registries()
            for finding in judge(Emitted(prometheus_client.generate_latest(registry).decode()), of=_NOTHING_EXPECTED)
        }
        found.update(
            judge(
                Emitted(
                    lines=[line.emitted() for line in self._handler.lines()],
                    spans=[_emitted(span) for span in list(self._spans)],
                ),
                of=_NOTHING_EXPECTED,
            )
        )
        if found:
            raise AssertionError(listed(f"against the contract, {len(found)} found", map(str, sorted(found))))

    def _now(self) -> Series:
        return series_of(self._all_registries())

    def _all_registries(self) -> list[CollectorRegistry]:
        """Those of the applications that the test has named; without one, those of every application there is."""
        if self._registries:
            return list(self._registries)
        found = [prometheus_client.REGISTRY, *(known.registry for known in list(wiring._instrumented.values()))]  # noqa: SLF001
        return list(dict.fromkeys(found))


@contextmanager
def capture() -> Iterator[Capture]:
    """Capture until the block ends; then everything is as it was. For one thread of tests at a time.

    Applications may be instrumented before or within, and go on working as they would: only that spans and lines come
    here and not to Tempo and Loki. What was instrumented within by `Capture.instrument` is so no longer.
    """
    with ExitStack() as undo:
        spans = undo.enter_context(captured_spans())
        handler = undo.enter_context(_captured_lines())
        undo.enter_context(_redirected(handler))
        for app in list(wiring._instrumented):  # noqa: SLF001  # of this package
            _replace_native_spans(app, undo)
        yield Capture(spans, handler, undo)


@contextmanager
def _captured_lines() -> Iterator[MemoryHandler]:
    """A handler that has the application's records; the handlers that send them are mute meanwhile."""
    handler = MemoryHandler({name.name: "test" for name in logs.STREAM_LABELS if name is not logs.LEVEL})
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    sending = {one for logger in loggers for one in logger.handlers if isinstance(one, LokiHandler)}
    for one in sending:
        one.addFilter(muted)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield handler
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        for one in sending:
            one.removeFilter(muted)


@contextmanager
def _redirected(handler: MemoryHandler) -> Iterator[None]:
    """Have each application's requests recorded by a twin of its middleware that writes here.

    An application that is instrumented where it is defined has its middleware long before any test begins, and may
    have no endpoint for spans and lines: only the class is a place where all of them can be reached.
    """
    twins: WeakKeyDictionary[TelemetryMiddleware, TelemetryMiddleware] = WeakKeyDictionary()
    own_call, installed = TelemetryMiddleware.__call__, list(recordings._installed)  # noqa: SLF001

    def call(self: TelemetryMiddleware, scope: Any, receive: Any, send: Any) -> Any:
        if (twin := twins.get(self)) is None:
            twin = twins[self] = TelemetryMiddleware(self.app, _twin_parts(self._parts, handler))
        return own_call(twin, scope, receive, send)

    _handlers.append(handler)
    TelemetryMiddleware.__call__ = call  # type: ignore[method-assign]
    recordings._installed[:] = [_captured(one) for one in installed]  # noqa: SLF001
    try:
        yield
    finally:
        recordings._installed[:] = installed  # noqa: SLF001
        TelemetryMiddleware.__call__ = own_call  # type: ignore[method-assign]
        _handlers.remove(handler)


def _twin_parts(parts: Parts, handler: MemoryHandler) -> Parts:
    slow_s = parts.recording.settings.slow_request_s if parts.recording else float("inf")
    return dataclasses.replace(
        parts,
        spans=ServerSpans(in_memory(), slow_s),
        lines=handler,
        recording=None if parts.recording is None else _captured(parts.recording),
        flush=lambda: None,  # the application's own spans and lines are not the test's to send
    )


def _captured(recording: Recording) -> Recording:
    """A recording that feeds the same metrics, and whose spans and lines come here."""
    made = recordings.make_recording(
        recording.settings,
        recording.collectors,
        tracer=in_memory().tracer,
        lines=_handlers[-1],
        endpoint_of=recording.endpoint_of,
    )
    made.observers[:] = recording.observers
    return made


def _replace_native_spans(app: Any, undo: ExitStack) -> None:
    """Switch FastAPI's own spans off, as `instrument` does where there are traces; `undo` has them back."""
    native = getattr(app, "_telemetry", None)
    if isinstance(native, dict):
        undo.callback(_refill, native, dict(native))
        replace_native(app)


def _refill(target: dict[str, Any], content: dict[str, Any]) -> None:
    target.clear()
    target.update(content)


def _state(app: Any) -> dict[str, Any]:
    state = {name: vars(app)[name] for name in _OF_AN_APP if name in vars(app)}
    return state | {"user_middleware": list(app.user_middleware), "routes": list(app.router.routes)}


def _restore(app: Any, state: Mapping[str, Any], installed: list[Recording]) -> None:
    """Make `app` what it was before it was instrumented."""
    wiring._instrumented.pop(app, None)  # noqa: SLF001  # of this package
    recordings._installed[:] = installed  # noqa: SLF001
    app.router.routes[:] = state["routes"]
    for name in _OF_AN_APP:
        if name in state:
            setattr(app, name, state[name])
        else:
            vars(app).pop(name, None)


def _is_span(span: ReadableSpan, name: str | None, attributes: Mapping[str, object]) -> bool:
    has = {key.replace(".", "_"): value for key, value in (span.attributes or {}).items()}
    return name in (None, span.name) and all(key in has and has[key] == value for key, value in attributes.items())


def _is_line(  # in the order of `lines`
    line: Line, level: str | None, message: str | None, logger: str | None, fields: Mapping[str, object]
) -> bool:
    return (
        level in (None, line.level)
        and logger in (None, line.logger)
        and (message is None or message in line.message)
        and all({**line.fields, **line.metadata}.get(name) == value for name, value in fields.items())
    )


def _not_one(what: str, wanted: Mapping[str, object], number: int, there: Any) -> str:
    asked = ", ".join(f"{name}={value!r}" for name, value in wanted.items() if value is not None)
    found = f"no {what} matches" if number == 0 else f"{number} {what}s match"
    return listed(f"{found} {asked or 'anything'}; there are", there)


def _shown(span: ReadableSpan) -> str:
    attributes = ((name, str(value)) for name, value in sorted((span.attributes or {}).items()))
    return f"{span.kind.name.lower()} {written(span.name, attributes)}"


def _emitted(span: ReadableSpan) -> EmittedSpan:
    scope = span.instrumentation_scope
    return EmittedSpan(span.name, span.kind.name.lower(), scope.name if scope else "", dict(span.attributes or {}))


_handlers: Final[list[MemoryHandler]] = []
"""Those of the captures that are open, innermost last."""
