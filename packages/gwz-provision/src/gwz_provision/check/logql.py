"""LogQL, parsed as its documentation describes it."""
# ruff: noqa: SIM905 - words read best as words

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, NoReturn

from gwz_provision import patterns
from gwz_provision.check.findings import meant
from gwz_provision.check.syntax import Parser, Token, tokenized, unparsable

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
    |(?P<bytes>\d+(?:\.\d+)?(?:[kKMGTPE]i?)?B(?!\w)|\d+(?:\.\d+)?[KMGTP]i?(?!\w))
    |(?P<duration>(?:\d*\.?\d+(?:ns|us|µs|ms|[smhdwy]))+(?![\w]))
    |(?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.\d*|\.?\d+)(?:[eE][+-]?\d+)?)
    |(?P<flag>--[a-z-]+)
    |(?P<word>[A-Za-z_][\w:]*)
    |(?P<sign>\|=|\|~|\|>|!=|!~|!>|=~|==|>=|<=|[|=<>(){}\[\],+\-*/%^.@])
    |(?P<stray>.)""",
    re.VERBOSE | re.DOTALL,
)
_RANGE = frozenset(
    """absent_over_time avg_over_time bytes_over_time bytes_rate count_over_time first_over_time last_over_time
    max_over_time min_over_time quantile_over_time rate rate_counter stddev_over_time stdvar_over_time sum_over_time""".split()
)
_NEEDS_UNWRAP = frozenset(
    """avg_over_time first_over_time last_over_time max_over_time min_over_time quantile_over_time rate_counter
    stddev_over_time stdvar_over_time sum_over_time""".split()
)
_NO_UNWRAP = frozenset({"bytes_over_time", "bytes_rate", "count_over_time"})
_GROUPS = frozenset(
    """avg_over_time first_over_time last_over_time max_over_time min_over_time quantile_over_time stddev_over_time
    stdvar_over_time""".split()
)
_VECTOR = frozenset("avg approx_topk bottomk count max min sort sort_desc stddev stdvar sum topk".split())
_WITH_NUMBER = frozenset({"bottomk", "topk", "approx_topk"})
_LINE_FILTERS = ("|=", "!=", "|~", "!~", "|>", "!>")
_POWERS = {
    "or": 1, "and": 2, "unless": 2, "==": 3, "!=": 3, ">": 3, ">=": 3, "<": 3, "<=": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "^": 6,
}  # fmt: skip
_PROMQL_ONLY = frozenset(
    """abs absent ceil changes clamp clamp_max clamp_min delta deriv exp floor histogram_quantile idelta increase irate
    ln log10 log2 predict_linear resets round scalar sgn sqrt time timestamp""".split()
)
_GRAMMAR = "Compare it with LogQL: https://grafana.com/docs/loki/latest/query/."


@dataclass(frozen=True)
class Matcher:
    """A condition on a label or a field, and where its name and its value start."""

    label: str
    operator: str
    value: str
    kind: Literal["string", "number", "duration", "bytes", "ip"]
    start: int
    value_start: int


class Named(NamedTuple):
    """A label and where it is named."""

    label: str
    start: int


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline after `|`; what a parser extracts is in `makes`, what a stage reads in `reads`."""

    name: str
    reads: tuple[Named, ...] = ()
    makes: tuple[str, ...] = ()
    filters: tuple[Matcher, ...] = ()
    paths: tuple[Named, ...] = ()
    conversion: str = ""


@dataclass(frozen=True)
class Logs:
    """A stream selector and its pipeline."""

    selector: tuple[Matcher, ...]
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Grouping:
    """`by` or `without`."""

    keeps: bool
    labels: tuple[Named, ...]


@dataclass(frozen=True)
class Range:
    """A range aggregation of log lines."""

    name: str
    logs: Logs
    grouping: Grouping | None


@dataclass(frozen=True)
class Aggregate:
    """An aggregation of series."""

    name: str
    of: "Node"
    grouping: Grouping | None


