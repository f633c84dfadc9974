"""TraceQL, parsed as its documentation describes it."""
# ruff: noqa: SIM905 - words read best as words

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NoReturn

from gwz_provision import patterns
from gwz_provision.check.findings import meant
from gwz_provision.check.syntax import Parser, Token, tokenized

_NAME = r"[^\s{}()=~!<>&|^,\"`]+"
_SCOPES = ("span", "resource", "event", "link", "instrumentation", "parent")
_TOKEN = re.compile(
    rf"""(?P<space>\s+|//[^\n]*)
    |(?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)
    |(?P<duration>\d+(?:\.\d+)?(?:ns|us|µs|ms|[smhd])(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|[smhd]))*(?![\w.]))
    |(?P<number>(?:\d*\.?\d+(?:[eE][+-]?\d+)?|\d+\.)(?![\w.]))
    |(?P<attribute>(?:parent\.)?(?:(?:span|resource|event|link|instrumentation)\.|\.)(?:"(?:[^"\\]|\\.)*"|{_NAME})+|parent\.{_NAME})
    |(?P<word>[A-Za-z_][\w]*(?::[A-Za-z]+)?)
    |(?P<sign>&>>|&<<|!>>|!<<|&>|&<|&~|!>|!<|!~|=~|!=|>=|<=|>>|<<|&&|\|\||[|=<>(){{}},+\-*/%^!~])
    |(?P<stray>.)""",
    re.VERBOSE | re.DOTALL,
)
_INTRINSICS = frozenset(
    """duration name status statusMessage kind parent rootName rootServiceName traceDuration nestedSetLeft
    nestedSetRight nestedSetParent span:duration span:name span:status span:statusMessage span:kind span:id
    span:parentID trace:duration trace:rootName trace:rootService trace:id event:name event:timeSinceStart
    link:traceID link:spanID instrumentation:name instrumentation:version""".split()
)
_STATICS = frozenset("true false nil error ok unset unspecified internal server client producer consumer".split())
_KINDS = frozenset("unspecified internal server client producer consumer".split())
_STATUSES = frozenset(["error", "ok", "unset"])
_NEAR_INTRINSICS = {
    "traceid": "trace:id", "trace_id": "trace:id", "traceID": "trace:id", "spanid": "span:id", "span_id": "span:id", "spanID": "span:id",
    "rootservicename": "rootServiceName", "service": "resource.service.name", "duration_ms": "duration",
}  # fmt: skip
_STRUCTURAL = frozenset(["&>>", "&<<", "&>", "&<", "&~", "!>>", "!<<", "!>", "!<", "!~", ">>", "<<", ">", "<", "~"])
_SETS = frozenset(["&&", "||"])
_POWERS = {
    "||": 1, "&&": 2, "=": 3, "!=": 3, "=~": 3, "!~": 3, ">": 3, ">=": 3, "<": 3, "<=": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "^": 6,
}  # fmt: skip
_COMPARISONS = frozenset(["=", "!=", ">", ">=", "<", "<="])
_AGGREGATES = frozenset({"count", "avg", "max", "min", "sum"})
_WITH_FIELD = frozenset({"min_over_time", "max_over_time", "avg_over_time", "sum_over_time", "histogram_over_time"})
_METRICS = frozenset({"rate", "count_over_time", "quantile_over_time", "compare"}) | _WITH_FIELD
_MOST_GROUPS = 5
_GRAMMAR = "Compare it with TraceQL: https://grafana.com/docs/tempo/latest/traceql/."


@dataclass(frozen=True)
class Attribute:
    """An attribute with its scope, or an intrinsic, whose scope is empty, and where it starts."""

    scope: str
    name: str
    start: int


@dataclass(frozen=True)
class Comparison:
    """An attribute held against a string, or a word such as `error`."""

    attribute: Attribute
    operator: str
    value: str
    start: int


