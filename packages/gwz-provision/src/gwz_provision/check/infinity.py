"""JSON queries of the Infinity data source held against the contract's endpoints and the fields of their answers."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from gwz_provision.check.contract import Contract, Endpoint, Field
from gwz_provision.check.findings import Problem, suggestion
from gwz_provision.check.substitution import STAND_IN, substituted

Json = dict[str, Any]

_SIMPLE = re.compile(r"[\w*#@$\[\].]*")
_WORD = re.compile(r"(?<![$\w\"])(?:`(?P<quoted>[^`]+)`|(?P<plain>[A-Za-z_]\w*))(?!\s*\(|[\w\"])")
_MADE = re.compile(r"[\"'](?P<name>\w+)[\"'](?:\s*:\s*(?:\$?\w+\.)*(?P<of>\w+)\s*[,}])?")
_BRACED = re.compile(r"\$\{\w+[^}]*\}|\[\[\w+\]\]")
_KEYWORDS = frozenset({STAND_IN, "and", "or", "in", "true", "false", "null", "function"})
_TYPES = {
    "string": {"string"},
    "number": {"number"},
    "integer": {"number"},
    "boolean": {"boolean", "string"},
    "date-time": {"timestamp"},
}


@dataclass(frozen=True)
class Column:
    """A column of the answer: what it is called, and the field that fills it."""

    name: str
    field: Field


def examined(target: Json, contract: Contract | None) -> tuple[tuple[Column, ...], list[Problem]]:
    """Check one query; returns its columns as well, as far as the contract knows their fields."""
    if target.get("source") == "inline":
        return (), []
    problems = list(_form(target))
    url = _plain(str(target.get("url") or ""))
    absolute = re.match(r"[a-z]+://|//", url)
    if absolute:
        sentence = f"the url {url} is absolute, and the data source puts its own address before it."
        problems.append(Problem("infinity/url", sentence, "Write the path alone: /api/…"))
    if contract is None or absolute:
        return (), problems
    path, _, query = url.partition("?")
    endpoint = _endpoint(contract, path, _method(target))
    if endpoint is None:
        return (), [*problems, _no_endpoint(contract, path, _method(target))]
    problems.extend(_parameters(endpoint, query, target))
    columns, wrong = _columns(endpoint, target)
    return columns, [*problems, *wrong]


def _form(target: Json) -> Iterator[Problem]:
    if target.get("parser") != "backend":
        sentence = f"parser is {target.get('parser', '')!r}: alerts and the API would see no data."
        yield Problem("infinity/parser", sentence, 'Set "parser": "backend".')
    if target.get("type", "json") != "json":
        yield Problem(
            "infinity/type", f"type is {target['type']!r}, and the endpoints answer in JSON.", 'Set "type": "json".'
        )
    if target.get("source", "url") != "url":
        yield Problem("infinity/source", f"source is {target['source']!r}, not an address.", 'Set "source": "url".')
    if not target.get("url"):
        yield Problem("infinity/url", "the query has no url.", "Write the endpoint's path: /api/…")


def _plain(text: str) -> str:
    """Put stand-ins where the browser or the backend puts values."""
    return substituted(text, "name").text


def _method(target: Json) -> str:
    return str(target.get("url_options", {}).get("method") or "GET")


def _endpoint(contract: Contract, path: str, method: str) -> Endpoint | None:
    fitting = [one for one in contract.endpoints if one.method == method and _template(one.path).fullmatch(path)]
    return min(fitting, key=lambda one: one.path.count("{"), default=None)


def _template(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+(?::path)?\})", path)
    return re.compile("".join(_part(part) for part in parts))


def _part(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    return ".+" if part.endswith(":path}") else "[^/]+"


def _no_endpoint(contract: Contract, path: str, method: str) -> Problem:
    known = [one.path for one in contract.endpoints if one.method == method]
    other = next((one for one in contract.endpoints if _template(one.path).fullmatch(path)), None)
    cure = f"It is asked with {other.method}." if other else suggestion(path, known, "Ask one of the contract's.")
    return Problem("infinity/endpoint", f"there is no endpoint {method} {path}.", cure)


def _parameters(endpoint: Endpoint, query: str, target: Json) -> Iterator[Problem]:
    if endpoint.parameters is None:
        return
    known = {str(one["name"]): one for one in endpoint.parameters}
    listed = [
        (str(one.get("key", "")), _plain(str(one.get("value", ""))))
        for one in target.get("url_options", {}).get("params", ())
    ]
    for name, value in [*parse_qsl(query, keep_blank_values=True), *listed]:
        if name not in known:
            cure = suggestion(name, known, f"It takes {', '.join(known) or 'none'}.")
            yield Problem("infinity/parameter", f"{endpoint.path} has no parameter {name}.", cure)
        elif STAND_IN not in value and (wanted := _refused(known[name], value)):
            yield Problem(
                "infinity/parameter", f"{name} is {value!r}, and {endpoint.path} wants {wanted}.", "Correct the value."
            )


def _refused(parameter: Json, value: str) -> str | None:
    """Say what a parameter must be, if the value is not."""
    values = parameter.get("values") or parameter.get("enum")
    if values:
        return None if value in map(str, values) else f"one of {', '.join(map(str, values))}"
    low, high = parameter.get("minimum"), parameter.get("maximum")
    if parameter.get("type") not in {"integer", "number"}:
        return None
    try:
        number = int(value) if parameter["type"] == "integer" else float(value)
    except ValueError:
        return f"a number from {low} to {high}"
    outside = (low is not None and number < low) or (high is not None and number > high)
    return f"{low} to {high}" if outside else None


def _columns(endpoint: Endpoint, target: Json) -> tuple[tuple[Column, ...], list[Problem]]:
    # `$k` may be JSONata's own variable; in braces it is the dashboard's.
    root = _BRACED.sub(STAND_IN, str(target.get("root_selector") or ""))
    wanted = target.get("columns", ())
    reach = _Reach(endpoint, root)
    problems = list(reach.problems)
    columns = []
    for one in wanted:
        selector = str(one.get("selector") or "")
        found = reach.field(selector)
        if found is None:
            problems.append(_no_field(endpoint, reach, selector))
        elif found.name:
            columns.append(Column(str(one.get("text") or selector), found))
            problems.extend(_typed(one, found, str(target.get("format") or "table")))
    return tuple(columns), problems


def _no_field(endpoint: Endpoint, reach: "_Reach", selector: str) -> Problem:
    under = f" under {reach.root}" if reach.root else ""
    cure = suggestion(selector, reach.names(), f"There are {', '.join(sorted(reach.names())) or 'none'}.")
    return Problem("infinity/field", f"{endpoint.path} has no field {selector or '(empty)'}{under}.", cure)


def _typed(column: Json, found: Field, shape: str) -> Iterator[Problem]:
    kind = str(column.get("type") or "string")
    if found.type == "number" and "since 1970" in found.brief and kind != "number":
        wanted = {"timestamp_epoch_s"}
    elif found.type == "date-time" and shape == "table":
        wanted = {"timestamp", "string"}
    else:
        wanted = _TYPES.get(found.type, {kind})
    if kind not in wanted:
        sentence = f"the column {column.get('selector')} is typed {kind}, and the field is a {found.type}."
        yield Problem("infinity/type", sentence, f"Type it {' or '.join(sorted(wanted))}.")


class _Reach:
    """The fields that can be reached from a root selector."""

    def __init__(self, endpoint: Endpoint, root: str) -> None:
        self.root = root
        self.problems: list[Problem] = []
        self._paths = [(_segments(one.name), one) for one in endpoint.fields]
        if _SIMPLE.fullmatch(root):
            self._simple(endpoint, root)
        else:
            self._computed(endpoint, root)

    def _simple(self, endpoint: Endpoint, root: str) -> None:
        self._made: frozenset[str] | None = None
        segments = _segments(root)
        if endpoint.many and segments[:1] != ["[]"]:
            segments = ["[]", *segments]
        self._rests = list(_rests(self._paths, segments))
        if not self._rests:
            names = {".".join(path[: len(segments)]).replace(".[]", "[]") for path, _ in self._paths}
            cure = suggestion(root, names, "Take a field of the answer.")
            self.problems.append(Problem("infinity/root", f"{endpoint.path} has nothing at {root}.", cure))

    def _computed(self, endpoint: Endpoint, root: str) -> None:
        """Of an expression, ask only that each name in it is one of the answer's."""
        made = {found["name"]: found["of"] for found in _MADE.finditer(root)}
        self._made = frozenset(made)
        self._rests = [(path[-1:] if path[-1] != "[]" else path[-2:-1], one) for path, one in self._paths]
        self._rests += [([name], one) for name, of in made.items() for path, one in self._paths if path[-1] == of]
        known = {segment for path, _ in self._paths for segment in path}
        bare = re.sub(r"\"[^\"]*\"|'[^']*'|/[^/\s]+/", " ", root)
        for found in _WORD.finditer(bare):
            name = found["quoted"] or found["plain"]
            if name not in known | self._made | _KEYWORDS:
                cure = suggestion(name, known, "Take a field of the answer.")
                self.problems.append(Problem("infinity/root", f"{endpoint.path} has no field {name}.", cure))

    def names(self) -> set[str]:
        """Name the fields within reach."""
        return {".".join(rest).replace(".[]", "[]").removeprefix("[].") for rest, _ in self._rests} | (
            self._made or set()
        )

    def field(self, selector: str) -> Field | None:
        """Return the field at a column's selector; an unnamed one when it exists but is not known."""
        if self.problems:
            return Field("")
        if not _SIMPLE.fullmatch(selector) or STAND_IN in _plain(selector):
            return Field("")
        segments = _segments(selector)
        for rest, one in self._rests:
            path = rest[1:] if rest[:1] == ["[]"] else rest
            if _same(path, segments) or _same([part for part in path if part != "[]"], segments):
                return one
        # An object or a list is a column too, as text.
        parents = any(part[: len(segments)] == segments for part in self._inner())
        return Field("") if segments and (parents or (self._made and selector in self._made)) else None

    def _inner(self) -> Iterable[list[str]]:
        return [rest[1:] if rest[:1] == ["[]"] else rest for rest, _ in self._rests]


