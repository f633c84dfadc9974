"""LogQL held against the contract: stream labels, structured metadata, and the fields of our JSON lines."""
# ruff: noqa: SIM905 - words read best as words

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gwz_provision.check import units
from gwz_provision.check.contract import Contract, Field, near
from gwz_provision.check.findings import Problem, suggestion
from gwz_provision.check.logql import (
    Aggregate,
    Binary,
    Grouping,
    Logs,
    Matcher,
    Named,
    Node,
    Number,
    Range,
    Replaced,
    Stage,
)
from gwz_provision.check.metrics import impossible
from gwz_provision.check.substitution import STAND_IN
from gwz_provision.check.units import Unit

# Loki puts these on streams and lines by itself.
_LOKIS_STREAM = ("service_name",)
_LOKIS = ("detected_level", "__error__", "__error_details__", "service_name", "__timestamp__", "__line__")
_NUMBERS = frozenset({"int", "double", "integer", "number"})
_SAME_UNIT = frozenset(
    """avg_over_time first_over_time last_over_time max_over_time min_over_time quantile_over_time stddev_over_time
    sum_over_time""".split()
)

Known = Mapping[str, Field]


@dataclass(frozen=True)
class Answer:
    """The labels that a query's series can have, and its unit; None when that is not known."""

    labels: frozenset[str] | None
    unit: Unit | None = None


@dataclass
class _Examiner:
    contract: Contract
    problems: list[Problem] = field(default_factory=list)

    def report(self, id_: str, sentence: str, cure: str, start: int) -> None:
        self.problems.append(Problem(f"logql/{id_}", sentence, cure, start + 1))


def examined(node: Node, contract: Contract) -> tuple[Answer, list[Problem]]:
    """Hold a query against the contract; the problems' columns are those of the text that was parsed."""
    examiner = _Examiner(contract)
    return _answer(examiner, node), examiner.problems


def _answer(on: _Examiner, node: Node) -> Answer:
    match node:
        case Logs():
            return Answer(frozenset(_pipeline(on, node)))
        case Range():
            return _ranged(on, node)
        case Aggregate():
            inner = _answer(on, node.of)
            unit = units.COUNT if node.name == "count" else None if node.name == "stdvar" else inner.unit
            return Answer(_grouped(on, node, inner), unit)
        case Binary():
            return _combined(on, node)
        case Replaced():
            inner = _answer(on, node.of)
            _wanted(on, (node.source,), inner.labels)
            return Answer(None if inner.labels is None else inner.labels | {node.target}, inner.unit)
        case Number():
            return Answer(frozenset(), units.ONE)


def _pipeline(on: _Examiner, logs: Logs) -> Known:
    """Follow the pipeline and return the labels that come out of it."""
    known: dict[str, Field] = {name: Field(name, values=values) for name, values in on.contract.stream.items()}
    streams = {**known, **{name: Field(name) for name in _LOKIS_STREAM}}
    for matcher in logs.selector:
        _stream_matched(on, matcher, streams)
    known |= {**{name: Field(name) for name in _LOKIS}, **on.contract.metadata}
    for stage in logs.stages:
        _staged(on, stage, known)
    return known


def _stream_matched(on: _Examiner, matcher: Matcher, streams: Known) -> None:
    if matcher.label in streams or STAND_IN in matcher.label:
        _valued(on, matcher, streams)
        return
    where = "structured metadata" if matcher.label in on.contract.metadata else "a field of the line"
    if matcher.label in on.contract.metadata or matcher.label in on.contract.fields:
        json = "" if matcher.label in on.contract.metadata else "| json "
        cure = f"It is {where}: filter after the selector, {json}| {matcher.label}…"
    else:
        cure = suggestion(matcher.label, streams, f"Streams have {', '.join(sorted(streams))}.")
    on.report("label", f"no log stream has the label {matcher.label}.", cure, matcher.start)


def _staged(on: _Examiner, stage: Stage, known: dict[str, Field]) -> None:
    for matcher in stage.filters:
        _filtered(on, matcher, known)
    if stage.name in {"line_format", "label_format", "unwrap"}:
        _wanted(on, stage.reads, known, on.contract.fields)
    if stage.name == "unwrap":
        _numeric(on, stage, known)
    if stage.name in {"json", "logfmt"}:
        _extracted(on, stage, known)
    known.update({name: Field(name, "") for name in stage.makes if name not in on.contract.fields})
    known.update({name: on.contract.fields[name] for name in stage.makes if name in on.contract.fields})
    if stage.name == "unpack":
        known.update(on.contract.fields)


def _extracted(on: _Examiner, stage: Stage, known: dict[str, Field]) -> None:
    if not stage.makes:
        known.update({f"{name}_extracted": one for name, one in on.contract.fields.items() if name in known})
        known.update({name: one for name, one in on.contract.fields.items() if name not in known})
    for path in stage.paths:
        first = path.label.strip('[]"').replace("[", ".").split(".")[0].strip('"')
        if first not in on.contract.fields and STAND_IN not in first:
            cure = suggestion(first, on.contract.fields, "Take a field of the contract.")
            on.report("field", f"log lines have no field {first}.", cure, path.start)
    for made, path in zip(stage.makes, stage.paths, strict=False):
        if made not in on.contract.fields and path.label in on.contract.fields and near(made, path.label):
            sentence = f"{path.label} is extracted as {made}: two letters away, that is a slip."
            on.report("label", sentence, f'Write {path.label}="{path.label}".', path.start)


