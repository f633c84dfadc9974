"""How a panel shows a value: its unit, its colour, its word, and which of several values it takes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gwz_dashboards.expectations.kinds import MOMENT, WORD, Cell, Expect, Look, Quantity, Told
from gwz_e2e.panels.boards import Json, Query

_REDUCED = {"stat", "gauge", "bargauge", "piechart"}
_LAST = ["lastNotNull"]
_OF_TRACES = {"Trace ID", "Start time", "Service", "Name", "Duration"}
"""The columns that Grafana makes of an answer of Tempo's."""


class WrongUnit(Exception):  # noqa: N818  # a finding, no error
    """A unit that does not say the quantity."""


def factor_of_cell(panel: Json, quantity: Quantity, column: str) -> float:
    """The same of a table's column; words and times have no unit but one of their own."""
    if quantity in (WORD, MOMENT) and _own(panel, "unit", column) is None:
        return 1.0
    return factor(panel, quantity, column)


def factor(panel: Json, quantity: Quantity, column: str) -> float:
    """How much of the quantity one of the shown number is; raises WrongUnit for a unit that says something else."""
    unit = str(_property(panel, "unit", column) or "")
    if unit not in quantity.units:
        raise WrongUnit(f"the unit {unit or '(none)'} of {column or 'the panel'} does not say {quantity.name}")
    return quantity.units[unit]


def wrong_looks(query: Query, expect: Expect) -> Iterator[str]:
    """A phrase for each known value that is shown otherwise than it should."""
    for look in expect.looks:
        found = _look(query.panel, look)
        if found != (look.text, look.colour):
            yield f"{look.column} {look.value} is shown as {found} instead of {(look.text, look.colour)}".strip()


def wrong_settings(query: Query, expect: Expect) -> Iterator[str]:
    """A phrase for each setting with which the panel would show something else than it was answered."""
    panel = query.panel
    options = panel.get("options", {})
    if panel["type"] in _REDUCED and options["reduceOptions"]["calcs"] != _LAST:
        yield f"the panel shows {options['reduceOptions']['calcs']} of what it was answered, not the last value"
    quantity = getattr(expect.kind, "quantity", None)
    cells = expect.kind.cells if isinstance(expect.kind, Told) else {}
    if panel["type"] == "gauge":
        quantity = quantity or next(iter(cells.values())).quantity
        most = panel["fieldConfig"]["defaults"].get("max")
        if most is None or most * factor(panel, quantity, "") != quantity.full:
            yield f"the scale ends at {most}, {quantity.name} at {quantity.full}"
    yield from _wrong_columns(query, cells)
    if unknown := sorted(set(_names(panel)) - _known(panel, cells)):
        yield f"the panel names {', '.join(unknown)}, which no query of it answers"
    if missing := sorted(set(cells) - _included(panel, cells)):
        yield f"the panel leaves out {', '.join(missing)}"


def _wrong_columns(query: Query, cells: Mapping[str, Cell]) -> Iterator[str]:
    fields = {column["text"]: column["selector"] for column in query.target.get("columns", [])}
    for name, cell in cells.items():
        if fields.get(name) != cell.field:
            yield f"{name} is {fields.get(name, 'nothing')} of the answer instead of {cell.field}"


def _look(panel: Json, look: Look) -> tuple[str, str]:
    for mapping in _property(panel, "mappings", look.column) or []:
        key = f"{look.value:g}" if isinstance(look.value, float) else str(look.value)
        if key in mapping["options"]:
            return mapping["options"][key]["text"], mapping["options"][key]["color"]
    if isinstance(look.value, str):
        return look.value, ""
    steps = (_property(panel, "thresholds", look.column) or {"steps": []})["steps"]
    reached = [step["color"] for step in steps if step.get("value") is None or step["value"] <= look.value]
    return "", str(reached[-1]) if reached else ""


def _property(panel: Json, name: str, column: str) -> Any:
    """A setting of the column where it has its own, else the panel's."""
    own = _own(panel, name, column)
    return panel["fieldConfig"]["defaults"].get(name) if own is None else own


def _own(panel: Json, name: str, column: str) -> Any:
    for one in panel["fieldConfig"].get("overrides", []):
        if column and one["matcher"] == {"id": "byName", "options": column}:
            for item in one["properties"]:
                if item["id"] == name:
                    return item["value"]
    return None


def _names(panel: Json) -> Iterator[str]:
    """Columns that the panel's settings name."""
    options = panel.get("options", {})
    for one in panel.get("transformations") or []:
        if one["id"] == "filterFieldsByName":
            yield from one["options"]["include"]["names"]
        elif one["id"] == "joinByField":
            yield one["options"]["byField"]
        elif one["id"] == "rowsToFields":
            yield from (item["fieldName"] for item in one["options"]["mappings"])
    for series in options.get("series") or []:
        if isinstance(series, dict) and "pointSize" in series:
            yield from (series["x"], series["y"], series["pointSize"]["field"], series["pointColor"]["field"])
    shown = str(panel["fieldConfig"]["defaults"].get("displayName") or "")
    yield from (part.split("}")[0] for part in shown.split("${__data.fields.")[1:])
    if not any("{{" in str(target.get("legendFormat", "")) for target in panel["targets"]):  # else by any value
        yield from (
            str(one["matcher"]["options"])
            for one in panel["fieldConfig"].get("overrides", [])
            if one["matcher"]["id"] == "byName"
        )


def _known(panel: Json, cells: Mapping[str, Any]) -> set[str]:
    """Columns that its queries answer with, the labels that its curves are told apart by, their names where they have one."""
    known = {*cells, "Value"}
    for target in panel["targets"]:
        known |= {str(column["text"]) for column in target.get("columns", [])}
        known |= _OF_TRACES if target["datasource"]["type"] == "tempo" else set()
        legend = str(target.get("legendFormat", ""))
        known |= set(re.findall(r"\{\{(\w+)\}\}", legend)) or {legend}
    return known


def _included(panel: Json, cells: Mapping[str, Any]) -> set[str]:
    for one in panel.get("transformations") or []:
        if one["id"] == "filterFieldsByName":
            return set(one["options"]["include"]["names"])
        if one["id"] == "rowsToFields":
            return {item["fieldName"] for item in one["options"]["mappings"]}
    return set(cells)