@dataclass(frozen=True)
class Binary:
    """An operation on two operands."""

    operator: str
    left: "Node"
    right: "Node"
    on: bool | None = None
    labels: tuple[Named, ...] = ()
    many: str = ""
    included: tuple[Named, ...] = ()
    boolean: bool = False


@dataclass(frozen=True)
class Replaced:
    """label_replace."""

    of: "Node"
    source: Named
    target: str


@dataclass(frozen=True)
class Number:
    """A number, or the vector that vector() makes of one."""

    value: float
    vector: bool = False


Node = Logs | Range | Aggregate | Binary | Replaced | Number


def parse(text: str) -> Node:
    """Parse a query without variables; raises `Unparsable`, whose column is that of `text`."""
    parser = _Parser(tokenized(text, _TOKEN, "logql"))
    return parser.query()


class _Parser(Parser):
    language = "logql"
    grammar = _GRAMMAR

    def query(self) -> Node:
        if self.token.kind == "end":
            self.fail("there is no query", "Write one, or remove the target.")
        node = self._expression(0)
        if self.token.kind != "end":
            self._leftover()
        return node

    def _leftover(self) -> None:
        if self.at("by", "without"):
            self.fail(f"{self.token.text} needs an aggregator before it", "Write sum by (…) (…).")
        if self.at("|", *_LINE_FILTERS):
            self.fail(
                f"{self.seen()} cannot follow a metric query", "Move the stage into the range: rate({…} | … [5m])."
            )
        self.fail(f"{self.seen()} is left over")

    # Metric queries

    def _expression(self, power: int) -> Node:
        self.enter()
        left = self._operand()
        while (own := _POWERS.get(self.token.text, 0)) > power and self.token.kind != "string":
            if isinstance(left, Logs):
                self.fail(f"{self.seen()} cannot follow log lines", "Count them first: rate({…}[5m]).")
            left = self._binary(left, own)
        self.leave()
        return left

    def _binary(self, left: Node, power: int) -> Binary:
        operator = self.advance()
        boolean = bool(self.take("bool"))
        on, labels, many, included = self._matching()
        right = self._expression(power - 1 if operator.text == "^" else power)
        if isinstance(right, Logs):
            self.fail("log lines cannot be calculated with", "Count them first: rate({…}[5m]).", operator)
        if power < 3 and any(isinstance(one, Number) and not one.vector for one in (left, right)):
            self.fail(
                f"{operator.text} wants series on both sides, not a number", "Write vector(0) for a number.", operator
            )
        return Binary(operator.text, left, right, on, labels, many, included, boolean)

    def _matching(self) -> tuple[bool | None, tuple[Named, ...], str, tuple[Named, ...]]:
        found = self.take("on", "ignoring")
        if not found:
            return None, (), "", ()
        labels = self._names()
        side = self.take("group_left", "group_right")
        included = self._names() if side and self.at("(") else ()
        return found.text == "on", labels, side.text[6:] if side else "", included

    def _operand(self) -> Node:
        if self.at("("):
            return self._parenthesis()
        if self.at("{"):
            return self._logs()
        if self.at("+", "-") or self.token.kind == "number":
            return self._number()
        if self.token.kind != "word":
            self.fail(f"{self.seen()} stands where a selector or a function is wanted", 'Begin with {label="value"}.')
        return self._function()

    def _number(self) -> Number:
        sign = self.take("+", "-")
        value = self._value(self.expect_kind("number", "a number"))
        return Number(-value if sign and sign.text == "-" else value)

    def _value(self, token: Token) -> float:
        try:
            return float(int(token.text, 16) if token.text[:2].lower() == "0x" else token.text)
        except OverflowError:
            self.fail("the number is too large", "Write a smaller one.", token)

    def _parenthesis(self) -> Node:
        self.expect("(")
        node = self._expression(0)
        self.expect(")")
        return node

    def _function(self) -> Node:
        token = self.token
        if token.text in _RANGE:
            return self._range()
        if token.text in _VECTOR:
            return self._aggregate()
        if token.text == "label_replace":
            return self._label_replace()
        if token.text == "vector":
            self.advance()
            self.expect("(")
            value = self._value(self.expect_kind("number", "a number without a sign"))
            self.expect(")")
            return Number(value, vector=True)
        return self._no_function(token)

    def _no_function(self, token: Token) -> NoReturn:
        if self.ahead().text != "(":
            self.fail(f"`{token.text}` stands where a selector or a function is wanted", 'Begin with {label="value"}.')
        near = meant(token.text, _RANGE | _VECTOR | {"label_replace", "vector"})
        cure = f"Did you mean {near}?" if near else "Use one of LogQL's functions."
        if token.text in _PROMQL_ONLY:
            cure = (
                f"{token.text} is PromQL's: leave it out, or calculate in a transformation or an expression of Grafana."
            )
        self.fail(f"LogQL has no function {token.text}", cure)

    def _aggregate(self) -> Aggregate:
        name = self.advance().text
        grouping = self._grouping()
        self.expect("(", f"Write {name}(…).")
        if name in _WITH_NUMBER:
            self.expect_kind("number", "how many")
            self.expect(",")
        inside = self.token
        of = self._expression(0)
        if isinstance(of, Logs):
            self.fail(f"{name} wants series, not log lines", f"Count them first: {name}(rate({{…}}[5m])).", inside)
        self.expect(")")
        after = self.token
        if late := self._grouping():
            if grouping:
                self.fail("there is a second grouping", "Keep one.", after)
            grouping = late
        if grouping and name in {"sort", "sort_desc", "approx_topk"}:
            self.fail(f"{name} takes no grouping", "Remove it.", after)
        return Aggregate(name, of, grouping)

    def _range(self) -> Range:
        token = self.advance()
        name = token.text
        self.expect("(", f"Write {name}({{…}}[5m]).")
        if name == "quantile_over_time":
            self._number()
            self.expect(",")
        logs = self._ranged()
        self.expect(")")
        self._fitting(token, logs)
        where = self.token
        grouping = self._grouping()
        if grouping and name not in _GROUPS:
            cure = f"Write sum {where.text} (…) ({name}(…))."
            self.fail(f"{name} takes no {where.text}", cure, where)
        return Range(name, logs, grouping)

    def _fitting(self, token: Token, logs: Logs) -> None:
        unwraps = any(stage.name == "unwrap" for stage in logs.stages)
        if token.text in _NEEDS_UNWRAP and not unwraps:
            self.fail(f"{token.text} needs `| unwrap`", "Say which label's value to take: | unwrap duration_ms.", token)
        if token.text in _NO_UNWRAP and unwraps:
            self.fail(f"{token.text} counts lines, and takes no `| unwrap`", "Remove it, or take sum_over_time.", token)

    def _ranged(self) -> Logs:
        logs, ranged = self._part()
        if not ranged:
            self.fail("the range is missing", "Add one: [$__auto].")
        return logs

    def _part(self) -> tuple[Logs, bool]:
        """Read log lines with their range, which may stand before the pipeline, after it, or around parentheses."""
        self.enter()
        if self.take("("):
            logs, ranged = self._part()
            self.expect(")")
        else:
            if not self.at("{"):
                self.fail(f"{self.seen()} stands where a selector is wanted", 'Write {label="value"}[5m].')
            logs, ranged = Logs(self._selector(), ()), False
        ranged = ranged or self._window()
        logs = Logs(logs.selector, (*logs.stages, *self._stages()))
        self.leave()
        return logs, ranged or self._window()

    def _window(self) -> bool:
        if not self.take("["):
            return False
        self.expect_kind("duration", "a duration such as 5m")
        self.expect("]")
        if self.take("offset"):
            self.take("-")
            self.expect_kind("duration", "a duration such as 5m")
        return True

    def _label_replace(self) -> Replaced:
        self.advance()
        self.expect("(")
        of = self._expression(0)
        strings = []
        for _ in range(4):
            self.expect(",", "label_replace takes a query and four strings.")
            strings.append(self.expect_kind("string", "a string"))
        self.expect(")")
        _regular(strings[3])
        return Replaced(of, Named(_unquoted(strings[2].text), strings[2].start), _unquoted(strings[0].text))

    def _grouping(self) -> Grouping | None:
        found = self.take("by", "without")
        return Grouping(found.text == "by", self._names()) if found else None

    def _names(self) -> tuple[Named, ...]:
        self.expect("(")
        names = []
        while not self.at(")"):
            names.append(self._named())
            if not self.take(","):
                break
            if self.at(")"):
                self.fail("a comma stands before )", "Remove it.")
        self.expect(")")
        return tuple(names)

    def _named(self) -> Named:
        token = self.expect_kind("word", "a label's name")
        return Named(token.text, token.start)

    # Log queries

    def _logs(self) -> Logs:
        logs = Logs(self._selector(), self._stages())
        if not self.at("[") and any(stage.name == "unwrap" for stage in logs.stages):
            self.fail("log lines take no `| unwrap`", "Take a range of them: avg_over_time({…} | unwrap … [5m]).")
        return logs

    def _selector(self) -> tuple[Matcher, ...]:
        opening = self.expect("{")
        matchers = []
        while not self.at("}"):
            matchers.append(self._matcher())
            if not self.at("}"):
                self.expect(",", "Separate the matchers with commas.")
                if self.at("}"):
                    self.fail("a comma stands before }", "Remove it.")
        self.advance()
        if not any(_selects(one) for one in matchers):
            cure = 'Give one label a value that is not empty: {app=~".+"}.'
            self.fail("the selector would match every stream, and Loki refuses that", cure, opening)
        return tuple(matchers)

    def _matcher(self) -> Matcher:
        label = self._named()
        if not self.at("=", "!=", "=~", "!~"):
            self.fail(f"{self.seen()} stands where =, !=, =~ or !~ is wanted", 'Write label="value".')
        operator = self.advance().text
        value = self.expect_kind("string", "a string in double quotes or backticks")
        if "~" in operator:
            _regular(value)
        return Matcher(label.label, operator, _unquoted(value.text), "string", label.start, value.start)

    def _stages(self) -> tuple[Stage, ...]:
        stages = []
        while self.at("|", *_LINE_FILTERS):
            stages.append(self._line_filter() if not self.at("|") else self._stage())
        return tuple(stages)

    def _line_filter(self) -> Stage:
        operator = self.advance().text
        self._line(operator)
        while self.take("or"):
            self._line(operator)
        return Stage("line")

    def _line(self, operator: str) -> None:
        if self.at("ip"):
            if operator not in {"|=", "!="}:
                self.fail(f"ip() goes with |= and !=, not with {operator}", 'Write |= ip("…").')
            self.advance()
            self.expect("(")
            self.expect_kind("string", "an address or a range of addresses")
            self.expect(")")
            return
        text = self.expect_kind("string", "a string in double quotes or backticks")
        if "~" in operator:
            _regular(text)

    def _stage(self) -> Stage:
        self.expect("|")
        token = self.token
        if reader := _STAGES.get(token.text):
            self.advance()
            return reader(self, token.text)
        follows = self.ahead()
        compares = follows.text in {"=", "!=", "=~", "!~", "==", ">", ">=", "<", "<="} and follows.kind == "sign"
        if token.kind == "word" and not compares:
            near = meant(token.text, _STAGES)
            self.fail(f"`{token.text}` is no stage", f"Did you mean {near}?" if near else "")
        filters: list[Matcher] = []
        self._label_filter(filters)
        return Stage("filter", filters=tuple(filters))

    def _extracting(self, name: str) -> Stage:
        while name == "logfmt" and self.token.kind == "flag":
            if self.token.text not in {"--strict", "--keep-empty"}:
                self.fail(f"logfmt has no flag {self.token.text}", "It has --strict and --keep-empty.")
            self.advance()
        paths: list[Named] = []
        makes: list[str] = []
        while self.token.kind == "word":
            if self.token.text in _STAGES:
                self.fail(f"{self.token.text} is a stage, and no label's name", "Put a | before it.")
            label = self._named()
            path, start = label.label, label.start
            if self.take("="):
                value = self.expect_kind("string", "an expression in quotes")
                path, start = _unquoted(value.text), value.start
            makes.append(label.label)
            paths.append(Named(path, start))
            if not self.take(","):
                break
            if self.token.kind != "word":
                self.fail(f"{self.seen()} stands where a label is wanted", "Remove the comma before it.")
        return Stage(name, makes=tuple(makes), paths=tuple(paths))

    def _pattern(self, name: str) -> Stage:
        token = self.expect_kind("string", f"the {name}'s string")
        text = _unquoted(token.text)
        if name == "pattern":
            names = re.findall(r"<(\w+)>", text)
            if re.search(r"<\w+><\w+>", text):
                self.fail("two captures follow each other", "Put a literal between them.", token)
        else:
            names = re.findall(r"\(\?P<(\w+)>", text)
            _regular(token)
        names = [one for one in names if one != "_"]
        if not names:
            self.fail(f"{name} extracts nothing", "Name a capture: <name>, or (?P<name>…).", token)
        return Stage(name, makes=tuple(names))

    def _plain(self, name: str) -> Stage:
        return Stage(name)

    def _line_format(self, name: str) -> Stage:
        return Stage(name, reads=self._template())

    def _template(self) -> tuple[Named, ...]:
        """Read a template of Go, and return the labels that it shows."""
        token = self.expect_kind("string", "a label or a template in quotes")
        if re.sub(r"\{\{.*?\}\}", "", token.text, flags=re.DOTALL).count("{{"):
            self.fail("the template opens {{ and does not close it", "Add the }} that is missing.", token)
        return tuple(_shown_in(token))

    def _label_format(self, name: str) -> Stage:
        makes: list[str] = []
        reads: list[Named] = []
        while True:
            token = self.token
            label = self._named()
            if label.label in makes:
                self.fail(f"{label.label} is made twice", "Use two stages: | label_format … | label_format ….", token)
            makes.append(label.label)
            self.expect("=")
            if self.token.kind == "word":
                reads.append(self._named())
            else:
                reads.extend(self._template())
            if not self.take(","):
                return Stage(name, reads=tuple(reads), makes=tuple(makes))

    def _choosing(self, name: str) -> Stage:
        reads: list[Named] = []
        filters: list[Matcher] = []
        while True:
            if self.ahead().text in {"=", "!=", "=~", "!~"} and self.ahead().kind == "sign":
                filters.append(self._matcher())
            else:
                reads.append(self._named())
            if not self.take(","):
                return Stage(name, reads=tuple(reads), filters=tuple(filters))

    def _unwrap(self, name: str) -> Stage:
        conversion = ""
        if self.ahead().text == "(":
            if not self.at("duration", "duration_seconds", "bytes"):
                self.fail(f"{self.seen()} is no conversion", "There are duration(), duration_seconds() and bytes().")
            conversion = self.advance().text
            self.expect("(")
        reads = (self._named(),)
        if conversion:
            self.expect(")")
        return Stage(name, reads=reads, conversion=conversion)

    def _label_filter(self, into: list[Matcher]) -> None:
        """Read conditions joined by and, or, commas and blanks."""
        self.enter()
        while True:
            if self.take("("):
                self._label_filter(into)
                self.expect(")")
            else:
                into.append(self._condition())
            if not self.take("and", "or", ",") and not self.at("(") and self.token.kind != "word":
                break
            if self.at("offset", "by", "without"):
                break
        self.leave()

    def _condition(self) -> Matcher:
        label = self._named()
        operator = self.token
        if not self.at("=", "!=", "=~", "!~", "==", ">", ">=", "<", "<="):
            self.fail(f"{self.seen()} stands where a comparison is wanted", 'Write | label = "value" or | label > 5.')
        self.advance()
        sign = self.take("-", "+")
        value = self.token
        if self.at("ip"):
            self.advance()
            self.expect("(")
            value = self.expect_kind("string", "an address or a range of addresses")
            self.expect(")")
            return Matcher(label.label, operator.text, _unquoted(value.text), "ip", label.start, value.start)
        if value.kind == "string":
            if operator.text not in {"=", "!=", "=~", "!~"} or sign:
                self.fail(
                    f"a string cannot be compared with {operator.text}", "Write the number without quotes.", operator
                )
            if "~" in operator.text:
                _regular(value)
        elif value.kind not in {"number", "duration", "bytes"}:
            self.fail(f"{self.seen()} stands where a value is wanted", "Put the string in double quotes.")
        elif "~" in operator.text:
            self.fail(f"{operator.text} wants a string", "Put it in double quotes.")
        self.advance()
        kind = value.kind
        text = _unquoted(value.text) if kind == "string" else value.text
        return Matcher(label.label, operator.text, text, kind, label.start, value.start)  # type: ignore[arg-type]