def _numeric(on: _Examiner, stage: Stage, known: Known) -> None:
    for name in stage.reads:
        one = known.get(name.label)
        if one and one.type not in _NUMBERS | {""} and not stage.conversion and name.label in on.contract.fields:
            on.report("type", f"{name.label} is a {one.type}, not a number to unwrap.", "Unwrap a number.", name.start)


def _filtered(on: _Examiner, matcher: Matcher, known: Known) -> None:
    if _wanted(on, (Named(matcher.label, matcher.start),), known, on.contract.fields):
        _valued(on, matcher, known)


def _valued(on: _Examiner, matcher: Matcher, known: Known) -> None:
    values = known[matcher.label].values if matcher.label in known else ()
    if matcher.kind == "string" and (wrong := impossible(matcher.operator, matcher.value, values)):
        cure = suggestion(wrong, values, f"It is one of {', '.join(values)}.")
        on.report("value", f"{matcher.label} is never {wrong!r}.", cure, matcher.value_start)


def _wanted(on: _Examiner, names: Iterable[Named], known: Iterable[str] | None, fields: Iterable[str] = ()) -> bool:
    """Report each name that nothing has made; `fields` are those that a parser would make."""
    if known is None:
        return True
    there, could = set(known), set(fields)
    missing = [one for one in names if one.label not in there and STAND_IN not in one.label]
    for name in missing:
        cure = (
            "Parse the line before: | json."
            if name.label in could
            else suggestion(name.label, there | could, "Take a field of the contract.")
        )
        on.report("label", f"no line has the label {name.label} here.", cure, name.start)
    return not missing


def _ranged(on: _Examiner, node: Range) -> Answer:
    known = _pipeline(on, node.logs)
    labels: frozenset[str] | None = frozenset(known)
    if node.grouping:
        _wanted(on, node.grouping.labels, known, on.contract.fields)
        labels = _kept(node.grouping, labels)
    return Answer(labels, _unit(node, known))


def _unit(node: Range, known: Known) -> Unit | None:  # noqa: PLR0911 - one line a case
    match node.name:
        case "rate" if not _unwrapped(node):
            return units.COUNT.by(units.SECOND, -1)
        case "count_over_time":
            return units.COUNT
        case "bytes_over_time":
            return units.BYTE
        case "bytes_rate":
            return units.BYTE.by(units.SECOND, -1)
        case name if name in _SAME_UNIT and (stage := _unwrapped(node)):
            if stage.conversion:
                return units.BYTE if stage.conversion == "bytes" else units.SECOND
            one = known.get(stage.reads[0].label)
            return units.of_field(one.name, one.unit) if one else None
        case _:
            return None


def _unwrapped(node: Range) -> Stage | None:
    return next((stage for stage in node.logs.stages if stage.name == "unwrap"), None)


def _grouped(on: _Examiner, node: Aggregate, inner: Answer) -> frozenset[str] | None:
    if node.grouping is None:
        return inner.labels if node.name in {"topk", "bottomk", "sort", "sort_desc", "approx_topk"} else frozenset()
    _wanted(on, node.grouping.labels, inner.labels, on.contract.fields)
    if node.name in {"topk", "bottomk"}:
        return inner.labels
    return _kept(node.grouping, inner.labels)


def _kept(grouping: Grouping, labels: frozenset[str] | None) -> frozenset[str] | None:
    names = frozenset(one.label for one in grouping.labels)
    if grouping.keeps:
        return names
    return None if labels is None else labels - names


def _combined(on: _Examiner, node: Binary) -> Answer:
    left, right = _answer(on, node.left), _answer(on, node.right)
    if node.on:
        _wanted(on, node.labels, left.labels)
        _wanted(on, node.labels, right.labels)
    labels = right.labels if isinstance(node.left, Number) else left.labels
    if node.operator == "or" and labels is not None:
        labels = None if right.labels is None else labels | right.labels
    return Answer(labels, _combined_unit(node, left.unit, right.unit))


def _combined_unit(node: Binary, left: Unit | None, right: Unit | None) -> Unit | None:
    if left is None or right is None:
        return None
    match node.operator:
        case "*":
            number = next((one.value for one in (node.left, node.right) if isinstance(one, Number)), None)
            return (right if isinstance(node.left, Number) else left).times(number) if number else left.by(right)
        case "/":
            return (
                left.times(1 / node.right.value)
                if isinstance(node.right, Number) and node.right.value
                else left.by(right, -1)
            )
        case "==" | "!=" | ">" | "<" | ">=" | "<=":
            return units.ONE if node.boolean else left
        case "and" | "unless":
            return left
        case _:
            return left if left == right else None
