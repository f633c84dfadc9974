"""PromQL: promql-parser's tree as our own nodes, and the column and the hint that its messages lack."""
# ruff: noqa: SIM905 - words read best as words

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import promql_parser

from gwz_provision.check.findings import Problem, Unparsable, meant
from gwz_provision.check.syntax import DEEPEST, LONGEST, Token

# The parser kills the process between 5,000 and 10,000 nested parentheses, and between 1,000 and 5,000 chained operators.
_MOST_OPERATORS = 300

_AGGREGATORS = frozenset(
    """sum avg count min max group stddev stdvar topk bottomk count_values quantile limitk limit_ratio""".split()
)
_KEYWORDS = frozenset("by without on ignoring group_left group_right bool and or unless offset atan2 inf nan".split())
_FUNCTIONS = frozenset(
    """abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp clamp_max
    clamp_min cos cosh count_over_time day_of_month day_of_week day_of_year days_in_month deg delta deriv
    double_exponential_smoothing exp floor histogram_avg histogram_count histogram_fraction histogram_quantile
    histogram_stddev histogram_stdvar histogram_sum hour idelta increase info irate label_join label_replace
    last_over_time ln log10 log2 mad_over_time max_over_time min_over_time minute month pi predict_linear
    present_over_time quantile_over_time rad rate resets round scalar sgn sin sinh sort sort_by_label
    sort_by_label_desc sort_desc sqrt stddev_over_time stdvar_over_time sum_over_time tan tanh time timestamp vector
    year""".split()
)
_GONE = {
    "holt_winters": "Prometheus 3 calls it double_exponential_smoothing.",
    "increase_over_time": "Write increase(…[5m]).",
    "rate_over_time": "Write rate(…[5m]).",
    "median": "Write quantile by (…) (0.5, …).",
    "distinct": "Write count(count by (…) (…)).",
}

_LISTS = frozenset({"on", "ignoring", "group_left", "group_right"})

Match = Literal["=", "!=", "=~", "!~"]
_OPERATORS: dict[str, Match] = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


@dataclass(frozen=True)
class Matcher:
    """A condition on a label."""

    label: str
    operator: Match
    value: str


@dataclass(frozen=True)
class Selector:
    """The series of a metric, now or at an offset; `name` is empty when only labels select."""

    name: str
    matchers: tuple[Matcher, ...]
    offset: bool = False


@dataclass(frozen=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True)
class String:
    """A string."""

    value: str


@dataclass(frozen=True)
class Call:
    """A function and what it is applied to."""

    name: str
    arguments: tuple["Node", ...]
    experimental: bool = False


@dataclass(frozen=True)
class Aggregate:
    """An aggregation; `keeps` tells `by` from `without`, and is None for neither."""

    name: str
    of: "Node"
    parameter: "Node | None"
    keeps: bool | None
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Binary:
    """An operation on two operands; `on` tells `on` from `ignoring`, and is None for neither."""

    operator: str
    left: "Node"
    right: "Node"
    on: bool | None
    labels: tuple[str, ...]
    many: Literal["", "left", "right"]
    included: tuple[str, ...]
    boolean: bool


Node = Selector | Number | String | Call | Aggregate | Binary


