"""Single mistakes in a dashboard, one at a time: what the checker must see."""

import copy
import re
from collections.abc import Iterator
from functools import reduce
from typing import Any

from gwz_provision.check.contract import OTHERS, Contract

Json = dict[str, Any]
Place = tuple[str | int, ...]
Mutation = tuple[str, Json]
"""What was changed, and the panel or target that came of it."""

UNITS = ("s", "ms", "bytes", "percent", "percentunit", "currencyUSD", "reqps", "dthms")
# As good as the right one: the same unit written in another way, a plain number of 0 to 100 or of events per second.
ALIKE = {
    "s": {"dthms"},
    "cps": {"reqps"},
    "ops": {"reqps"},
    "decbytes": {"bytes"},
    "none": {"percent"},
    "short": {"reqps"},
}
FIELDS = (
    *(f"transformations.options.{place}" for place in ("include.names", "byField", "mappings.fieldName")),
    "fieldConfig.overrides.matcher.options",
    *(
        f"options.{place}"
        for place in ("sortBy.displayName", "xField", "series.x", "series.y", "series.pointSize.field")
    ),
)
MAKERS = ("targets.columns.text", "targets.legendFormat")
UIDS = ("grafana_prometheus", "grafana_loki", "grafana_promtheus")


def swaps(text: str) -> Iterator[str]:
    """Lose a letter, double one, exchange two: each at the place where a hand slips."""
    middle = len(text) // 2
    lost = text[:middle] + text[middle + 1 :]
    exchanged = text[: middle - 1] + text[middle] + text[middle - 1] + text[middle + 1 :]
    yield from sorted({lost, text + text[-1], exchanged} - {text})


def of_panel(contract: Contract, panel: Json) -> Iterator[Mutation]:
    """Break a panel at one place, at every place in turn."""
    yield from _units(panel)
    yield from _own_uid(panel)
    yield from _fields(panel)
    for number, target in enumerate(panel.get("targets") or ()):
        for what, changed in (*_names(contract, target), *_uids(target), *_json_paths(target)):
            yield what, {**panel, "targets": [*panel["targets"][:number], changed, *panel["targets"][number + 1 :]]}


def _names(contract: Contract, target: Json) -> Iterator[Mutation]:
    """Misspell each metric, label, field and attribute."""
    known = _known(contract)
    for key in ("expr", "query", "legendFormat"):
        text = target.get(key) or ""
        for found in re.finditer(r"[A-Za-z_][\w.:]*", text):
            if key == "legendFormat" and text[: found.start()].rstrip()[-2:] != "{{":
                continue
            word = re.sub(r"^(?:span|resource)\.", "", found[0])
            start = found.start() + found[0].index(word)
            if word not in known or _is_value(text, start):
                continue
            for other in swaps(word):
                if other not in known:
                    yield f"{key} {word} → {other}", {**target, key: text[:start] + other + text[start + len(word) :]}


def _known(contract: Contract) -> set[str]:
    series = [*contract.series.values(), *OTHERS.values()]
    labels = {name for one in series for name in one.labels or ()} | set(contract.stream)
    fields = {*contract.metadata, *contract.fields, *contract.span, *contract.resource}
    return {*(one.name for one in series), *labels, *fields}


def _is_value(text: str, start: int) -> bool:
    """Tell a label's value, a variable or a part of a pattern from a name; `json a="b"` names the field b."""
    if text[max(start - 1, 0)] == '"':
        return re.search(r"\|\s*json\b[^|]*=\"$", text[:start]) is None
    return start > 0 and text[start - 1] in "$|"


def _uids(target: Json) -> Iterator[Mutation]:
    """Name another data source, be it there or not."""
    source = target.get("datasource")
    for uid in UIDS if source else ():
        if uid != source["uid"]:
            yield f"uid {uid}", {**target, "datasource": {**source, "uid": uid}}


def _own_uid(panel: Json) -> Iterator[Mutation]:
    source = panel.get("datasource")
    for uid in UIDS if source and not source["uid"].startswith("--") else ():
        if uid != source["uid"]:
            yield f"panel uid {uid}", {**panel, "datasource": {**source, "uid": uid}}