_STAGES = {
    "json": _Parser._extracting,  # noqa: SLF001 - the methods of this module's own class
    "logfmt": _Parser._extracting,  # noqa: SLF001
    "pattern": _Parser._pattern,  # noqa: SLF001
    "regexp": _Parser._pattern,  # noqa: SLF001
    "unpack": _Parser._plain,  # noqa: SLF001
    "decolorize": _Parser._plain,  # noqa: SLF001
    "line_format": _Parser._line_format,  # noqa: SLF001
    "label_format": _Parser._label_format,  # noqa: SLF001
    "drop": _Parser._choosing,  # noqa: SLF001
    "keep": _Parser._choosing,  # noqa: SLF001
    "unwrap": _Parser._unwrap,  # noqa: SLF001
}


def _selects(matcher: Matcher) -> bool:
    """Tell whether a matcher leaves streams out that lack its label."""
    if matcher.operator in {"=", "!="}:
        return (matcher.value != "") == (matcher.operator == "=")
    pattern = patterns.compiled(matcher.value)
    return pattern is None or (pattern.fullmatch("") is None) == (matcher.operator == "=~")


def _regular(token: Token) -> None:
    """Refuse what no dialect of regular expressions takes; Python knows all that RE2 does but a few spellings."""
    text = re.sub(r"\(\?[imsU-]+\)", "", _unquoted(token.text))
    text = re.sub(r"\\p\{?\w+\}?|\[:\^?\w+:\]|\\[Qzx]\S*", "x", text)
    try:
        re.compile(text)
    except patterns.WRONG as error:
        if "global flags" not in str(error):
            cure = "Correct it (RE2), or look for the text itself with |=."
            raise unparsable("logql", f"the regular expression is wrong: {error}", cure, token.start) from error


def _shown_in(token: Token) -> Iterator[Named]:
    # In these blocks the dot is another value.
    if re.search(r"\{\{-?\s*(?:with|range|define)\b", token.text):
        return
    for action in re.finditer(r"\{\{.*?\}\}", token.text, re.DOTALL):
        bare = re.sub(r"\\?\"[^\"]*\"|'[^']*'", lambda found: " " * len(found[0]), action[0])
        for name in re.finditer(r"(?<![\w)$.])\.([A-Za-z_]\w*)", bare):
            yield Named(name[1], token.start + action.start() + name.start(1))


def _unquoted(text: str) -> str:
    if text[:1] == "`":
        return text[1:-1]
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text[1:-1])
