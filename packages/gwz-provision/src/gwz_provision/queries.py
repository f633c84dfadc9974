"""The queries of a dashboard, with the values put in that the browser would put in."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count, product
from string import ascii_uppercase
from typing import Any
from urllib.parse import quote

from gwz_provision.bundle import Dashboard, Json
from gwz_provision.check.asked import panels, referred
from gwz_provision.check.substitution import BACKEND
from gwz_provision.errors import Misconfigured, QueryFailed
from gwz_provision.normalise import EXPRESSIONS
from gwz_provision.variables import Choice

INFINITY = "yesoreyeram-infinity-datasource"
DEFAULT_SINCE = "now-6h"
"""The range of a dashboard that names none which begins so long before now: Grafana's own default."""

# Answered by the browser alone, by type and by uid: other panels' results, Grafana's own, a mixed panel's target without a source.
_BROWSER_ONLY = frozenset({"datasource", "grafana", "-- Dashboard --", "-- Grafana --", "-- Mixed --"})
_OF_ANNOTATIONS = 0
"""The number that stands for a dashboard's annotations in the place of a panel's."""
# `$1` of label_replace and the `$` that ends a regular expression are no variables.
_VARIABLE = re.compile(r"\$(?P<plain>[A-Za-z_]\w*)|\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\[\[(?P<old>\w+)\]\]")
_SINCE = re.compile(r"now-(?P<count>[0-9]{1,12})(?P<unit>[smhdw])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PATTERN_SIGNS = re.compile(r"[$^*{}\[\]'+?.()|]")


@dataclass(frozen=True)
class Query:
    """One target of one panel, and the range that it is asked for."""

    dashboard: str
    panel: int
    ref: str
    datasource: str
    kind: str
    target: Json
    since: str = DEFAULT_SINCE
    may_be_empty: bool = False

    @property
    def id(self) -> str:
        """The name of the check that asks it."""
        return f"query:{self.dashboard}/{self.panel}/{self.ref}"

    @property
    def text(self) -> str:
        """What is asked: PromQL, LogQL, TraceQL, or an endpoint."""
        return str(self.target.get("expr") or self.target.get("query") or self.target.get("url") or "")


def queries(dashboard: Dashboard, since: str | None = None) -> list[Query]:
    """List every target that the browser would ask, those in collapsed rows and of annotations too; `since` goes before the panels' ranges."""
    found = [
        _query(dashboard, panel, target, since or _since_of(dashboard, panel))
        for panel in map(_lettered, _numbered(dashboard))
        for target in _sent(panel)
    ]
    listed = dashboard.model.get("annotations", {}).get("list", ())
    marking = [
        _of_annotation(dashboard, one, since or _since_of(dashboard, {})) for one in listed if one.get("enable", True)
    ]
    found += [one for one in marking if one.text]
    return [one for one in found if _BROWSER_ONLY.isdisjoint({one.kind, one.datasource})]


def substituted(query: Query, values: Mapping[str, Choice]) -> Query:
    """Put the values in; raises `QueryFailed` when a `$` is left that nobody would replace."""
    # The Loki backend, alone among the two, does not know this one; the browser puts at least four scrapes in.
    known = {"__rate_interval": Choice(("1m",)), **values} if query.kind == "loki" else values
    target = filled(query.target, known, query.kind)
    source = target.get("datasource") or {}
    done = replace(query, target=target, datasource=source.get("uid", ""), kind=source.get("type", query.kind))
    macros = BACKEND.get(query.kind, frozenset())
    left = [found[0] for found in _VARIABLE.finditer(f"{done.datasource} {done.text}") if _name(found) not in macros]
    if left:
        raise QueryFailed(
            f"{', '.join(dict.fromkeys(left))} has no value, so this was not asked: {done.text}",
            "Pass it with --var name=value, or declare the variable in the dashboard.",
        )
    return done


def named(value: Any) -> set[str]:
    """Name the variables in every text of a part of a dashboard."""
    match value:
        case str():
            return {_name(found) for found in _VARIABLE.finditer(value)}
        case dict():
            return set().union(*map(named, value.values()))
        case list():
            return set().union(*map(named, value))
        case _:
            return set()


def filled(value: Any, values: Mapping[str, Choice], kind: str = "") -> Any:
    """Put the values into every text of a part of a dashboard; a variable without one stays."""
    match value:
        case str():
            return _VARIABLE.sub(lambda found: _put(found, values, kind), value)
        case dict():
            return {key: filled(item, values, kind) for key, item in value.items()}
        case list():
            return [filled(item, values, kind) for item in value]
        case _:
            return value


def period(since: str) -> timedelta:
    """Read `now-15m`: how long before now the queries begin."""
    if not (seconds := _seconds(since)):
        raise Misconfigured(
            [f"--from is {since!r}, not a time before now and after 1970"],
            "Write it as now-15m: a number and s, m, h, d or w.",
        )
    return timedelta(seconds=seconds)


def _seconds(since: str) -> int:
    """Return how long before now a time is, 0 for none that a range can begin with."""
    found = _SINCE.fullmatch(since)
    seconds = int(found["count"]) * _UNITS[found["unit"]] if found else 0
    return seconds if seconds < time.time() else 0


def _since_of(dashboard: Dashboard, panel: Json) -> str:
    own = f"now-{panel['timeFrom']}" if panel.get("timeFrom") else str(dashboard.model.get("time", {}).get("from"))
    return own if _seconds(own) else DEFAULT_SINCE


def _of_annotation(dashboard: Dashboard, entry: Json, since: str) -> Query:
    """Return what an annotation asks; nothing may have happened that it marks."""
    target = {"expr": entry.get("expr", ""), **entry.get("target", {}), "refId": str(entry.get("name"))}
    panel = {"id": _OF_ANNOTATIONS, "datasource": entry.get("datasource")}
    return replace(_query(dashboard, panel, target, since), may_be_empty=True)


def _source(panel: Json, target: Json) -> Json:
    return referred(target.get("datasource") or panel.get("datasource"))


def _numbered(dashboard: Dashboard) -> list[Json]:
    """List the panels; one without an id gets the next number, as in the browser."""
    listed = list(panels(dashboard.model))
    free = count(1 + max((one["id"] for one in listed if "id" in one), default=_OF_ANNOTATIONS))
    return [one if "id" in one else {**one, "id": next(free)} for one in listed]


def _lettered(panel: Json) -> Json:
    """Give each target that has no refId the next letter, as the browser does."""
    targets = panel.get("targets", ())
    taken = {target.get("refId") for target in targets}
    free = (letter for letter in _letters() if letter not in taken)
    return {**panel, "targets": [one if one.get("refId") else {**one, "refId": next(free)} for one in targets]}


def _sent(panel: Json) -> list[Json]:
    """List the targets that are sent: where an expression calculates, with what is hidden too."""
    targets = panel["targets"]
    if any(_source(panel, one).get("uid") in EXPRESSIONS for one in targets if not one.get("hide")):
        return [{**one, "hide": False} for one in targets]
    return [one for one in targets if not one.get("hide")]


def _letters() -> Iterator[str]:
    for length in count(1):
        yield from map("".join, product(ascii_uppercase, repeat=length))


def _query(dashboard: Dashboard, panel: Json, target: Json, since: str) -> Query:
    source = _source(panel, target)
    return Query(
        dashboard.uid,
        panel["id"],
        target["refId"],
        source.get("uid", ""),
        source.get("type", ""),
        {**target, "datasource": source},
        since,
        panel["id"] in dashboard.may_be_empty,
    )


def _put(found: re.Match[str], values: Mapping[str, Choice], kind: str) -> str:
    choice = values.get(_name(found))
    return found[0] if choice is None else _written(choice, kind, found["format"] or "")


def _written(choice: Choice, kind: str, form: str) -> str:  # noqa: PLR0911 - one return for each format
    """Write the values as the browser does: the format that the query names, else the one of its language."""
    values = choice.values
    if choice.verbatim:
        return "".join(values)
    match form:
        case "regex":
            return _either([re.escape(value) for value in values])
        case "pipe":
            return "|".join(values)
        case "json":
            return json.dumps(values if len(values) > 1 else values[0])
        case "percentencode":
            return quote(",".join(values), safe="")
        case "":
            return _by_language(choice, kind)
        case _:
            return ",".join(values)


def _by_language(choice: Choice, kind: str) -> str:
    match kind:
        case "prometheus" if choice.pattern:
            return _either([_in_quotes(value) for value in choice.values])
        case "loki" if choice.pattern:
            return "|".join(_in_quotes(value) for value in choice.values)
        case "prometheus" | "loki" | "tempo":
            return "|".join(choice.values)
        case _:
            return choice.values[0] if len(choice.values) == 1 else f"{{{','.join(choice.values)}}}"


def _either(patterns: list[str]) -> str:
    return patterns[0] if len(patterns) == 1 else f"({'|'.join(patterns)})"


def _in_quotes(value: str) -> str:
    """Escape a value twice, as a pattern and as a part of a text in double quotes."""
    return _PATTERN_SIGNS.sub(lambda sign: rf"\\{sign[0]}", value.replace("\\", r"\\\\"))


def _name(found: re.Match[str]) -> str:
    return found["plain"] or found["braced"] or found["old"]