def _fields(panel: Json) -> Iterator[Mutation]:
    """Misspell each name of a field: where the panel names it, and where a query makes one that the panel names."""
    named = [
        (path, text)
        for place in FIELDS
        for path, text in _texts(panel, place.split("."))
        if path[0] != "fieldConfig" or panel["fieldConfig"]["overrides"][path[2]]["matcher"]["id"] == "byName"
    ]
    # Series that are called by an open set of labels may have any name.
    if any("{{" in (one.get("legendFormat") or "").replace("{{level}}", "") for one in panel.get("targets") or ()):
        return
    used = {text for _, text in named}
    made = [(path, text) for place in MAKERS for path, text in _texts(panel, place.split(".")) if text in used]
    for path, text in (*named, *made):
        for other in swaps(text):
            yield f"field {'/'.join(map(str, path))} {text} → {other}", _put(panel, path, other)


def _texts(value: Any, steps: list[str], path: Place = ()) -> Iterator[tuple[Place, str]]:
    """List the texts at a place, which may lead through lists."""
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from _texts(one, steps, (*path, number))
    elif not steps and isinstance(value, str):
        yield path, value
    elif steps and isinstance(value, dict) and steps[0] in value:
        yield from _texts(value[steps[0]], steps[1:], (*path, steps[0]))


def _put(panel: Json, path: Place, value: str) -> Json:
    changed = copy.deepcopy(panel)
    parent = reduce(lambda inner, step: inner[step], path[:-1], changed)
    parent[path[-1]] = value
    return changed


def _units(panel: Json) -> Iterator[Mutation]:
    """Show a value in each other unit; where fields have units of their own, those are what is shown. A text has none."""
    columns = [column for target in panel.get("targets") or () for column in target.get("columns") or ()]
    if columns and all(column["type"] == "string" for column in columns):
        return
    config = panel.get("fieldConfig") or {}
    own = [
        (number, place, item["value"])
        for number, override in enumerate(config.get("overrides") or ())
        for place, item in enumerate(override["properties"])
        if item["id"] == "unit"
    ]
    for number, place, unit in own:
        for other in _others(unit):
            changed = copy.deepcopy(panel)
            changed["fieldConfig"]["overrides"][number]["properties"][place]["value"] = other
            yield f"unit of field {number}: {unit} → {other}", changed
    unit = (config.get("defaults") or {}).get("unit")
    for other in _others(unit) if unit and not own else ():
        yield (
            f"unit {unit} → {other}",
            {**panel, "fieldConfig": {**config, "defaults": {**config["defaults"], "unit": other}}},
        )


def _others(unit: str) -> list[str]:
    if unit.startswith("dateTime"):
        return []  # Grafana shows a time as a date, whatever the unit
    return [other for other in UNITS if other != unit and other not in ALIKE.get(unit, ())]


def _json_paths(target: Json) -> Iterator[Mutation]:
    """Take another parser of Infinity, and misspell each step from the url to the field."""
    if "parser" not in target:
        return
    for parser in ("simple", "", "uql"):
        yield f"parser {parser!r}", {**target, "parser": parser}
    path, mark, query = target["url"].partition("?")
    folder, _, last = path.rpartition("/")
    for other in swaps(last) if "$" not in last else ():
        yield f"url {other}", {**target, "url": f"{folder}/{other}{mark}{query}"}
    for found in re.finditer(r"(?<![$\w\"])[a-z_]{4,}(?![\w(\"])", target["root_selector"]):
        for other in swaps(found[0]):
            text = target["root_selector"]
            yield f"root {other}", {**target, "root_selector": text[: found.start()] + other + text[found.end() :]}
    for number, column in enumerate(target["columns"]):
        for other in swaps(column["selector"]):
            columns = [*target["columns"]]
            columns[number] = {**column, "selector": other}
            yield f"selector {other}", {**target, "columns": columns}
