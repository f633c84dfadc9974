"""Where the recorders write: the collectors, spans and lines of the application that is being served."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .exchange import Exchange, current
from .labels import OTHER, CallLabels
from .metrics import Collectors
from .names import plain
from .polling import polls_of
from .semconv import health
from .settings import Settings
from .span_ends import SpanEnd

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from .call_records import CallRecorder
    from .logs import LokiHandler

EndpointOf = Callable[[Exchange | None], str]
Observer = Callable[[Any], None]
"""Called with each fact, a frozen object, on the thread where it came about; must be quick."""


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True, kw_only=True)
class Recording:
    """What one application's recorders write to; a signal that is off is None."""

    settings: Settings
    collectors: Collectors
    labels: CallLabels
    tracer: "Tracer | None"
    lines: "LokiHandler | None"
    calls: "CallRecorder"
    endpoint_of: EndpointOf
    observers: list[Observer] = field(default_factory=list)

    def endpoint(self) -> str:
        """The route template of the request that is current here."""
        return self.endpoint_of(current.get())

    def complain(self, step: str) -> None:
        """Count a fault of ours, and log it with its traceback the first time that this step has one."""
        self.collectors.tell("metrics", health.FAULT)
        if step not in _complained:
            _complained.add(step)
            _LOG.exception("gwz-instrument failed at its own work (%s); the application is not affected", step)

    def name(self, what: str, value: object) -> str:
        """A name that the application gave for a label; `_other`, counted, for what is none."""
        name = plain(value)
        if isinstance(name, str) and name:
            return name
        self.refuse(what, value)
        return OTHER

    def refuse(self, what: str, value: object) -> None:
        """Count a value that the application gave and that is none, and say so the first time."""
        self.collectors.tell("metrics", health.INVALID)
        if what not in _complained:
            _complained.add(what)
            _LOG.warning(
                "gwz-instrument was given %s = %.100r, which is none: it is not recorded. Further ones are only counted, "
                "in gwz_telemetry_dropped_total{reason=%r}",
                what,
                _Shown(value),
                health.INVALID,
            )


class _Shown:
    """The repr of a value of the application's, which may raise."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        try:
            return repr(self._value)
        except Exception:  # noqa: BLE001  # as the class says
            return f"<{type(self._value).__name__}>"


def make_recording(
    settings: Settings,
    collectors: Collectors,
    *,
    tracer: "Tracer | None",
    lines: "LokiHandler | None",
    endpoint_of: EndpointOf,
    end_span: Callable[[SpanEnd], None] = SpanEnd.write,
) -> Recording:
    """A recording with its parts; who observes it comes later."""
    from .call_records import CallRecorder  # noqa: PLC0415  # it needs this module

    labels = CallLabels(
        collectors,
        models=settings.models,
        providers=settings.providers,
        max_models=settings.max_models,
        max_providers=settings.max_providers,
    )
    observers: list[Observer] = []

    def tell(fact: Any) -> None:
        for observer in observers:
            try:
                observer(fact)
            except Exception:  # noqa: BLE001  # one observer's fault must not cost the others their fact
                made.complain("observer")

    calls = CallRecorder(
        collectors=collectors, labels=labels, lines=lines, endpoint_of=endpoint_of, end_span=end_span, tell=tell
    )
    made = Recording(
        settings=settings,
        collectors=collectors,
        labels=labels,
        tracer=tracer,
        lines=lines,
        calls=calls,
        endpoint_of=endpoint_of,
        observers=observers,
    )
    return made


def install(recording: Recording) -> None:
    """Let recorders outside of any request write here: the application that was instrumented last."""
    _installed[:] = [recording]
    polls_of(recording.collectors).open(recording)
    for start in _of_modules:
        start(recording)
    while _waiting:
        _waiting.pop(0)(recording)


def close(recording: Recording) -> None:
    """Ask the application's callbacks no more for this recording's sake; what is written is still taken. Idempotent."""
    polls_of(recording.collectors).close(recording)


def reopen(recording: Recording) -> None:
    """Take back `close`; nothing where it was not called."""
    if polls_of(recording.collectors).closed:
        install(recording)


def when_installed(start: Callable[[Recording], object]) -> None:
    """Call `start` with where recorders write: now, or as soon as there is an application.

    What a module says while it is imported, which it does once in a process, holds for every application that comes
    after as well: `start` is then called for each. All else is of one application, and goes with it.
    """
    lasting = _importing()
    if lasting:
        _of_modules.append(start)
    found = (recording() or _installed[0]) if _installed else None
    if found is not None and not polls_of(found.collectors).closed:
        start(found)
    elif not lasting:
        _waiting.append(start)


def _importing() -> bool:
    """Whether some module is being imported here."""
    frame = sys._getframe()  # noqa: SLF001  # there is no other way to ask
    while frame.f_code.co_filename != _IMPORT:
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return True


def recording() -> Recording | None:
    """Where a recorder that is used here writes; None, once told, before there is an application."""
    exchange = current.get()
    if exchange is not None and isinstance(exchange.recording, Recording):
        return exchange.recording
    if _installed:
        return _installed[0]
    if "uninstalled" not in _complained:
        _complained.add("uninstalled")
        _LOG.warning("gwz-instrument: a recorder was used before instrument(app): what it sees is not recorded")
    return None


_installed: list[Recording] = []
_waiting: list[Callable[[Recording], object]] = []
_of_modules: list[Callable[[Recording], object]] = []
_IMPORT: Final = "<frozen importlib._bootstrap>"
_complained: set[str] = set()
_LOG: Final = logging.getLogger("gwz_instrument")
