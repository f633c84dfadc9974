"""The gateway's log lines of a day, in Loki: one for each request, by the names of the contract."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx

from gwz_bench.dashboards.day import APP, REQUESTS_PER_S, ROUTES, Size
from gwz_e2e.panels.directly import patient
from gwz_instrument.logs import PUSH_PATH
from gwz_instrument.semconv import logs

_PUSH = 2000
"""So many lines are less than a megabyte, and more than the handler of the library sends at once."""
_EVERY_ERROR, _EVERY_WARNING = 50, 30
_STREAM = {logs.APP.name: APP, logs.ENV.name: "production", logs.SERVICE.name: APP}


class Line(NamedTuple):
    """A line with its level, its time in nanoseconds and its metadata."""

    level: str
    at_ns: int
    text: str
    metadata: Mapping[str, str]


def push(url: str, size: Size, end: float) -> int:
    """Write the lines up to `end`, oldest first, into the Loki at `url`, and return how many there are."""
    lines = list(day_of_lines(size, end))
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        for first in range(0, len(lines), _PUSH):
            body = {"streams": streams(lines[first : first + _PUSH])}
            patient(lambda body=body: client.post(PUSH_PATH, json=body)).raise_for_status()  # type: ignore[misc]  # a default binds it
    return len(lines)


def day_of_lines(size: Size, end: float) -> Iterator[Line]:
    """The lines of the time before `end`, evenly spread."""
    number = int(size.span_s * REQUESTS_PER_S)
    for place in range(number):
        yield _line(size, place, end - (number - place) / REQUESTS_PER_S)


def streams(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Lines as Loki takes them: a stream for each level."""
    values: dict[str, list[list[Any]]] = defaultdict(list)
    for line in lines:
        values[line.level].append([str(line.at_ns), line.text, line.metadata])
    return [{"stream": {**_STREAM, logs.LEVEL.name: level}, "values": found} for level, found in values.items()]


def _line(size: Size, place: int, at: float) -> Line:
    level = "error" if place % _EVERY_ERROR == 0 else "warning" if place % _EVERY_WARNING == 1 else "info"
    method, path = ROUTES[place % len(ROUTES)]
    failed = level == "error"
    fields = {
        logs.TIMESTAMP: datetime.fromtimestamp(at, UTC).isoformat(),
        logs.LINE_LEVEL: level,
        logs.LOGGER: "gwz_instrument.http",
        logs.MESSAGE: f"{method} {path} {502 if failed else 200}",
        logs.METHOD: method,
        logs.PATH: path,
        logs.URL_PATH: path.replace("{item_id}", str(place)),
        logs.STATUS_CODE: 502 if failed else 200,
        logs.DURATION_MS: 100 + place % 900,
        logs.OUTCOME: "error" if failed else "success",
        logs.PROVIDER: size.providers[place % len(size.providers)],
        logs.MODEL: size.models[place % len(size.models)],
        logs.CALL_MS: 90 + place % 900,
        logs.INPUT_TOKENS: 1020,
        logs.OUTPUT_TOKENS: 129,
        **({logs.ERROR_TYPE: "HTTPStatusError"} if failed else {}),
    }
    ids = {
        logs.TRACE_ID.name: f"{place:032x}",
        logs.SPAN_ID.name: f"{place:016x}",
        logs.REQUEST_ID.name: f"{place:032x}",
    }
    return Line(level, int(at * 1e9), json.dumps({field.name: value for field, value in fields.items()}), ids)