_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    |(?P<duration>\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*)
    |(?P<number>0[xX][0-9a-fA-F]+|\d*\.?\d+(?:[eE][+-]?\d+)?|\d+\.)
    |(?P<word>[A-Za-z_:][\w:]*)
    |(?P<sign>=~|!~|!=|==|<=|>=|[-+*/%^()\[\]{},=<>@:])
    |(?P<stray>.)""",
    re.VERBOSE | re.DOTALL,
)
_OPENERS = {"(": ")", "[": "]", "{": "}"}


def parse(text: str) -> Node:
    """Parse a query without variables; raises `Unparsable`, whose column is that of `text`."""
    tokens = list(tokens_of(text[:LONGEST]))
    _cap(text, tokens)
    try:
        tree = promql_parser.parse(text)
    except ValueError as error:
        raise Unparsable(_explained(str(error), tokens)) from error
    return _node(tree)


def experimental(node: Node) -> Iterator[str]:
    """Name the functions that Prometheus 3.2 refuses unless it is told otherwise."""
    match node:
        case Call():
            yield from [node.name] if node.experimental else []
            yield from (name for argument in node.arguments for name in experimental(argument))
        case Aggregate():
            yield from [node.name] if node.name in {"limitk", "limit_ratio"} else []
            yield from experimental(node.of)
        case Binary():
            yield from experimental(node.left)
            yield from experimental(node.right)


def tokens_of(text: str) -> Iterator[Token]:
    """Split a query into its tokens, without blanks and comments."""
    for found in _TOKEN.finditer(text):
        if found.lastgroup != "space":
            yield Token(str(found.lastgroup), found[0], found.start())


def _cap(text: str, tokens: list[Token]) -> None:
    depth = deepest = operators = 0
    for token in tokens:
        if token.kind == "sign":
            depth += (token.text in _OPENERS) - (token.text in ")]}")
            operators += token.text in "+-*/%^==!=<=>="
        operators += token.text.lower() in {"and", "or", "unless"}
        deepest = max(deepest, depth)
    if len(text) > LONGEST or deepest > DEEPEST or operators > _MOST_OPERATORS:
        size = f"{len(text)} characters, {operators} operators, {deepest} levels of brackets"
        raise Unparsable(
            Problem(
                "promql/size",
                f"the query has {size}: too large to be parsed safely.",
                f"Split it with recording rules: {LONGEST} characters, {_MOST_OPERATORS} operators and {DEEPEST} levels are the limit.",
            )
        )


def _node(tree: Any) -> Node:  # noqa: PLR0911 - one line for each kind of node
    match type(tree).__name__:
        case "ParenExpr" | "UnaryExpr" | "SubqueryExpr":
            return _node(tree.expr)
        case "VectorSelector":
            return _selector(tree)
        case "MatrixSelector":
            return _selector(tree.vector_selector)
        case "NumberLiteral":
            return Number(tree.val)
        case "StringLiteral":
            return String(tree.val)
        case "Call":
            return Call(tree.func.name, tuple(_node(one) for one in tree.args), tree.func.experimental)
        case "AggregateExpr":
            return _aggregate(tree)
        case _:
            return _binary(tree)


def _selector(tree: Any) -> Selector:
    if tree.matchers.or_matchers:
        raise Unparsable(
            Problem(
                "promql/syntax",
                "`or` between the matchers of a selector is VictoriaMetrics' own, and Prometheus refuses it.",
                'Write x{a="1"} or x{b="2"}, or one regular expression: x{a=~"1|2"}.',
            )
        )
    matchers = [
        Matcher(one.name, _OPERATORS[str(one.op).partition(".")[2]], one.value) for one in tree.matchers.matchers
    ]
    named = [one.value for one in matchers if one.label == "__name__" and one.operator == "="]
    return Selector(
        tree.name or "".join(named[:1]),
        tuple(one for one in matchers if one.value not in named[:1] or one.label != "__name__"),
        offset=tree.offset is not None,
    )


def _aggregate(tree: Any) -> Aggregate:
    modifier = tree.modifier
    return Aggregate(
        str(tree.op),
        _node(tree.expr),
        None if tree.param is None else _node(tree.param),
        modifier and str(modifier.type).endswith("By"),
        tuple(modifier.labels) if modifier else (),
    )


def _binary(tree: Any) -> Binary:
    modifier = tree.modifier
    if modifier and (modifier.fill_values.lhs, modifier.fill_values.rhs) != (None, None):
        raise Unparsable(
            Problem("promql/syntax", "Prometheus 3.2 has no fill().", "Write `or on(…) vector(0)` beside the operand.")
        )
    card = str(modifier.card) if modifier else ""
    matching = modifier.matching if modifier else None
    return Binary(
        str(tree.op),
        _node(tree.lhs),
        _node(tree.rhs),
        matching and str(matching.type).endswith("Include"),
        tuple(matching.labels) if matching else (),
        "left" if card.endswith("ManyToOne") else "right" if card.endswith("OneToMany") else "",
        tuple((modifier and modifier.group_labels) or ()),
        bool(modifier and modifier.return_bool),
    )


def _explained(message: str, tokens: list[Token]) -> Problem:
    """Find the token that is at fault, and say what to write instead."""
    for explain in (_strays, _brackets, _lonely_grouping, _unknown_function, _order, _mentioned):
        if problem := explain(message, tokens):
            return problem
    return Problem("promql/syntax", f"{message}.", "Compare it with the grammar of PromQL.", 1)


def _syntax(sentence: str, cure: str, token: Token) -> Problem:
    return Problem("promql/syntax", sentence, cure, token.start + 1)


def _strays(_: str, tokens: list[Token]) -> Problem | None:
    for token in tokens:
        if token.kind == "stray":
            what = "the string has no end" if token.text in "\"'`" else f"{token.text!r} has no meaning in PromQL"
            return _syntax(f"{what}.", "Close the quotes." if token.text in "\"'`" else "Remove it.", token)
    return None


def _brackets(_: str, tokens: list[Token]) -> Problem | None:
    opened: list[Token] = []
    for token in tokens:
        if token.kind != "sign":
            continue
        if token.text in _OPENERS:
            opened.append(token)
        elif token.text in ")]}":
            if not opened or _OPENERS[opened[-1].text] != token.text:
                return _syntax(f"{token.text} closes nothing.", "Remove it, or open it before.", token)
            opened.pop()
    if opened:
        wanted = _OPENERS[opened[-1].text]
        return _syntax(f"{opened[-1].text} is never closed.", f"Add the {wanted} that is missing.", opened[-1])
    return None


def _lonely_grouping(_: str, tokens: list[Token]) -> Problem | None:
    for index, token in enumerate(tokens):
        if token.kind != "word" or token.text.lower() not in {"by", "without"} or index == 0:
            continue
        start = _operand_start(tokens, index - 1)
        grouped = tokens[start].text.lower() in _AGGREGATORS and tokens[start + 1].text.lower() in {"by", "without"}
        if grouped and start + 1 < index:
            return _syntax("there is a second grouping.", "Keep one of them.", token)
        first = tokens[start].text.lower()
        if (
            tokens[start].start != token.start
            and first not in _AGGREGATORS
            and tokens[index - 1].text.lower() not in _AGGREGATORS
        ):
            operand = _source(tokens, start, index)
            grouping = _source(tokens, index, _closing(tokens, index + 1) + 1)
            return _syntax(
                f"`{operand} {grouping}`: {token.text} needs an aggregator.",
                f"Write sum {grouping} ({operand}).",
                token,
            )
    return None


def _operand_start(tokens: list[Token], end: int) -> int:
    """Return where the operand that ends here begins: at its function, if it is a call."""
    index = end
    while index > 0 and tokens[index].text in {")", "]", "}"}:
        index = _opening(tokens, index)
        # `sum by (x) (y)`: the name stands before both pairs of parentheses.
        while index > 0 and tokens[index - 1].text in {")", "]", "}"}:
            index = _opening(tokens, index - 1)
        if index > 0 and tokens[index - 1].kind == "word" and tokens[index - 1].text not in _KEYWORDS:
            return index - 1
        if index > 1 and tokens[index - 1].text.lower() in {"by", "without"} and tokens[index - 2].kind == "word":
            return index - 2
        if index > 0 and tokens[index - 1].text not in {")", "]", "}"}:
            return index
        index -= 1
    return index


def _opening(tokens: list[Token], end: int) -> int:
    depth = 0
    for index in range(end, -1, -1):
        depth += (tokens[index].text in {")", "]", "}"}) - (tokens[index].text in _OPENERS)
        if depth == 0:
            return index
    return 0


def _closing(tokens: list[Token], start: int) -> int:
    depth = 0
    for index in range(start, len(tokens)):
        depth += (tokens[index].text in _OPENERS) - (tokens[index].text in {")", "]", "}"})
        if depth == 0:
            return index
    return len(tokens) - 1


def _source(tokens: list[Token], start: int, end: int) -> str:
    """Write the tokens as they stood, blanks made one."""
    out = ""
    last = None
    for token in tokens[start:end]:
        if last and token.start > last.start + len(last.text):
            out += " "
        out, last = out + token.text, token
    return out


def _unknown_function(_: str, tokens: list[Token]) -> Problem | None:
    for token, following in pairwise(tokens):
        name = token.text
        if token.kind != "word" or following.text != "(" or name.lower() in _AGGREGATORS | _KEYWORDS | _FUNCTIONS:
            continue
        near = meant(name, _AGGREGATORS | _FUNCTIONS)
        cure = _GONE.get(name) or (f"Did you mean {near}?" if near else "Use one of PromQL's functions.")
        return _syntax(f"PromQL has no function {name}.", cure, token)
    return None


def _order(message: str, tokens: list[Token]) -> Problem | None:
    """Find two operands without an operator between them, or an operator without its operand."""
    if message != "invalid promql query":
        return None
    wants_operand, lists = True, [False]
    for before, token in pairwise([Token("sign", "", 0), *_outside_braces(tokens)]):
        text = token.text.lower()
        if wants_operand and token.kind == "sign" and text not in "(-+{[":
            wanted = f"{token.text} stands where a metric, a number or a function is wanted."
            return _syntax(wanted, "Add its operand.", token)
        if not wants_operand and token.kind in {"word", "string", "number"} and text not in _KEYWORDS:
            return _syntax(f"{token.text} follows {before.text} without an operator.", "Put one between them.", token)
        if text == "(":
            lists.append(before.text.lower() in _LISTS)
        # After `on (a)` an operand follows, after `(a)` none.
        closes_list = text == ")" and len(lists) > 1 and lists.pop()
        wants_operand = closes_list or (token.kind == "sign" and text not in {")", "]", "}", "@"}) or text in _KEYWORDS
    if tokens and wants_operand:
        return _syntax(f"the query ends after {tokens[-1].text}.", "Add the operand that is missing.", tokens[-1])
    return None


def _outside_braces(tokens: list[Token]) -> Iterator[Token]:
    """Leave out what stands in braces and brackets, and keep their ends."""
    depth = 0
    for token in tokens:
        depth -= token.text in {"}", "]"}
        if depth == 0 and token.text not in {"{", "["}:
            yield token
        depth += token.text in {"{", "["}


def _mentioned(message: str, tokens: list[Token]) -> Problem | None:
    """Find the token that the parser's message names."""
    name = re.search(
        r"(?:in call to(?: function)?|name|operator|regex for|string:|syntax:|character[^:]*:)\s*'?([^'\s]+)", message
    )
    word = name[1].rstrip(",.'") if name else ""
    token = next((one for one in tokens if word and word in one.text), None)
    cure = "Compare it with the grammar of PromQL."
    if not tokens:
        cure = "Write a query, or remove the target."
    elif "expected type matrix" in message:
        cure = f"Give it a range: {word}(…[$__rate_interval])."
    elif "got matrix" in message:
        cure = "Remove the range, or wrap it: rate(…[$__rate_interval])."
    elif "regex" in message:
        cure = "Correct the regular expression (RE2): a literal * + ? . ( [ needs two backslashes before it."
    return Problem("promql/syntax", f"{message}.", cure, token.start + 1 if token else 1)


def columns(text: str, word: str, after: str = "") -> int | None:
    """Return the column of a name in a query, the first after another name if one is given."""
    tokens = list(tokens_of(text))
    begin = next((one.start for one in tokens if one.text == after), 0) if after else 0
    for one in tokens:
        if one.start >= begin and (one.text == word or (one.kind == "string" and one.text[1:-1] == word)):
            return one.start + 1
    return None
