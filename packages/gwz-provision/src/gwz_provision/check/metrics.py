"""PromQL held against the contract: each metric is declared, each label is on it, and what comes out has a unit."""
# ruff: noqa: SIM905 - words read best as words

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from gwz_provision import patterns
from gwz_provision.check import units
from gwz_provision.check.contract import OTHERS, Contract, Labels, Series
from gwz_provision.check.findings import Problem, suggestion
from gwz_provision.check.promql import Aggregate, Binary, Call, Matcher, Node, Number, Selector, String
from gwz_provision.check.substitution import STAND_IN
from gwz_provision.check.units import Unit

_RATES = frozenset({"rate", "irate", "increase"})
_PER_SECOND = frozenset({"rate", "irate", "deriv"})
_GAUGE_ONLY = frozenset({"delta", "idelta", "deriv"})
_COUNTING = frozenset(
    {"count_over_time", "changes", "resets", "day_of_month", "day_of_week", "hour", "minute", "month"}
)
_TIMES = frozenset({"time", "timestamp"})
_TAMING = _RATES | _COUNTING | _TIMES | frozenset({"absent", "absent_over_time", "present_over_time"})
_COUNTED = frozenset({"count", "group", "count_values"})
_SAME_UNIT = frozenset(
    """abs avg_over_time ceil clamp clamp_max clamp_min delta double_exponential_smoothing floor idelta increase
    last_over_time label_join label_replace mad_over_time max_over_time min_over_time predict_linear
    quantile_over_time round scalar sort sort_by_label sort_by_label_desc sort_desc stddev_over_time sum_over_time
    vector""".split()
)
_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
_SETS = frozenset({"and", "or", "unless"})


@dataclass(frozen=True)
class Answer:
    """What an expression gives: the labels that its series can have, and its unit; None when that is not known."""

    labels: frozenset[str] | None
    unit: Unit | None = None
    series: tuple[Series, ...] = ()


_NOTHING_KNOWN = Answer(None)


@dataclass
class _Examiner:
    contract: Contract
    column: Callable[[str, str], int | None]
    problems: list[Problem] = field(default_factory=list)

    def report(self, id_: str, sentence: str, cure: str, word: str = "", after: str = "") -> None:
        self.problems.append(Problem(f"promql/{id_}", sentence, cure, self.column(word, after) if word else None))


def examined(node: Node, contract: Contract, column: Callable[[str, str], int | None]) -> tuple[Answer, list[Problem]]:
    """Hold a query against the contract; `column` finds a word in the query as it was written, after another word."""
    examiner = _Examiner(contract, column)
    return _answer(examiner, node), examiner.problems


def bare(node: Node, contract: Contract, column: Callable[[str, str], int | None]) -> list[Problem]:
    """Report the counters that a query shows as they are: how much was counted since a process started tells nothing."""
    selectors = list(_selectors(node))
    # Of `x unless resets(x[5m]) > 0 or x` the last x is what was counted since the restart, and meant.
    tamed = {selector.name for selector, is_tamed in selectors if is_tamed}
    grown = {selector.name: contract.find(selector.name) for selector, _ in selectors if selector.name not in tamed}
    return [
        Problem(
            "promql/counter",
            f"{name} only grows: shown as it is, it tells what was counted since its process started.",
            "Take increase(…[$__range]) or rate(…[$__rate_interval]), or say since which start it counts in the description.",
            column(name, ""),
        )
        for name, series in grown.items()
        if series is not None and series.kind in {"counter", "bucket"}
    ]


def _selectors(node: Node, *, tamed: bool = False) -> Iterator[tuple[Selector, bool]]:
    """List the selectors of a query, and whether only their changes or their number go into the answer."""
    match node:
        case Selector():
            yield node, tamed or node.offset
        case Call():
            for argument in node.arguments:
                yield from _selectors(argument, tamed=tamed or node.name in _TAMING)
        case Aggregate():
            yield from _selectors(node.of, tamed=tamed or node.name in _COUNTED)
        case Binary():
            yield from _selectors(node.left, tamed=tamed)
            yield from _selectors(node.right, tamed=tamed or node.operator in {"and", "unless"})