def _segments(path: str) -> list[str]:
    """Split a path of the contract, of gjson or of JSONata: `[]` is any item, `*` any key."""
    spelled = {"#": "[]", "@values": "*", "@this": "", "$": "", "@keys": "*"}
    parts = re.findall(r"\[\d*\]|[^.\[\]]+", path)
    named = [spelled.get(part, "[]" if part.startswith("[") else part) for part in parts]
    return [part for part in named if part]


def _rests(paths: Sequence[tuple[list[str], Field]], root: list[str]) -> Iterator[tuple[list[str], Field]]:
    for path, one in paths:
        rest = _after(path, root)
        if rest is not None:
            yield rest, one


def _after(path: list[str], root: list[str]) -> list[str] | None:
    """Return what follows the root in a path; the root may leave `[]` out, as JSONata does."""
    index = 0
    for segment in root:
        while index < len(path) and path[index] == "[]" and segment != "[]":
            index += 1
        if index >= len(path) or not _alike(path[index], segment):
            return None
        index += 1
    return path[index:]


def _same(path: list[str], selector: list[str]) -> bool:
    return len(path) == len(selector) and all(map(_alike, path, selector))


def _alike(declared: str, asked: str) -> bool:
    return declared == asked or (declared == "*" and asked != "[]") or (declared == "[]" and asked.isdigit())
