"""Failed calls, from the lines of their requests in Loki."""

import json
from collections.abc import Mapping
from typing import Any, Final

from gwz_instrument.health.scores import FAILURES
from gwz_instrument.semconv import logs

from . import logql
from .asking import well_formed
from .fetch import Server
from .promql import quoted
from .store import Failed, Failures, Window

_REACH_S: Final = 86400.0
_MOST_LINES: Final = 1000


def failures(
    loki: Server, stream: Mapping[str, str], provider: str, limit: int, *, now: float, until: float
) -> Failures:
    """The newest calls that failed at a provider within a day: the last call of each request, so they are never all."""
    window = Window(now - _REACH_S, now, complete=False, exact=True)
    parameters = logql.newest(_query(stream, provider), window.start, now, min(limit, _MOST_LINES))
    answer = loki.ask(logql.QUERY_PATH, parameters, until)
    lines = well_formed(lambda: _lines(json.loads(answer.body)), loki)
    return Failures(sorted(lines, key=lambda one: -one.at)[:limit], window)


def _lines(said: Any) -> list[Failed]:
    streams = said["data"]["result"]
    return [_failed(int(at), json.loads(text)) for stream in streams for at, text, *_ in stream["values"]]


def _query(stream: Mapping[str, str], provider: str) -> str:
    outcomes = " or ".join(f"{logs.CALL_OUTCOME.name}={quoted(one)}" for one in sorted(FAILURES))
    fields = (logs.PROVIDER, logs.MODEL, logs.ERROR_TYPE, logs.CALL_OUTCOME, logs.CALL_MS)
    parsed = ", ".join(f"{field.name}={quoted(field.name)}" for field in fields)
    contains = f"|= {quoted(logs.CALL_OUTCOME.name)}"
    return f"{logql.selector(stream)} {contains} | json {parsed} | {logs.PROVIDER.name}={quoted(provider)} | {outcomes}"


def _failed(nanoseconds: int, line: Mapping[str, Any]) -> Failed:
    ms = line.get(logs.CALL_MS.name)
    return Failed(
        nanoseconds / 1e9,
        str(line.get(logs.MODEL.name, "")),
        str(line.get(logs.ERROR_TYPE.name, line.get(logs.CALL_OUTCOME.name, ""))),
        ms / 1e3 if isinstance(ms, int | float) else None,
    )