def asked(node: Node, contract: Contract) -> frozenset[str]:
    """Name the series that a query asks for, those that a regular expression over names fits too."""
    selectors = [selector for selector, _ in _selectors(node)]
    patterns = [
        matcher.value
        for selector in selectors
        for matcher in selector.matchers
        if not selector.name and matcher.label == "__name__" and matcher.operator == "=~"
    ]
    fitting = {name for name in contract.series for pattern in patterns if _matches(pattern, name)}
    return frozenset({selector.name for selector in selectors} | fitting)


def _answer(on: _Examiner, node: Node) -> Answer:
    match node:
        case Selector():
            return _selected(on, node)
        case Call():
            return _called(on, node)
        case Aggregate():
            return _aggregated(on, node)
        case Binary():
            return _combined(on, node)
        case Number():
            return Answer(frozenset(), units.ONE)
        case String():
            return Answer(frozenset())


def _selected(on: _Examiner, node: Selector) -> Answer:
    if not node.name or STAND_IN in node.name:
        _any_name(on, node)
        return _NOTHING_KNOWN
    series = on.contract.find(node.name)
    if series is None:
        _ghost(on, node.name)
        return _NOTHING_KNOWN
    for matcher in node.matchers:
        _matched(on, matcher, series)
    labels = None if series.labels is None else frozenset(series.labels)
    unit = series.measured or units.of_contract(series.unit, ratio=series.ratio)
    if series.kind == "bucket":
        unit = units.COUNT
    return Answer(labels, unit, (series,))


def _any_name(on: _Examiner, node: Selector) -> None:
    """Ask of a regular expression over names that it matches one."""
    for matcher in node.matchers:
        named = matcher.label == "__name__" and matcher.operator == "=~" and STAND_IN not in matcher.value
        if named and not any(_matches(matcher.value, name) for name in (*on.contract.series, *OTHERS)):
            cure = "Select metrics of the contract."
            on.report("metric", f"no metric of the contract has a name like {matcher.value}.", cure, matcher.value)


def _ghost(on: _Examiner, name: str) -> None:
    known = [*on.contract.series, *OTHERS]
    if name in on.contract.histograms:
        cure = f"Ask for {name}_bucket, {name}_sum or {name}_count."
        on.report("metric", f"{name} is a histogram, which has no series of that name.", cure, name)
        return
    cure = suggestion(name, known, "Declare it in the contract, or ask for what is emitted.")
    on.report("metric", f"nothing emits {name}: it is not in the contract.", cure, name)


def _matched(on: _Examiner, matcher: Matcher, series: Series) -> None:
    if series.labels is None or matcher.label == "__name__" or STAND_IN in matcher.label:
        return
    if matcher.label not in series.labels:
        cure = suggestion(matcher.label, series.labels, _has(series.labels))
        on.report("label", f"{series.name} has no label {matcher.label}.", cure, matcher.label, series.name)
        return
    if wrong := impossible(matcher.operator, matcher.value, series.labels[matcher.label]):
        sentence = f"{matcher.label} of {series.name} is never {wrong!r}."
        on.report("value", sentence, suggestion(wrong, *_values(series.labels, matcher)), matcher.value, matcher.label)


def _values(labels: Labels, matcher: Matcher) -> tuple[Collection[str], str]:
    values = labels[matcher.label]
    return values, f"It is one of {', '.join(values)}."


def impossible(operator: str, value: str, values: Collection[str]) -> str | None:
    """Return the part of a matcher's value that a closed set does not have; None when it may match."""
    if not values or not value or STAND_IN in value:
        return None
    if operator in {"=", "!=", "=="}:
        return None if value in values else value
    parts = value.split("|") if not re.search(r"[()\[\]]", value) else [value]
    return next((part for part in parts if part and not any(_matches(part, known) for known in values)), None)


def _matches(expression: str, name: str) -> bool:
    pattern = patterns.compiled(expression)
    return pattern is None or pattern.fullmatch(name) is not None


def _has(labels: Iterable[str]) -> str:
    names = ", ".join(sorted(labels))
    return f"It has {names}." if names else "It has none."


def _called(on: _Examiner, node: Call) -> Answer:
    answers = [_answer(on, argument) for argument in node.arguments]
    vector = _vector(node, answers)
    for series in vector.series:
        _fitting(on, node.name, series)
    if node.name == "histogram_quantile":
        return _quantile(on, vector)
    if node.name in {"label_replace", "label_join"}:
        return _relabelled(on, node, vector)
    if node.name in {"absent", "absent_over_time"}:
        return Answer(vector.labels, units.ONE)
    return Answer(vector.labels, _unit_of(node, vector), vector.series if node.name in _RATES else ())


