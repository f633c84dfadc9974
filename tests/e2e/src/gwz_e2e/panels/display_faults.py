"""Faults in how an answer is shown: units, thresholds, words, names, what is made of several values."""

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

from gwz_e2e.panels.boards import Json, Query
from gwz_e2e.panels.question_faults import Change


def of_defaults(change: Callable[[Json], None]) -> Change:
    """Change the panel's defaults."""

    def apply(query: Query) -> Query:
        panel = deepcopy(query.panel)
        change(panel["fieldConfig"]["defaults"])
        return replace(query, panel=panel)

    return apply


OTHER_UNITS = {
    "s": "ms",
    "ms": "s",
    "percentunit": "percent",
    "currencyUSD": "locale",
    "locale": "percentunit",
    "short": "s",
    "reqps": "locale",
    "cps": "reqps",
    "ops": "cps",
    "decbytes": "s",
    "none": "percentunit",
    "dateTimeFromNow": "s",
}


def other_unit(defaults: Json) -> None:
    if defaults.get("unit"):
        defaults["unit"] = OTHER_UNITS[defaults["unit"]]


def of_columns(name: str, change: Callable[[Any], Any]) -> Change:
    """Change a setting of the columns that have it as their own, of those that the query answers."""

    def apply(query: Query) -> Query:
        panel = deepcopy(query.panel)
        answered = {column["text"] for column in query.target.get("columns", [])} or {"Value"}
        for one in panel["fieldConfig"].get("overrides", []):
            for item in one["properties"]:
                if item["id"] == name and one["matcher"]["options"] in answered:
                    item["value"] = change(item["value"])
        return replace(query, panel=panel)

    return apply


def scaled(thresholds: Json) -> Json:
    return {
        **thresholds,
        "steps": [{**step, "value": step["value"] * 10} if step.get("value") else step for step in thresholds["steps"]],
    }


def recoloured(thresholds: Json) -> Json:
    colours = [step["color"] for step in thresholds["steps"]]
    return {
        **thresholds,
        "steps": [
            {**step, "color": colour} for step, colour in zip(thresholds["steps"], reversed(colours), strict=True)
        ],
    }


def of_panel(name: str, change: Callable[[Any], Any]) -> Change:
    """Change a setting of the panel's where a look of the expectation is about it."""

    def alter(defaults: Json) -> None:
        if defaults.get(name):
            defaults[name] = change(defaults[name])

    return of_defaults(alter)


def reworded(mappings: list[Json]) -> list[Json]:
    return [
        {**one, "options": {key: {**to, "text": f"NOT {to['text']}"} for key, to in one["options"].items()}}
        for one in mappings
    ]


def rekeyed(mappings: list[Json]) -> list[Json]:
    """Each value with the words of the next."""
    return [
        {
            **one,
            "options": dict(
                zip(
                    one["options"],
                    [*list(one["options"].values())[1:], next(iter(one["options"].values()))],
                    strict=True,
                )
            ),
        }
        for one in mappings
    ]


def of_mean(query: Query) -> Query | None:
    panel = deepcopy(query.panel)
    reduced = panel.get("options", {}).get("reduceOptions")
    if reduced is None:
        return None
    reduced["calcs"] = ["mean"]
    return replace(query, panel=panel)


def scale_end(query: Query) -> Query | None:
    if query.panel["type"] != "gauge":
        return None
    return of_defaults(lambda defaults: defaults.update(max=defaults["max"] * 100))(query)


def transformed(query: Query) -> Query | None:
    """The columns of a table are named otherwise than they are answered."""
    panel = deepcopy(query.panel)
    for one in panel.get("transformations") or []:
        if one["id"] == "filterFieldsByName":
            one["options"]["include"]["names"] = [f"{name}s" for name in one["options"]["include"]["names"]]
        elif one["id"] == "rowsToFields":
            for item in one["options"]["mappings"]:
                item["fieldName"] = f"{item['fieldName']}s"
    return replace(query, panel=panel)


def row_names(defaults: Json) -> None:
    if defaults.get("displayName"):
        defaults["displayName"] = re.sub(
            r"\$\{__data\.fields\.(\w+)\}", r"${__data.fields.\1s}", defaults["displayName"]
        )


def other_axis(query: Query) -> Query | None:
    panel = deepcopy(query.panel)
    for series in panel.get("options", {}).get("series") or []:
        if isinstance(series, dict) and "pointSize" in series:
            series["x"] = f"{series['x']}s"
    return replace(query, panel=panel)
