"""In which unit a panel shows a value: its own, or that of the override which fits the value's name."""

from collections.abc import Iterator, Sequence

from gwz_provision import patterns
from gwz_provision.check.asked import Json

_VALUES = frozenset(
    {"stat", "gauge", "bargauge", "timeseries", "barchart", "piechart", "table", "histogram", "xychart"}
)


def unit(panel: Json, ref: str, names: Sequence[str]) -> str | None:
    """Return the unit of a value that has one of these names; None when that cannot be told, or nothing is shown."""
    if panel.get("type") not in _VALUES:
        return None
    config = panel.get("fieldConfig", {})
    shown: str | None = config.get("defaults", {}).get("unit", "")
    if not shown and panel.get("type") == "table":
        shown = None  # of a column that has no unit either, nobody knows whether it is a number
    for override, value in _overrides(config):
        fits = _fits(override.get("matcher", {}), ref, names)
        if fits is None:
            shown = None
        elif fits:
            shown = value
    return shown


def names(panel: Json, *given: str) -> list[str]:
    """Return what a value may be called in a panel, after its transformations; before them it has the given names."""
    found = [*given]
    for one in panel.get("transformations") or ():
        renamed = (one.get("options") or {}).get("renameByName") or {}
        found.extend(str(renamed[old]) for old in list(found) if old in renamed)
    return [one for one in found if one]


def _overrides(config: Json) -> Iterator[tuple[Json, str]]:
    for override in config.get("overrides", ()):
        for item in override.get("properties", ()):
            if item.get("id") == "unit":
                yield override, str(item.get("value") or "")


def _fits(matcher: Json, ref: str, names_: Sequence[str]) -> bool | None:
    options = matcher.get("options")
    templated = any("{{" in name for name in names_)
    match matcher.get("id"):
        case "byFrameRefID":
            return options == ref
        case "byName":
            return True if options in names_ else None if templated else False
        case "byRegexp":
            pattern = patterns.of_browser(str(options).strip("/"))
            if pattern is None:
                return None
            return True if any(map(pattern.search, names_)) else None if templated else False
        case _:
            return None