def _vector(node: Call, answers: list[Answer]) -> Answer:
    """Return the answer of the argument that is a vector."""
    found = [
        answer
        for argument, answer in zip(node.arguments, answers, strict=True)
        if not isinstance(argument, Number | String)
    ]
    return found[-1] if node.name == "histogram_quantile" and found else found[0] if found else Answer(frozenset())


def _fitting(on: _Examiner, function: str, series: Series) -> None:
    if function in _RATES and series.kind == "gauge":
        cure = "Show it as it is, or take avg_over_time, delta or deriv of it."
        on.report("type", f"{function} wants a counter, and {series.name} is a gauge.", cure, series.name)
    if function in _GAUGE_ONLY and series.kind in {"counter", "bucket"}:
        cure = "Take rate or increase, which know that a counter begins anew."
        on.report("type", f"{function} wants a gauge, and {series.name} is a counter.", cure, series.name)


def _unit_of(node: Call, vector: Answer) -> Unit | None:
    if node.name in _COUNTING:
        return units.COUNT
    if node.name in _TIMES:
        return units.SECOND
    if vector.unit and node.name in _PER_SECOND:
        return vector.unit.by(units.SECOND, -1)
    if node.name in {"vector", "scalar"} and isinstance(node.arguments[0], Number):
        return units.ONE
    return vector.unit if node.name in _SAME_UNIT else None


def _quantile(on: _Examiner, vector: Answer) -> Answer:
    others = [series for series in vector.series if series.kind not in {"bucket", ""}]
    for series in others:
        base = series.name.removesuffix("_sum").removesuffix("_count")
        cure = f"Take {base}_bucket." if base in on.contract.histograms else "Take the _bucket of a histogram."
        on.report("histogram", f"histogram_quantile wants buckets, and {series.name} has none.", cure, series.name)
    if vector.labels is not None and "le" not in vector.labels and not others:
        cure = "Keep le in the grouping: sum by (le) (rate(…_bucket[$__rate_interval]))."
        on.report(
            "histogram", "histogram_quantile needs the label le, and it is aggregated away.", cure, "histogram_quantile"
        )
    unit = next((units.of_contract(series.unit) for series in vector.series if series.kind == "bucket"), None)
    return Answer(None if vector.labels is None else vector.labels - {"le"}, unit)


def _relabelled(on: _Examiner, node: Call, vector: Answer) -> Answer:
    names = [argument.value if isinstance(argument, String) else "" for argument in node.arguments[1:]]
    sources = names[2:3] if node.name == "label_replace" else names[2:]
    for source in sources:
        if source:
            _wanted(on, source, vector.labels, node.name)
    return Answer(None if vector.labels is None else vector.labels | {names[0]}, vector.unit, vector.series)


def _aggregated(on: _Examiner, node: Aggregate) -> Answer:
    inner = _answer(on, node.of)
    for label in node.labels:
        _wanted(on, label, inner.labels, node.name)
    return Answer(_grouped(node, inner), _aggregated_unit(node, inner), _carried(node, inner))


def _carried(node: Aggregate, inner: Answer) -> tuple[Series, ...]:
    return () if node.name in _COUNTED else inner.series


def _grouped(node: Aggregate, inner: Answer) -> frozenset[str] | None:
    added = frozenset([node.parameter.value]) if isinstance(node.parameter, String) else frozenset()
    if node.keeps:
        return frozenset(node.labels) | added
    if node.name in {"topk", "bottomk", "limitk", "limit_ratio"}:
        return inner.labels
    if node.keeps is None:
        return added
    return None if inner.labels is None else (inner.labels - set(node.labels)) | added


def _aggregated_unit(node: Aggregate, inner: Answer) -> Unit | None:
    if node.name in {"count", "count_values"}:
        return units.COUNT
    if node.name in {"group", "stdvar"}:
        return None
    # A sum of shares is none, and a sum of states counts; a sum of rates is a rate.
    summed_share = node.name == "sum" and inner.unit and not inner.unit.dimensions
    return None if summed_share and any(one.kind == "gauge" for one in inner.series) else inner.unit


