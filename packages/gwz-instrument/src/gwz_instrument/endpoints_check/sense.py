"""Whether an answer makes sense beyond its shape: its window, what it repeats of the question, its unknowns, its times."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from gwz_instrument.monitoring import models
from gwz_instrument.semconv import endpoints

from . import agreement
from .cases import Call
from .report import Finding

_HOUR_S: Final = 3600.0
_SLACK_S: Final = 2.0
"""Answers are kept for a second."""
_CLOCKS: Final = "Compare the clocks of the two machines, or of those of the application's workers"
_REPORT: Final = (
    "Ask the application itself, past any proxy or cache; if it says the same, report it with the output of --json"
)
_UNKNOWN: Final = "An unknown number should be null, or panels show a zero that nobody has counted; report it with the output of --json"
_HEADERS: Final = ("GWZ-Source", "GWZ-From", "GWZ-To", "GWZ-Complete", "GWZ-Exact")
_TRUTH: Final = {"true": True, "false": False}
_ALSO_NAMED: Final = {"days": ("days", "period_days")}


class Window(NamedTuple):
    """The time that an answer is of."""

    start: datetime
    end: datetime
    complete: bool


def findings(call: Call, body: Any, headers: Message) -> Iterator[Finding]:
    """What does not make sense in the models of an answer."""
    yield from _times(body)
    window = None
    if isinstance(body, list):
        window, faults = _of_headers(headers)
        yield from faults
    elif isinstance(body, models.Body):
        window = Window(aware(body.start), aware(body.end), body.complete)
    if window is not None:
        yield from _window(call, window)
        yield from _unknowns(body, window)
        yield from agreement.within(body, window.start, window.end)
    yield from _repeated(call, body)
    yield from agreement.findings(call, body)


def aware(time: datetime) -> datetime:
    """A time that can be compared."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _of_headers(headers: Message) -> tuple[Window | None, list[Finding]]:
    said = {name: headers.get(name) for name in _HEADERS}
    faults = [
        Finding(
            "headers",
            name,
            f"the header {name} is missing, which tells what a list is of",
            f"A proxy may drop it. {_REPORT}",
        )
        for name, value in said.items()
        if value is None
    ]
    if faults:
        return None, faults
    try:
        start, end = (aware(datetime.fromisoformat(str(said[name]))) for name in ("GWZ-From", "GWZ-To"))
        window = Window(start, end, _TRUTH[str(said["GWZ-Complete"])])
        known = said["GWZ-Source"] in endpoints.SOURCES and said["GWZ-Exact"] in _TRUTH
    except (ValueError, KeyError):
        window, known = None, False
    if known:
        return window, []
    shown = ", ".join(f"{name}: {value}" for name, value in said.items())
    return window, [Finding("headers", "headers", f"a header has a value that it cannot have: {shown}", _REPORT)]


def _window(call: Call, window: Window) -> Iterator[Finding]:
    start, end, complete = window
    if start > end:
        yield Finding("window", "from", f"from is {start.isoformat()}, after to, {end.isoformat()}", _REPORT)
    if call.span_s is None:
        return
    length_s = (end - start).total_seconds()
    if length_s > call.span_s + _HOUR_S + _SLACK_S:
        sentence = f"the window is {length_s:.0f} s long, and {call.span_s} s were asked for: more than a slot of an hour too much"
        yield Finding("window", "from", sentence, _REPORT)
    if complete and length_s < call.span_s - _SLACK_S:
        sentence = f"the window is {length_s:.0f} s long and complete, and {call.span_s} s were asked for"
        yield Finding("window", "complete", sentence, _REPORT)


def _unknowns(body: Any, window: Window) -> Iterator[Finding]:
    """No count is 0 of a window that is not covered."""
    if window.complete:
        return
    for where, name, annotation, value in _fields(body):
        if annotation == (int | None) and value == 0:
            yield Finding("unknown", where, f"{where or name} is 0 in a window that is not complete", _UNKNOWN)


def _times(body: Any) -> Iterator[Finding]:
    for where, _, _, value in _fields(body):
        if isinstance(value, datetime) and value.utcoffset() != timedelta(0):
            yield Finding("time", where, f"{where} is {value.isoformat()}, which is not in UTC", _REPORT)
    if isinstance(body, models.Body) and aware(body.end) > aware(body.timestamp) + timedelta(seconds=_SLACK_S):
        sentence = f"to is {body.end.isoformat()}, after the answer was made, {body.timestamp.isoformat()}"
        yield Finding("time", "to", sentence, _CLOCKS)


def _repeated(call: Call, body: Any) -> Iterator[Finding]:
    """What an answer says that it was asked."""
    for asked, wanted in call.asked.items():
        for name in _ALSO_NAMED.get(asked, (asked,)):
            said = getattr(body, name, wanted)
            if said != wanted:
                yield Finding("question", name, f"{name} is {said!r}, and {wanted!r} was asked for", _REPORT)


def _fields(value: Any, where: str = "") -> Iterator[tuple[str, str, Any, Any]]:
    """Every field of every model in it: where, its name, its annotation, its value."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            one = getattr(value, name)
            here = f"{where}.{field.alias or name}".lstrip(".")
            yield here, name, field.annotation, one
            yield from _fields(one, here)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _fields(one, f"{where}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, one in enumerate(value):
            yield from _fields(one, f"{where}[{number}]")