@dataclass(frozen=True)
class Query:
    """What a query names; `function` is the metrics function, whose field is `of` and whose series have labels `by`."""

    attributes: tuple[Attribute, ...]
    comparisons: tuple[Comparison, ...]
    function: str = ""
    of: Attribute | None = None
    by: tuple[Attribute, ...] = ()


def parse(text: str) -> Query:
    """Parse a query without variables; raises `Unparsable`, whose column is that of `text`."""
    parser = _Parser(tokenized(text, _TOKEN, "traceql"))
    return parser.query()


_Type = Literal["number", "string", "bool", "status", "kind", "nil", "any"]
_TYPES: dict[str, _Type] = {
    **dict.fromkeys(("duration", "traceDuration", "nestedSetLeft", "nestedSetRight", "nestedSetParent"), "number"),
    **dict.fromkeys(("span:duration", "trace:duration", "event:timeSinceStart"), "number"),
    **dict.fromkeys(("status", "span:status"), "status"),
    **dict.fromkeys(("kind", "span:kind"), "kind"),
    **dict.fromkeys(("true", "false"), "bool"),
    **dict.fromkeys(_STATUSES, "status"),
    **dict.fromkeys(_KINDS, "kind"),
    "nil": "nil",
}  # fmt: skip
_ORDERED = frozenset({"number", "string", "any"})
_NUMERIC = frozenset({"number", "any"})
_LOGICAL = frozenset({"bool", "any"})


@dataclass(frozen=True)
class _Operand:
    """A part of a condition: its first token, its type, and the attribute or the string that it is."""

    token: Token
    type: _Type
    attribute: Attribute | None = None
    literal: str | None = None
    names_span: bool = False