def _wanted(on: _Examiner, label: str, labels: frozenset[str] | None, owner: str) -> None:
    if labels is None or label in labels or STAND_IN in label:
        return
    cure = suggestion(label, labels, _has(labels))
    on.report("label", f"{owner} asks for the label {label}, which the series below it do not have.", cure, label)


def _combined(on: _Examiner, node: Binary) -> Answer:
    left, right = _answer(on, node.left), _answer(on, node.right)
    numbers = isinstance(node.left, Number) or isinstance(node.right, Number)
    if not numbers:
        _joined(on, node, left, right)
    return Answer(_joined_labels(node, left, right), _joined_unit(node, left, right), _joined_series(node, left, right))


def _joined_series(node: Binary, left: Answer, right: Answer) -> tuple[Series, ...]:
    if node.operator in _SETS | _COMPARISONS and not node.boolean:
        return (*left.series, *(right.series if node.operator == "or" else ()))
    return ()


def _joined(on: _Examiner, node: Binary, left: Answer, right: Answer) -> None:
    for label in node.labels:
        if node.on:
            for side in (left, right):
                # Of `x or on(a) vector(0)`, the right side has no labels, and that is the point.
                if side.labels or node.operator not in _SETS:
                    _wanted(on, label, side.labels, "on")
        elif left.labels is not None and right.labels is not None:
            _wanted(on, label, left.labels | right.labels, "ignoring")
    one = right if node.many == "left" else left
    for label in node.included:
        _wanted(on, label, one.labels, f"group_{node.many}")


def _joined_labels(node: Binary, left: Answer, right: Answer) -> frozenset[str] | None:  # noqa: PLR0911 - one line a case
    if isinstance(node.left, Number):
        return right.labels
    if isinstance(node.right, Number):
        return left.labels
    if left.labels is None or right.labels is None:
        return None
    if node.operator == "or":
        return left.labels | right.labels
    if node.operator in _SETS:
        return left.labels
    many = right if node.many == "right" else left
    if node.many:
        return (many.labels or frozenset()) | set(node.included)
    if node.on is None:
        return left.labels if node.operator in _COMPARISONS else left.labels & right.labels
    return frozenset(node.labels) if node.on else left.labels - set(node.labels)


def _joined_unit(node: Binary, left: Answer, right: Answer) -> Unit | None:  # noqa: PLR0911 - one line a case
    if node.operator in _COMPARISONS:
        return units.ONE if node.boolean else right.unit if isinstance(node.left, Number) else left.unit
    if node.operator in {"and", "unless"}:
        return left.unit
    if node.operator in {"or", "+", "-"}:
        return _alike(node, left, right)
    if left.unit is None or right.unit is None:
        return None
    if node.operator == "*":
        return _scaled(node.right, left.unit, 1) or _scaled(node.left, right.unit, 1) or left.unit.by(right.unit)
    if node.operator == "/":
        return _scaled(node.right, left.unit, -1) or left.unit.by(right.unit, -1)
    return left.unit if node.operator == "%" else None


def _scaled(number: Node, unit: Unit, power: int) -> Unit | None:
    factor = _constant(number)
    return unit.times(factor**power) if factor else None


def _constant(node: Node) -> float | None:
    """Work out a number that is written as a product: 60 * 60 * 24."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Binary) and node.operator in {"*", "/"}:
        left, right = _constant(node.left), _constant(node.right)
        if left and right:
            return left * right if node.operator == "*" else left / right
    return None


def _alike(node: Binary, left: Answer, right: Answer) -> Unit | None:
    """A sum has the unit of its parts, if they agree; 1 - share is a share, and x or vector(0) is an x."""
    if left.unit == right.unit:
        return left.unit
    if left.unit and right.unit and left.unit.dimensions == right.unit.dimensions == ():
        plain, other = (left.unit, right.unit) if isinstance(node.left, Number) else (right.unit, left.unit)
        return other if plain == units.ONE else None
    if node.operator == "or" and right.unit in {units.ONE, None}:
        return left.unit
    if left.unit and right.unit and _unnumbered(left.unit) == _unnumbered(right.unit):
        return left.unit
    return None


def _unnumbered(unit: Unit) -> tuple[object, float]:
    return unit.dimensions, unit.scale
