"""The variables of a dashboard, resolved as the browser does when somebody opens it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from gwz_provision import patterns
from gwz_provision.bundle import Dashboard, Json
from gwz_provision.check.asked import referred
from gwz_provision.errors import QueryFailed

ALL = "$__all"
_LABEL_VALUES = re.compile(r"\s*label_values\(\s*(?:(?P<of>.+?)\s*,\s*)?(?P<label>\w+)\s*\)\s*", re.DOTALL)
_CHOSEN = ("query", "custom", "constant", "textbox", "interval", "datasource")
_ENTRY = re.compile(r"(?:\\,|[^,])+")
_SLASHED = re.compile(r"/(?P<expression>.*?)/(?P<flags>g?i?m?y?)", re.DOTALL)


@dataclass(frozen=True)
class Choice:
    """The values that a variable has; `pattern` when several can be chosen, `verbatim` when they are put in as they are."""

    values: tuple[str, ...]
    pattern: bool = False
    verbatim: bool = False


@dataclass(frozen=True)
class LabelValues:
    """A variable's question for the values of a label, of what a selector selects; an empty one selects everything."""

    label: str
    selector: str = ""


@dataclass(frozen=True)
class Variable:
    """A variable of a dashboard."""

    dashboard: str
    entry: Json

    @property
    def id(self) -> str:
        """The name of the check that resolves it."""
        return f"variable:{self.dashboard}/{self.name}"

    @property
    def name(self) -> str:
        """What queries call it."""
        return str(self.entry["name"])

    @property
    def kind(self) -> str:
        """How it gets its values."""
        return str(self.entry.get("type", ""))

    @property
    def datasource(self) -> Json:
        """Where its values come from, if it asks for them."""
        return referred(self.entry.get("datasource"))

    @property
    def query(self) -> Any:
        """What it asks: a text, or an object of its data source."""
        return self.entry.get("query", "")

    @property
    def label_values(self) -> LabelValues | None:
        """The label that Prometheus or Loki is asked for; None for any other question."""
        query = self.query
        if isinstance(query, dict) and "label" in query:
            return LabelValues(str(query["label"]), str(query.get("stream") or ""))
        found = _LABEL_VALUES.fullmatch(str(query.get("query", "")) if isinstance(query, dict) else str(query))
        return LabelValues(found["label"], found["of"] or "") if found else None

    @property
    def needs_options(self) -> bool:
        """Tell whether its data source has to be asked: not for what somebody wrote down, nor for All with a value of its own."""
        return self.kind == "query" and not (self._is_all and self.entry.get("allValue"))

    def options(self) -> list[str]:
        """List the values that the dashboard itself names."""
        query = str(self.query)
        if self.kind in {"constant", "textbox"}:
            return [query]
        entries = [entry.strip().replace("\\,", ",") for entry in _ENTRY.findall(query)]
        if self.kind == "custom":
            return [entry.partition(" : ")[2].strip() or entry for entry in entries]
        return [entry for entry in entries if entry != "auto"]

    def offered(self, found: Iterable[str]) -> list[str]:
        """Filter and sort what a data source answered; raises `QueryFailed` for a filter that only the browser can apply."""
        values = list(dict.fromkeys(self._filtered(found)))
        sort = _SORTS.get(self.entry.get("sort", 0))
        return sort(values) if sort else values

    def _filtered(self, found: Iterable[str]) -> Iterable[str]:
        written = self.entry.get("regex")
        if not written:
            return found
        slashed = _SLASHED.fullmatch(written)
        expression, flags = (slashed["expression"], slashed["flags"]) if slashed else (f"^{written}$", "")
        pattern = patterns.of_browser(expression, re.IGNORECASE if "i" in flags else 0)
        if pattern is None:
            raise QueryFailed(
                f"Variable {self.name} filters its values by {written}, which is wrong or only the browser can apply.",
                f"Correct its regex in the dashboard, or pass --var {self.name}=value.",
            )
        last = None if "g" in flags else 1
        return [one for value in found for one in _kept(value, list(islice(pattern.finditer(value), last)))]

    def chosen(self, options: Sequence[str], value: str | None = None) -> Choice | None:
        """Choose the value that was asked for, else the dashboard's current one, else the first; None when there is none."""
        several = bool(self.entry.get("multi") or self.entry.get("includeAll"))
        if value not in {None, ALL}:
            return Choice((str(value),), pattern=several)
        if value == ALL or self._is_all:
            written = self.entry.get("allValue")
            if written:
                return Choice((str(written),), verbatim=True)
            return Choice(tuple(options), pattern=True) if options else None
        current = [one for one in self._current() if not options or one in options or self.kind == "textbox"]
        picked = current or list(options[:1])
        return Choice(tuple(picked), pattern=several) if picked else None

    @property
    def _is_all(self) -> bool:
        """Tell whether it stands at All: the browser's first option where there is one."""
        current = self._current()
        return bool(self.entry.get("includeAll")) and (not current or ALL in current)

    def _current(self) -> list[str]:
        value = self.entry.get("current", {}).get("value")
        listed = value if isinstance(value, list) else [value]
        return [str(one) for one in listed if one or (one == "" and self.kind == "textbox")]


def variables(dashboard: Dashboard) -> list[Variable]:
    """List the variables that queries can name, in the order in which they are resolved."""
    listed = dashboard.model.get("templating", {}).get("list", ())
    return [Variable(dashboard.uid, entry) for entry in listed if entry.get("type") in _CHOSEN]


def _kept(value: str, matches: Sequence[re.Match[str]]) -> list[str]:
    """Take from a value what the browser takes: its group `value` or `text`, else its first group, else all of it."""
    if not matches:
        return []
    named = [match.groupdict() for match in matches]
    if part := next((groups[name] for name in ("value", "text") for groups in named if groups.get(name)), None):
        return [part]
    return [match[1] for match in matches if match[1]] if matches[0].re.groups else [value]


def _natural(value: str) -> tuple[float, str]:
    found = re.search(r"\d+(?:\.\d+)?", value)
    return (float(found[0]) if found else -1.0, value)


_SORTS: Mapping[int, Callable[[list[str]], list[str]]] = {
    1: sorted,
    2: lambda values: sorted(values, reverse=True),
    3: lambda values: sorted(values, key=_natural),
    4: lambda values: sorted(values, key=_natural, reverse=True),
    5: lambda values: sorted(values, key=str.lower),
    6: lambda values: sorted(values, key=str.lower, reverse=True),
}