class _Parser(Parser):
    language = "traceql"
    grammar = _GRAMMAR

    def query(self) -> Query:
        self._attributes: list[Attribute] = []
        self._comparisons: list[Comparison] = []
        self._function = ""
        self._of: Attribute | None = None
        self._by: tuple[Attribute, ...] = ()
        if self.token.kind == "end":
            self.fail("there is no query", "Write one, such as { }, or remove the target.")
        if self._starts_pipeline():
            if self.token.text in _METRICS:
                self.fail(f"{self.token.text} wants spans before it", f"Write {{ }} | {self.token.text}(…).")
            self._stage()
        else:
            piped = self._spansets()
            if piped and self.at("|"):
                self.fail("nothing can follow pipelines in parentheses", "Put the stage into them.")
        while self.take("|"):
            if self._function:
                self._second_stage()
                break
            self._stage()
        if self.take("with"):
            self._hints()
        if self.token.kind != "end":
            self._leftover()
        return Query(tuple(self._attributes), tuple(self._comparisons), self._function, self._of, self._by)

    def _leftover(self) -> None:
        if self.at("by"):
            self.fail(
                "by() belongs to a metrics function, or is a stage of its own",
                "Write | by(…) | count() > 1, or | rate() by (…).",
            )
        if self.at("]", "["):
            self.fail("TraceQL has no ranges", "Grafana gives the step.")
        self.fail(f"{self.seen()} is left over")

    def _starts_pipeline(self) -> bool:
        return self.token.kind == "word" and self.ahead().text == "("

    # Spansets

    def _spansets(self) -> bool:
        """Read spansets joined by operators; tells whether they are pipelines, which join only with pipelines."""
        self.enter()
        piped = self._spanset()
        while self.at(*_STRUCTURAL, *_SETS):
            operator = self.advance()
            if self._spanset() != piped:
                self.fail(
                    f"{operator.text} joins a spanset and a pipeline",
                    "Put both into parentheses with a pipe, or none.",
                    operator,
                )
        self.leave()
        return piped

    def _spanset(self) -> bool:
        if self.take("("):
            piped = self._spansets()
            while not piped and self.take("|"):
                self._stage()
                piped = self.at(")")
            self.expect(")")
            return piped
        if not self.at("{"):
            cure = "Put the condition into braces: { … }." if self.token.kind in {"attribute", "word"} else ""
            self.fail(f"{self.seen()} stands where a spanset is wanted", cure)
        self._braces()
        return False

    def _braces(self) -> None:
        self.expect("{")
        if not self.at("}"):
            condition = self._field(0)
            if condition.type not in _LOGICAL:
                cure = "Compare it with something."
                self.fail(f"`{condition.token.text}` is a {condition.type}, not a condition", cure, condition.token)
        self.expect("}")

    # Fields

    def _field(self, power: int) -> _Operand:
        self.enter()
        left = self._operand()
        while self.token.kind == "sign" and (own := _POWERS.get(self.token.text, 0)) > power:
            operator = self.advance()
            right = self._field(own - 1 if operator.text == "^" else own)
            left = self._combined(left, operator, right)
        self.leave()
        return left

    def _combined(self, left: _Operand, operator: Token, right: _Operand) -> _Operand:
        sign = operator.text
        names_span = left.names_span or right.names_span
        if sign in {"&&", "||"}:
            self._typed(operator, _LOGICAL, left, right)
            return _Operand(left.token, "bool", names_span=names_span)
        if sign in "+-*/%^":
            self._typed(operator, _NUMERIC, left, right)
            return _Operand(left.token, "number", names_span=names_span)
        self._compared(left, operator, right)
        return _Operand(left.token, "bool", names_span=names_span)

    def _typed(self, operator: Token, allowed: frozenset[str], *operands: _Operand) -> None:
        for operand in operands:
            if operand.type not in allowed:
                wanted = "conditions" if allowed is _LOGICAL else "numbers"
                self.fail(
                    f"{operator.text} wants {wanted}, and `{operand.token.text}` is a {operand.type}", "", operand.token
                )

    def _compared(self, left: _Operand, operator: Token, right: _Operand) -> None:
        sign = operator.text
        self._nil(left, operator, right)
        if sign in {"=~", "!~"}:
            for operand in (left, right):
                if operand.type not in {"string", "any"}:
                    self.fail(
                        f"{sign} wants strings, and `{operand.token.text}` is a {operand.type}", "", operand.token
                    )
            self._regular(right.token)
        self._alike(left, right)
        if sign in {">", ">=", "<", "<="}:
            for operand in (left, right):
                if operand.type not in _ORDERED:
                    self.fail(f"{sign} has no meaning for a {operand.type}", "Compare it with = or !=.", operator)
        if left.attribute and right.literal is not None and sign in {"=", "!=", "=~", "!~"}:
            self._comparisons.append(Comparison(left.attribute, sign, right.literal, right.token.start))

    def _nil(self, left: _Operand, operator: Token, right: _Operand) -> None:
        if "nil" in {left.type, right.type} and operator.text != "!=":
            self.fail(
                f"nil goes with != alone, not with {operator.text}", "Ask for spans that have it: != nil.", operator
            )

    def _alike(self, left: _Operand, right: _Operand) -> None:
        types = {left.type, right.type} - {"any", "nil"}
        if len(types) < 2:
            return
        words = {"status": _STATUSES, "kind": _KINDS}.get(left.type, frozenset())
        near = right.token.text.strip('"`')
        cure = f"Write {near} without quotes." if near in words else f"It is one of {', '.join(sorted(words))}."
        self.fail(
            f"`{left.token.text}` is a {left.type}, and `{right.token.text}` a {right.type}",
            cure if words else "Compare values of one type.",
            right.token,
        )

    def _operand(self) -> _Operand:
        token = self.token
        if self.take("("):
            inner = self._field(0)
            self.expect(")")
            return _Operand(token, inner.type, names_span=inner.names_span)
        if sign := self.take("!", "-"):
            inner = self._field(5)
            self._typed(sign, _LOGICAL if sign.text == "!" else _NUMERIC, inner)
            return _Operand(token, "bool" if sign.text == "!" else "number", names_span=inner.names_span)
        if token.kind in {"number", "duration"}:
            self.advance()
            return _Operand(token, "number")
        if token.kind == "string":
            self.advance()
            return _Operand(token, "string", literal=_unquoted(token.text))
        if token.kind == "word" and token.text in _STATICS:
            self.advance()
            return _Operand(token, _TYPES[token.text])
        attribute = self._attribute()
        kind = "any" if attribute.scope else _TYPES.get(attribute.name, "string")
        return _Operand(token, kind, attribute=attribute, names_span=True)

    def _attribute(self) -> Attribute:
        token = self.token
        if token.text.startswith("parent."):
            self.fail("Tempo 2.7 knows no attributes of the parent", "Ask with { … } > { … }.")
        if token.kind == "attribute":
            self.advance()
            found = _attribute(token)
        elif token.kind == "word" and token.text in _INTRINSICS:
            self.advance()
            found = Attribute("", token.text, token.start)
        else:
            self._no_attribute(token)
        self._attributes.append(found)
        return found

    def _no_attribute(self, token: Token) -> NoReturn:
        if token.kind != "word":
            self.fail(f"{self.seen()} stands where an attribute or a value is wanted")
        near = _NEAR_INTRINSICS.get(token.text) or meant(token.text, _INTRINSICS | _STATICS)
        cure = f"Did you mean {near}?" if near else f"Write span.{token.text}, resource.{token.text} or .{token.text}."
        self.fail(f"{token.text} is no intrinsic, and an attribute has a scope", cure)

    def _regular(self, token: Token) -> None:
        if token.kind != "string":
            return
        try:
            re.compile(_unquoted(token.text))
        except patterns.WRONG as error:
            self.fail(f"the regular expression is wrong: {error}", "Correct it (RE2).", token)

    # Stages

    def _stage(self) -> None:
        if self.at("{") or (self.at("(") and self.ahead().text in {"{", "("}):
            self._spansets()
            return
        token = self.token
        if token.kind == "word" and self.ahead().text == "(" and (read := self._STAGES.get(token.text)):
            self.advance()
            read(self)
            return
        if token.text in _METRICS:
            self._metric()
        elif token.text in _AGGREGATES or token.kind in {"number", "duration"} or self.at("-", "("):
            self._scalar_filter()
        else:
            near = meant(token.text, _METRICS | _AGGREGATES | set(self._STAGES))
            self.fail(f"{self.seen()} is no stage", f"Did you mean {near}?" if near else "")

    def _by_stage(self) -> None:
        self.expect("(")
        self._about_span(self._field(0))
        self.expect(")")

    def _about_span(self, operand: _Operand) -> None:
        if not operand.names_span:
            self.fail(f"`{operand.token.text}` says nothing about a span", "Name an attribute.", operand.token)

    def _select(self) -> None:
        self.expect("(")
        while True:
            self._attribute()
            if not self.take(","):
                break
        self.expect(")")

    def _coalesce(self) -> None:
        self.expect("(")
        self.expect(")")

    _STAGES: ClassVar[dict[str, Callable[["_Parser"], None]]] = {
        "by": _by_stage,
        "select": _select,
        "coalesce": _coalesce,
    }

    def _scalar_filter(self) -> None:
        first = self.token
        self._aggregate()
        if self.at("by"):
            cure = "Group before: | by(…) | count() > 1; or take a metrics function: | sum_over_time(…) by (…)."
            self.fail(f"{first.text} takes no by", cure)
        if self.at("+", "-", "*", "/", "%", "^"):
            self.fail("Tempo 2.7 does not calculate with aggregates", f"Compare {first.text}(…) with a number.")
        if not self.at(*_COMPARISONS):
            cure = f"Compare it: {first.text}(…) > 1; or take a metrics function: | {first.text}_over_time(…)."
            self.fail(f"{first.text} is compared with nothing before {self.seen()}", cure)
        self.advance()
        self.take("-")
        if self.token.kind not in {"number", "duration"}:
            self.fail(f"{self.seen()} stands where a number or a duration is wanted")
        self.advance()
        if self.at("+", "-", "*", "/", "%", "^"):
            self.fail("Tempo 2.7 does not calculate beside an aggregate", "Write the number itself.")

    def _aggregate(self) -> None:
        if self.token.kind != "word" or self.token.text not in _AGGREGATES:
            self.fail(
                f"{self.seen()} stands where an aggregate is wanted",
                "Begin with count(), avg(…), min(…), max(…) or sum(…).",
            )
        name = self.advance().text
        self.expect("(")
        if name != "count":
            operand = self._field(0)
            self._about_span(operand)
            if operand.type not in _NUMERIC:
                self.fail(f"{name} wants a number, and `{operand.token.text}` is a {operand.type}", "", operand.token)
        elif not self.at(")"):
            self.fail("count() takes nothing", "Write count(), and put the condition into the spanset.")
        self.expect(")")

    # Metrics

    def _metric(self) -> None:
        name = self.advance().text
        self._function = name
        self.expect("(")
        if name in _WITH_FIELD or name == "quantile_over_time":
            self._of = self._attribute()
            if name == "quantile_over_time":
                self.expect(",", "Say which quantiles: quantile_over_time(duration, .99).")
                self._quantiles()
        elif name == "compare":
            self._braces()
            if self.take(","):
                self._numbers()
        elif not self.at(")"):
            self.fail(f"{name}() takes nothing", f"Write {name}() by (…), and put the condition into the spanset.")
        self.expect(")")
        if name != "compare" and self.take("by"):
            self._by = self._grouping()

    def _quantiles(self) -> None:
        for token in self._numbers():
            if not 0 <= float(token.text) <= 1:
                self.fail(f"a quantile lies between 0 and 1, not at {token.text}", "Write .95 for 95 %.", token)

    def _numbers(self) -> list[Token]:
        found = []
        while True:
            found.append(self.expect_kind("number", "a number"))
            if not self.take(","):
                return found

    def _grouping(self) -> tuple[Attribute, ...]:
        self.expect("(")
        found = []
        while True:
            found.append(self._attribute())
            if not self.take(","):
                break
        if len(found) > _MOST_GROUPS:
            self.fail(
                f"it groups by {len(found)} attributes, and Tempo 2.7 by {_MOST_GROUPS} at most", "Leave some out."
            )
        self.expect(")")
        return tuple(found)

    def _second_stage(self) -> None:
        if not self.take("topk", "bottomk"):
            self.fail(f"{self.seen()} cannot follow {self._function}", "topk(n) and bottomk(n) can.")
        self.expect("(")
        self.expect_kind("number", "how many")
        self.expect(")")

    def _hints(self) -> None:
        self.expect("(")
        while True:
            self.expect_kind("word", "a hint")
            self.expect("=")
            if self.token.kind not in {"word", "string", "number", "duration"}:
                self.fail(f"{self.seen()} is no value of a hint")
            self.advance()
            if not self.take(","):
                break
        self.expect(")")


def _attribute(token: Token) -> Attribute:
    text = token.text.removeprefix("parent.") if token.text.startswith("parent.") else token.text
    scope, dot, name = text.partition(".")
    if not dot:
        return Attribute(".", text.strip('"'), token.start)
    if scope and scope not in _SCOPES:  # parent.foo.bar
        return Attribute(".", text, token.start)
    return Attribute(scope or ".", name.strip('"'), token.start)


def _unquoted(text: str) -> str:
    return text[1:-1] if text[:1] == "`" else re.sub(r"\\(.)", r"\1", text[1:-1]).replace("\\\\", "\\")
