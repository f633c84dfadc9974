"""The queries of a dashboard, with the values put in that the browser would put in."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from gwz_provision.bundle import Dashboard, Json
from gwz_provision.errors import Misconfigured, QueryFailed

# What the data source's backend in Grafana puts in by itself; all else must be gone before a query is asked.
_BACKEND_MACROS = {
    "prometheus": frozenset(
        {"__interval", "__interval_ms", "__rate_interval", "__rate_interval_ms", "__range", "__range_s", "__range_ms"}
    ),
    "loki": frozenset({"__auto", "__interval", "__interval_ms", "__range", "__range_s", "__range_ms"}),
}
# `$1` of label_replace and the `$` that ends a regular expression are no variables.
_VARIABLE = re.compile(r"\$(?P<plain>[A-Za-z_]\w*)|\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\[\[(?P<old>\w+)\]\]")
_LABEL_VALUES = re.compile(r"\s*label_values\(\s*(?P<metric>[^,]+?)\s*,\s*(?P<label>\w+)\s*\)\s*")
_SINCE = re.compile(r"now-(?P<count>\d+)(?P<unit>[smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Query:
    """One target of one panel."""

    dashboard: str
    panel: int
    ref: str
    datasource: str
    kind: str
    target: Json

    @property
    def id(self) -> str:
        """The name of the check that asks it."""
        return f"query:{self.dashboard}/{self.panel}/{self.ref}"

    @property
    def text(self) -> str:
        """What is asked: PromQL, LogQL or TraceQL."""
        return str(self.target.get("expr") or self.target.get("query") or "")


@dataclass(frozen=True)
class Variable:
    """A dashboard variable and where its values come from."""

    dashboard: str
    name: str
    datasource: str
    query: str

    @property
    def id(self) -> str:
        """The name of the check that resolves it."""
        return f"variable:{self.dashboard}/{self.name}"

    @property
    def label_values(self) -> tuple[str, str] | None:
        """The metric and the label of a `label_values(metric, label)` query; None for any other query."""
        found = _LABEL_VALUES.fullmatch(self.query)
        return (found["metric"], found["label"]) if found else None


def queries(dashboard: Dashboard) -> list[Query]:
    """List every target of every panel, those in collapsed rows too."""
    return [
        _query(dashboard.uid, panel, target)
        for panel in _panels(dashboard.model.get("panels", []))
        for target in panel.get("targets", [])
    ]


def variables(dashboard: Dashboard) -> list[Variable]:
    """List the variables whose values are asked from a data source."""
    return [
        Variable(dashboard.uid, entry["name"], entry.get("datasource", {}).get("uid", ""), _variable_query(entry))
        for entry in dashboard.model.get("templating", {}).get("list", [])
        if entry.get("type") == "query"
    ]


def substituted(query: Query, values: Mapping[str, str]) -> Query:
    """Put the values in; raises `QueryFailed` when a `$` is left that nobody would replace."""
    # The Loki backend, alone among the two, does not know this one; the browser puts at least four scrapes in.
    known = {"__rate_interval": "1m", **values} if query.kind == "loki" else values
    filled = replace(query, target=_filled(query.target, known))
    macros = _BACKEND_MACROS.get(query.kind, frozenset())
    left = [found[0] for found in _VARIABLE.finditer(filled.text) if _name(found) not in macros]
    if left:
        raise QueryFailed(
            f"{', '.join(dict.fromkeys(left))} has no value, so this was not asked: {filled.text}",
            "Pass it with --var name=value, or declare the variable in the dashboard.",
        )
    return filled


def period(since: str) -> timedelta:
    """Read `now-15m`: how long before now the queries begin."""
    found = _SINCE.fullmatch(since)
    if not found:
        raise Misconfigured(
            [f"--from is {since!r}, not a time before now"], "Write it as now-15m: a number and s, m, h or d."
        )
    return timedelta(**{_UNITS[found["unit"]]: int(found["count"])})


def _panels(panels: list[Json]) -> Iterator[Json]:
    for panel in panels:
        yield panel
        yield from _panels(panel.get("panels", []))


def _query(dashboard: str, panel: Json, target: Json) -> Query:
    source = target.get("datasource") or panel.get("datasource") or {}
    whole = {**target, "datasource": source}
    return Query(dashboard, panel["id"], target["refId"], source.get("uid", ""), source.get("type", ""), whole)


def _variable_query(entry: Json) -> str:
    query = entry.get("query", "")
    return str(query.get("query", "")) if isinstance(query, dict) else str(query)


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _VARIABLE.sub(lambda found: _value(found, values), value)
        case dict():
            return {key: _filled(item, values) for key, item in value.items()}
        case list():
            return [_filled(item, values) for item in value]
        case _:
            return value


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    value = values.get(_name(found))
    if value is None:
        return found[0]
    return re.escape(value) if found["format"] == "regex" else value


def _name(found: re.Match[str]) -> str:
    return found["plain"] or found["braced"] or found["old"]
