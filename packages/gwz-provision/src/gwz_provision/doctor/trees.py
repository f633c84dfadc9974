"""Queries as trees: which of their selectors is to blame for an empty answer, and whether they mean to let nothing through."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from gwz_provision import patterns
from gwz_provision.check import logql, promql
from gwz_provision.check.findings import Unparsable
from gwz_provision.check.promql import Aggregate, Binary, Call, Matcher, Node, Number, Selector
from gwz_provision.check.substitution import substituted
from gwz_provision.recording import selectors

_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
_NARROWING = _COMPARISONS | {"and", "unless"}
_FILTER = "a filter of log lines"
Rules = Mapping[str, Node]
"""The recorded metrics that Prometheus has loaded, and what makes them."""


def of_promql(text: str) -> Node | None:
    """Parse a query; None when we cannot, which is for its server to complain of."""
    try:
        return promql.parse(substituted(text).text)
    except Unparsable:
        return None


def of_logql(text: str) -> Node | None:
    """Parse a query of Loki into the same nodes; a stream's selector has no name."""
    try:
        return _translated(logql.parse(substituted(text).text))
    except Unparsable:
        return None


def leaves(node: Node, rules: Rules) -> list[Selector]:
    """List the selectors of a query, and those that the recorded metrics among them are made of."""
    found: dict[Selector, None] = {}
    pending = [node]
    while pending:
        for one in map(plain, selectors(pending.pop(0))):
            if one not in found and one.name in rules:
                pending.append(rules[one.name])
            found.setdefault(one)
    return list(found)


def blamed(node: Node, absent: Collection[Selector], rules: Rules) -> list[Selector]:  # noqa: PLR0911 - one return for each kind of node
    """List the selectors without samples that make the whole query empty, the deepest cause of each."""
    match node:
        case Selector():
            return _blamed_selector(plain(node), absent, rules)
        case Call():
            return [one for argument in node.arguments for one in blamed(argument, absent, rules)]
        case Aggregate():
            return blamed(node.of, absent, rules)
        case Binary():
            left, right = blamed(node.left, absent, rules), blamed(node.right, absent, rules)
            match node.operator:
                case "or":
                    return [*left, *right] if left and right else []
                case "unless":
                    return left
                case _:
                    return [*left, *right]
        case _:
            return []


def narrows(node: Node, rules: Rules) -> bool:
    """Tell whether the query lets through only what passes a comparison or a filter."""
    match node:
        case Selector():
            return node.name in rules and narrows(rules[node.name], rules)
        case Call():
            return node.name == _FILTER or any(narrows(one, rules) for one in node.arguments)
        case Aggregate():
            return narrows(node.of, rules)
        case Binary():
            compares = node.operator in _NARROWING and not node.boolean
            return compares or narrows(node.left, rules) or narrows(node.right, rules)
        case _:
            return False


def written(selector: Selector) -> str:
    """Write a selector as a query has it."""
    conditions = [f"{one.label}{one.operator}{json.dumps(one.value, ensure_ascii=False)}" for one in selector.matchers]
    return selector.name + (f"{{{', '.join(conditions)}}}" if conditions or not selector.name else "")


def plain(selector: Selector) -> Selector:
    """Leave out when a selector looks, and the conditions that everything meets."""
    kept = tuple(one for one in selector.matchers if not (one.operator == "=~" and one.value == ".*"))
    return replace(selector, matchers=kept, offset=False)


def meets(matcher: Matcher, value: str) -> bool:
    """Tell whether a label's value meets a condition; one that only its server can judge counts as met."""
    if matcher.operator in {"=", "!="}:
        return (value == matcher.value) == (matcher.operator == "=")
    pattern = _pattern(matcher)
    return pattern is None or (pattern.fullmatch(value) is not None) == (matcher.operator == "=~")


def is_judged(matcher: Matcher) -> bool:
    """Tell whether a condition can be judged here."""
    return matcher.operator in {"=", "!="} or _pattern(matcher) is not None


def _pattern(matcher: Matcher) -> re.Pattern[str] | None:
    return patterns.compiled(matcher.value, re.DOTALL)


def _blamed_selector(selector: Selector, absent: Collection[Selector], rules: Rules) -> list[Selector]:
    if selector not in absent:
        return []
    if selector.name not in rules:
        return [selector]
    made_of = rules[selector.name]
    return blamed(made_of, absent, rules) or ([] if narrows(made_of, rules) else [selector])


def _translated(node: logql.Node) -> Node:
    match node:
        case logql.Logs():
            conditions = tuple(Matcher(one.label, match_of(one.operator), one.value) for one in node.selector)
            selector = Selector("", conditions)
            return Call(_FILTER, (selector,)) if any(map(_drops, node.stages)) else selector
        case logql.Range():
            return Call(node.name, (_translated(node.logs),))
        case logql.Aggregate():
            return Aggregate(node.name, _translated(node.of), None, keeps=None, labels=())
        case logql.Binary():
            left, right = _translated(node.left), _translated(node.right)
            return Binary(node.operator, left, right, None, (), "", (), node.boolean)
        case logql.Replaced():
            return _translated(node.of)
        case logql.Number():
            return Number(node.value)


def match_of(operator: str) -> promql.Match:
    """Return an operator of LogQL or TraceQL as PromQL has it."""
    found: dict[str, promql.Match] = {"=": "=", "!=": "!=", "=~": "=~", "!~": "!~"}
    return found[operator]


def _drops(stage: logql.Stage) -> bool:
    return bool(stage.filters) or stage.name in {"line", "filter", "unwrap"}
