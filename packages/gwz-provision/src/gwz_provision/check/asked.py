"""Every query of a document: of panels, variables, annotations and rules, each with what its check needs to know."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gwz_provision.check.findings import Place
from gwz_provision.check.substitution import BACKEND

Json = dict[str, Any]

KINDS = {
    "prometheus": "prometheus",
    "loki": "loki",
    "tempo": "tempo",
    "yesoreyeram-infinity-datasource": "infinity",
}
BUILT_IN = frozenset({"-- Grafana --", "-- Mixed --", "-- Dashboard --", "grafana", "__expr__", "-100", "default"})
_LABEL_VALUES = re.compile(r"\s*label_values\(\s*(?:(?P<of>.+?)\s*,\s*)?(?P<label>[\w$]+)\s*\)\s*", re.DOTALL)
_QUERY_RESULT = re.compile(r"\s*query_result\((?P<of>.*)\)\s*", re.DOTALL)


@dataclass(frozen=True)
class Sources:
    """The data sources that there are: their types by uid, and their uids by name."""

    types: Mapping[str, str]
    names: Mapping[str, str] = field(default_factory=dict)

    def kind(self, source: object, variables: Mapping[str, Json] | None = None) -> str:
        """Return the language that a data source is asked in; empty when there is none that we check."""
        found = referred(source)
        uid = str(found.get("uid", ""))
        named = self.types.get(self.names.get(uid, uid)) or found.get("type") or self._of_variable(uid, variables or {})
        return KINDS.get(str(named), "")

    def _of_variable(self, uid: str, variables: Mapping[str, Json]) -> str:
        found = re.fullmatch(r"\$\{?(\w+)\}?", uid)
        variable = variables.get(found[1], {}) if found else {}
        return str(variable.get("query") or "") if variable.get("type") == "datasource" else ""


@dataclass(frozen=True)
class Asked:
    """A query in its place; `label` is the one whose values a variable asks for."""

    place: Place
    kind: str
    text: str
    target: Json
    panel: Json = field(default_factory=dict)
    legend: str = ""
    label: str = ""
    label_only: bool = False
    replaced: frozenset[str] | None = None
    """The variables that are replaced; None for those of the browser and the dashboard."""


def variables(model: Json) -> dict[str, Json]:
    """Return a dashboard's variables by name."""
    return {str(one["name"]): one for one in model.get("templating", {}).get("list", ())}


def panels(model: Json) -> Iterator[Json]:
    """List all panels, those in rows too."""
    in_rows = (one for row in model.get("rows", ()) for one in row.get("panels", ()))
    for panel in (*model.get("panels", ()), *in_rows):
        yield panel
        yield from panels({"panels": panel.get("panels", ())})


def referred(source: object) -> Json:
    """Return a reference to a data source as an object: a text is its uid or its name, and nothing the default one."""
    return source if isinstance(source, dict) else {"uid": source} if source else {}


def of_dashboard(file: str, model: Json, sources: Sources) -> Iterator[Asked]:
    """List the queries of a dashboard."""
    known = variables(model)
    for panel in panels(model):
        for target in panel.get("targets", ()):
            if asked := _of_target(file, panel, target, sources, known):
                yield asked
    for variable in known.values():
        if variable.get("type") == "query" and (asked := _of_variable(file, variable, sources, known)):
            yield asked
    for annotation in model.get("annotations", {}).get("list", ()):
        if asked := _of_annotation(file, annotation, sources, known):
            yield asked


def _of_target(file: str, panel: Json, target: Json, sources: Sources, known: Mapping[str, Json]) -> Asked | None:
    kind = sources.kind(target.get("datasource") or panel.get("datasource"), known)
    place = Place(file, panel.get("id"), str(panel.get("title") or ""), str(target.get("refId") or ""))
    if not kind or (kind == "tempo" and target.get("queryType", "traceql") != "traceql"):
        return None
    return Asked(place, kind, text_of(kind, target), target, panel, str(target.get("legendFormat") or ""))


def text_of(kind: str, target: Json) -> str:
    """Return what is asked."""
    return str(target.get("query" if kind == "tempo" else "url" if kind == "infinity" else "expr") or "")


def _of_variable(file: str, variable: Json, sources: Sources, known: Mapping[str, Json]) -> Asked | None:
    kind = sources.kind(variable.get("datasource"), known)
    query = variable.get("query")
    place = Place(file, title=f"variable {variable.get('name')}")
    if isinstance(query, dict) and kind == "loki" and "label" in query:
        return Asked(
            place,
            kind,
            str(query.get("stream") or ""),
            query,
            label=str(query["label"]),
            label_only=not query.get("stream"),
        )
    text = str(query.get("query") or query.get("expr") or "") if isinstance(query, dict) else str(query or "")
    if kind not in {"prometheus", "loki"} or re.match(r"\s*(?:metrics|label_names)\(", text):
        return None
    if found := _LABEL_VALUES.fullmatch(text):
        return Asked(place, kind, found["of"] or "", {}, label=found["label"], label_only=not found["of"])
    found = _QUERY_RESULT.fullmatch(text)
    return Asked(place, kind, found["of"] if found else text, {})


def _of_annotation(file: str, annotation: Json, sources: Sources, known: Mapping[str, Json]) -> Asked | None:
    kind = sources.kind(annotation.get("datasource"), known)
    target = annotation.get("target") or annotation
    text = str(target.get("expr") or annotation.get("expr") or "")
    if not text or kind not in {"prometheus", "loki"}:
        return None
    return Asked(Place(file, title=f"annotation {annotation.get('name')}"), kind, text, target)


def of_datasources(file: str, content: Json) -> Iterator[Asked]:
    """List the queries with which a trace leads to its log lines and metrics."""
    replaced = frozenset({"__trace", "__span", "__tags"})
    for source in content["datasources"]:
        settings = source.get("jsonData", {})
        to_logs, to_metrics = settings.get("tracesToLogsV2", {}), settings.get("tracesToMetrics", {})
        place = Place(file, title=f"traces of {source.get('uid')}")
        if to_logs.get("customQuery"):
            yield Asked(place, "loki", str(to_logs.get("query") or ""), to_logs, replaced=replaced)
        for query in to_metrics.get("queries", ()):
            yield Asked(place, "prometheus", str(query.get("query") or ""), query, replaced=replaced)


def of_alert(place: Place, rule: Json, sources: Sources) -> Iterator[Asked]:
    """List the queries of an alert rule of Grafana; its backend asks them, so no browser replaces variables."""
    for item in rule.get("data", ()):
        model = item.get("model", {})
        kind = sources.kind({**referred(model.get("datasource")), "uid": item.get("datasourceUid", "")})
        if kind:
            at = Place(place.file, place.panel, place.title, str(item.get("refId") or ""))
            yield Asked(at, kind, text_of(kind, model), model, replaced=BACKEND.get(kind, frozenset()))


def of_rules(file: str, content: Json) -> Iterator[tuple[Json, Asked]]:
    """List the recording and alerting rules of a file of Prometheus with their queries."""
    for rule in prometheus_rules(content):
        name = str(rule.get("record") or rule.get("alert") or "")
        yield (
            rule,
            Asked(Place(file, title=name), "prometheus", str(rule.get("expr") or ""), rule, replaced=frozenset()),
        )


def prometheus_rules(content: Json) -> Sequence[Json]:
    """Return the rules of all groups; a file from elsewhere may have anything in their place."""
    groups = [group for group in _list(content.get("groups")) if isinstance(group, dict)]
    return [rule for group in groups for rule in _list(group.get("rules")) if isinstance(rule, dict)]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
