"""Grafana's variables, replaced by what fits their position, so that a query can be parsed without a browser."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

from gwz_provision.check.findings import Problem, suggestion

STAND_IN = "gwzvar"
"""Stands for a name or a label value that only the browser knows."""

Guess = Literal["number", "name"]

_VARIABLE = re.compile(r"\$\{(?P<braced>\w+)[^}]*\}|\$(?P<plain>[A-Za-z_]\w*)|\[\[(?P<old>\w+)(?::\w+)?\]\]")
_STRING_END = {'"': re.compile(r'(?:[^"\\]|\\.)*"?', re.DOTALL), "'": re.compile(r"(?:[^'\\]|\\.)*'?", re.DOTALL)}
_RAW_END = re.compile(r"[^`]*`?")
_LABEL_LIST = re.compile(r"(?:\b(?:by|without|on|ignoring|group_left|group_right)\s*)$")
_NUMERIC = frozenset({"__interval_ms", "__rate_interval_ms", "__range_s", "__range_ms", "__from", "__to"})
_DURATION = frozenset({"__interval", "__rate_interval", "__range", "__auto"})
_NAME_CHARACTER = re.compile(r"[\w:.]")
_DURATION_UNIT = re.compile(r"(?:ms|[smhdwy])\b")

BROWSER = _NUMERIC | _DURATION | {"__all", "__name", "__dashboard", "__org", "__user", "__timezone", "timeFilter"}
"""What the browser replaces in every query; `__auto` is Loki's alone."""
BACKEND = {
    "prometheus": frozenset((_NUMERIC | _DURATION) - {"__from", "__to", "__auto"}),
    "loki": frozenset((_NUMERIC | _DURATION) - {"__from", "__to", "__rate_interval", "__rate_interval_ms"}),
    "infinity": frozenset({"__from", "__to", "__timeFrom", "__timeTo"}),
}
"""What the data source's backend in Grafana replaces, which is all that an alert rule gets."""


@dataclass(frozen=True)
class Text:
    """A query without variables, which knows where each of its characters came from."""

    text: str
    pieces: tuple[tuple[int, int, int], ...] = ()
    """Of each replaced variable: where its value starts, how long that is, and where the next character came from."""
    guessed: bool = False
    """Whether a variable stands where a number and a name would both do."""

    def column(self, position: int) -> int:
        """Return the column in the original of a position in this text."""
        origin, begin = 0, 0
        for start, length, after in self.pieces:
            if position < start:
                break
            if position < start + length:
                return origin + (start - begin) + 1
            origin, begin = after, start + length
        return origin + (position - begin) + 1


@dataclass
class _Writer:
    source: str
    guess: Guess
    numeric: frozenset[str]
    out: list[str] = field(default_factory=list)
    length: int = 0
    pieces: list[tuple[int, int, int]] = field(default_factory=list)
    guessed: bool = False
    lists: list[bool] = field(default_factory=list)
    brackets: int = 0

    def copy(self, text: str) -> None:
        self.out.append(text)
        self.length += len(text)

    def replace(self, value: str, after: int) -> None:
        self.pieces.append((self.length, len(value), after))
        self.copy(value)

    def before(self) -> str:
        return "".join(self.out[-40:])[-40:]


def name_of(found: re.Match[str]) -> str:
    """Return the name of the variable that was matched."""
    return found["braced"] or found["plain"] or found["old"]


def used(text: str) -> Iterator[tuple[str, int]]:
    """List the variables of a text with their columns."""
    for found in _VARIABLE.finditer(text):
        if not name_of(found).isdigit():
            yield name_of(found), found.start() + 1


def undefined(text: str, known: Collection[str]) -> Iterator[Problem]:
    """Report each variable that nobody would replace."""
    for name, column in dict(used(text)).items():
        if name not in known and not (name.startswith("__") and name[2:].split(".")[0] in {"field", "data", "series"}):
            yield Problem(
                "variable/undefined",
                f"${name} would be left in the query: it is no variable of the dashboard, and nobody else replaces it.",
                suggestion(name, known, "Declare the variable, or write its value."),
                column,
            )


def substituted(source: str, guess: Guess = "number", numeric: Collection[str] = ()) -> Text:
    """Replace every variable by a value that its position allows; `guess` decides where two would do, but for numeric ones."""
    writer = _Writer(source, guess, frozenset(numeric))
    position = 0
    while position < len(source):
        position = _step(writer, position)
    return Text("".join(writer.out), tuple(writer.pieces), writer.guessed)


def _step(writer: _Writer, position: int) -> int:
    source, character = writer.source, writer.source[position]
    if character in "$[" and (found := _VARIABLE.match(source, position)):
        writer.replace(_value(writer, found), found.end())
        return found.end()
    if character in "\"'`":
        return _string(writer, position)
    if character == "#":
        end = source.find("\n", position)
        end = len(source) if end < 0 else end
        writer.copy(source[position:end])
        return end
    _track(writer, character)
    writer.copy(character)
    return position + 1


def _track(writer: _Writer, character: str) -> None:
    match character:
        case "[":
            writer.brackets += 1
        case "]":
            writer.brackets = max(0, writer.brackets - 1)
        case "(":
            writer.lists.append(bool(_LABEL_LIST.search(writer.before())))
        case ")" if writer.lists:
            writer.lists.pop()


def _string(writer: _Writer, position: int) -> int:
    quote = writer.source[position]
    ending = _RAW_END if quote == "`" else _STRING_END[quote]
    found = ending.match(writer.source, position + 1)
    end = found.end() if found else len(writer.source)
    writer.copy(quote)
    start = position + 1
    for variable in _VARIABLE.finditer(writer.source, start, end):
        # `$1` and `${1}` belong to label_replace, `{{ $x }}` to a template of Go.
        if name_of(variable).isdigit():
            continue
        writer.copy(writer.source[start : variable.start()])
        writer.replace(STAND_IN, variable.end())
        start = variable.end()
    writer.copy(writer.source[start:end])
    return end


def _value(writer: _Writer, found: re.Match[str]) -> str:  # noqa: PLR0911 - one line for each position
    name, before, rest = name_of(found), writer.before(), writer.source[found.end() :]
    joined = bool(before and _NAME_CHARACTER.match(before[-1])) or bool(re.match(r"[A-Za-z_]", rest))
    if writer.brackets or re.search(r"\boffset\s+-?$", before):
        return "5" if _DURATION_UNIT.match(rest) or name in _NUMERIC else "5m"
    if name in _NUMERIC:
        return "300"
    if name in _DURATION:
        return "5m"
    if before.rstrip()[-1:] in {"{", ","} and _open_braces(before) and not re.match(r"\s*[=!]", rest):
        return f'{STAND_IN}="x"'
    if joined or re.match(r"\s*[{\[=]", rest) or (writer.lists and writer.lists[-1]):
        return STAND_IN
    if name in writer.numeric:
        return "1"
    writer.guessed = True
    return "1" if writer.guess == "number" else STAND_IN


def _open_braces(before: str) -> bool:
    return before.count("{") > before.count("}")
