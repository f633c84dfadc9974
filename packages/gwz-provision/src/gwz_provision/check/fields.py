"""The names of a panel's fields: those that its queries yield, what its transformations make of them, and those that it names in vain."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gwz_provision.check.asked import Json
from gwz_provision.check.findings import Problem, suggestion

Names = frozenset[str] | None
"""None when nobody can tell before the query is asked."""

_SERIES = frozenset({"Time", "Value"})
# Of each transformation the places of the names that it looks for; `*` stands for the names of an object's own places.
_LOOKS_FOR = {
    "organize": ("excludeByName.*", "renameByName.*"),
    "filterFieldsByName": ("include.names", "exclude.names"),
    "joinByField": ("byField",),
    "seriesToColumns": ("byField",),
    "groupBy": ("fields.*",),
    "sortBy": ("sort.field",),
    "convertFieldType": ("conversions.targetField",),
    "filterByValue": ("filters.fieldName",),
    "rowsToFields": ("mappings.fieldName",),
    "calculateField": (
        "reduce.include",
        "unary.fieldName",
        "binary.left",
        "binary.right",
    ),
}
_JOINING = frozenset({"joinByField", "seriesToColumns", "merge"})
_SAME = frozenset({"sortBy", "convertFieldType", "filterByValue", "filterByRefId", "formatTime", "limit"})
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
# What panels themselves name, after all transformations.
_SHOWN = ("sortBy.displayName", "xField", "series.x", "series.y", "series.pointColor.field", "series.pointSize.field")


@dataclass(frozen=True)
class _Known:
    frames: tuple[frozenset[str], ...]
    """The names of the fields of each table."""
    joined: bool = False
    """Whether a name may have got the letter of its query, as in `cost B`, because it was there twice."""

    @property
    def names(self) -> frozenset[str]:
        return frozenset().union(*self.frames)

    def has(self, name: str) -> bool:
        return name in self.names or (self.joined and name.rpartition(" ")[0] in self.names)

    def with_each(self, change: Callable[[frozenset[str]], frozenset[str]]) -> "_Known":
        return _Known(tuple(map(change, self.frames)), self.joined)

    def spelt_out(self, names: Iterable[str]) -> "_Known":
        """Know by themselves those of the names that are there with the letter of their query."""
        lettered = frozenset(one for one in names if self.joined and self.has(one))
        return self.with_each(lambda each: each | lettered)


def of_columns(target: Json) -> Names:
    """Return the columns of a JSON query; None when it names none, or makes series of them."""
    columns = target.get("columns", ())
    if not columns or target.get("summarizeExpression") or target.get("parser") in {"uql", "groq"}:
        return None
    if target.get("format", "table") != "table" and any(one.get("type", "string") == "string" for one in columns):
        return None
    return _closed(
        one.get("text") or one.get("selector", "") for one in (*columns, *_objects(target, "computed_columns"))
    )


def of_series(target: Json, ref: str, legend: str, labels: frozenset[str] | None, values: Sequence[str] = ()) -> Names:
    """Return what the series of a query, or the columns of its table, are called; `values` are those of the legend's only label."""
    match target.get("format"):
        case "table":
            # The name of the metric is there where the query keeps it, and habit excludes it everywhere.
            return None if labels is None else _SERIES | labels | {f"Value #{ref}", "__name__"}
        case "heatmap":
            return None
    if values:
        return _SERIES | {*values}
    return _closed((*_SERIES, legend)) if legend and "{{" not in legend and legend != "__auto" else None


def misnamed(panel: Json, yielded: Sequence[Names]) -> Iterator[Problem]:
    """Report each name in a panel's transformations, overrides and options that no field of it has."""
    frames = tuple(one for one in yielded if one is not None)
    known: _Known | None = _Known(frames)
    if not frames or len(frames) < len(yielded):
        return
    for one in filter(_is_of_data, panel.get("transformations", ())):
        if known is None:
            return
        id_, options = one.get("id", ""), one.get("options", {})
        yield from _sought(id_, options, known)
        known = None if one.get("filter") else _after(id_, options, known)
    if known is not None:
        yield from _shown(panel, known)


def _is_of_data(transformation: Json) -> bool:
    return not transformation.get("disabled") and transformation.get("topic") != "annotations"


def _sought(id_: str, options: Json, known: _Known) -> Iterator[Problem]:
    for place in _LOOKS_FOR.get(id_, ()):
        where = f"{place.partition('.')[0]} of the transformation {id_}"
        for name in _texts(options, *place.split(".")):
            if not known.has(name):
                if not _NUMBER.fullmatch(name):
                    yield _missing(where, name, known)
            elif place == "byField" and (lacking := sum(name not in frame for frame in known.frames)):
                sentence = f"{where} names {name!r}, and {lacking} of the panel's queries have no such field: they are left out."
                yield Problem("panel/field", sentence, "Call it the same in each of them.")


def _shown(panel: Json, known: _Known) -> Iterator[Problem]:
    config = panel.get("fieldConfig", {})
    if config.get("defaults", {}).get("displayName"):
        return
    overrides = config.get("overrides", ())
    properties = [item for one in overrides for item in one.get("properties", ())]
    shown = {str(item.get("value")) for item in properties if item.get("id") == "displayName"}
    named = [
        ("an override", _texts(overrides)),
        *(
            (f"{place.partition('.')[0]} of the panel", _texts(panel.get("options"), *place.split(".")))
            for place in _SHOWN
        ),
    ]
    for where, names in named:
        yield from (_missing(where, name, known) for name in names if not known.has(name) and name not in shown)


def _after(id_: str, options: Json, known: _Known) -> _Known | None:
    """Return the names that there are after a transformation; None when nobody can tell."""
    match id_:
        case "organize":
            excluded, renamed = {*_texts(options, "excludeByName", "*")}, _object(options, "renameByName")
            return known.spelt_out(renamed).with_each(
                lambda names: frozenset(str(renamed.get(one) or one) for one in names if one not in excluded)
            )
        case "filterFieldsByName" if all(_object(options, side).keys() <= {"names"} for side in ("include", "exclude")):
            included, excluded = {*_texts(options, "include", "names")}, {*_texts(options, "exclude", "names")}
            return known.spelt_out(included).with_each(
                lambda names: (names & included if included else names) - excluded
            )
        case "calculateField" if _makes_one(options):
            return known.with_each(lambda names: names | {str(options["alias"])})
        case _ if id_ in _JOINING:
            return _Known((known.names,), joined=True)
        case _:
            return known if id_ in _SAME else None


def _makes_one(options: Json) -> bool:
    """Tell whether a calculation adds one field, by the name of its alias."""
    sides = [_object(_object(options, "binary"), side) for side in ("left", "right")]
    of_types = any(_object(side, "matcher").get("id") == "byType" for side in sides)
    return bool(options.get("alias")) and not of_types and not options.get("replaceFields")


def _missing(where: str, name: str, known: _Known) -> Problem:
    cure = suggestion(name, known.names, f"There are {', '.join(sorted(known.names)) or 'none'}.")
    return Problem("panel/field", f"{where} names {name!r}, and no field of the panel is called so.", cure)


def _closed(names: Any) -> Names:
    found = frozenset(map(str, names))
    return None if any("$" in name or "[[" in name for name in found) else found


def _object(value: Json, name: str) -> Json:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _objects(value: Json, name: str) -> list[Json]:
    found = value.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _texts(value: Any, *steps: str) -> Iterator[str]:
    """List the names at a place that may lead through lists: texts, what matches by name, or of an object the places that are set."""
    match value:
        case list():
            for one in value:
                yield from _texts(one, *steps)
        case dict() if steps == ("*",):
            yield from (name for name, one in value.items() if one)
        case dict() if steps:
            yield from _texts(value.get(steps[0]), *steps[1:])
        case dict() if _object(value, "matcher").get("id") == "byName":
            yield from _texts(value["matcher"].get("options"))
        case str() if value and not steps and "$" not in value:
            yield value
