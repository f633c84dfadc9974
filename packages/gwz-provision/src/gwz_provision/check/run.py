"""One check of all documents: parse each query, hold it against the contract, and look at what frames it."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import TypeVar

from gwz_provision.bundle import shipped
from gwz_provision.check import (
    alerting,
    fields,
    infinity,
    lines,
    logql,
    metrics,
    promql,
    rulefile,
    shown,
    structure,
    traceql,
    traces,
    units,
)
from gwz_provision.check.asked import (
    Asked,
    Json,
    Sources,
    of_alert,
    of_dashboard,
    of_datasources,
    of_rules,
    panels,
    variables,
)
from gwz_provision.check.contract import Contract, Series
from gwz_provision.check.documents import Document, read
from gwz_provision.check.fields import Names
from gwz_provision.check.findings import Finding, Place, Problem, Unparsable, suggestion
from gwz_provision.check.substitution import BROWSER, STAND_IN, Text, substituted, undefined
from gwz_provision.check.units import Unit

_T = TypeVar("_T")
_LEGEND = re.compile(r"\{\{\s*(?P<label>[^}]+?)\s*\}\}")
# By the custom of level:metric:operation.
_RATIO = re.compile(r":(?:\w*_)?ratio\d*[a-z]*$")
# A panel that says since when it counts may show a counter as it is.
_SINCE_START = re.compile(r"\bsince\b[^.]*\bstart")
_IGNORED = re.compile(r"gwz-ignore\s+(?P<id>[\w/-]+):[ \t]*(?P<reason>[^\n]*?)[ \t]*(?:-->|\n|$)")


@dataclass(frozen=True)
class Outcome:
    """What was looked at, and what is wrong with it."""

    files: int
    queries: tuple[Place, ...]
    findings: tuple[Finding, ...]
    orphans: tuple[str, ...] = ()
    """The metrics of the contract that nothing shows: no fault, as a metric may be there for the day it is needed."""


@dataclass
class _Run:
    contract: Contract | None
    sources: Sources
    places: list[Place] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    allowed: set[tuple[str, int | None, str]] = field(default_factory=set)
    """What was left out because a comment allows it, by file, panel and the finding's id."""
    fields: dict[int, Names] = field(default_factory=dict)
    """What the answer to each target is called, by the target's identity."""
    asked: dict[str, set[str]] = field(default_factory=dict)
    """The series that are asked for: by the recording rule of the name, and under no name by all else."""

    def add(self, place: Place, problems: Iterable[Problem]) -> None:
        self.findings.extend(place.finding(problem) for problem in problems)


def check(roots: Sequence[Traversable], contract: Contract | None) -> Outcome:
    """Check files and folders, or the shipped bundle when there are none."""
    found = read(roots, shipped())
    documents = found.documents
    run = _Run(_with_rules(contract, documents), _sources(documents), findings=list(found.findings))
    uids = frozenset(str(one.content.get("uid") or "") for one in documents if one.kind == "dashboard")
    for document in documents:
        _document(run, document, uids, ours=not roots)
    run.findings.extend((*structure.among(documents), *alerting.among(documents)))
    if not found.files or not run.places:
        run.findings.append(_nothing(roots, found.files))
    orphans = tuple(_orphans(contract, run.asked)) if contract else ()
    return Outcome(found.files, tuple(run.places), tuple(run.findings), orphans)


def _orphans(contract: Contract, asked: Mapping[str, set[str]]) -> list[str]:
    """List the metrics that neither a query shows nor a recording rule that one shows."""
    shown: set[str] = set()
    found = asked.get("", set())
    while found:
        shown |= found
        found = {series for rule in found for series in asked.get(rule, ())} - shown
    return sorted({contract.metric(name) for name in contract.series} - {contract.metric(name) for name in shown})


def _nothing(roots: Sequence[Traversable], files: int) -> Finding:
    where = ", ".join(map(str, roots)) or "the shipped bundle"
    sentence = f"{files} files and 0 queries were found in {where}: nothing was checked."
    cure = "Pass the folder that holds the dashboards; JSON and YAML files below it are read."
    return Place(where).finding(Problem("run/nothing", sentence, cure))


def _sources(documents: Sequence[Document]) -> Sources:
    """Know the data sources of the documents, or else those that we ship."""
    listed = [
        one for document in documents if document.kind == "datasources" for one in document.content["datasources"]
    ]
    if not listed:
        listed = json.loads((shipped() / "datasources.json").read_text(encoding="utf-8"))["datasources"]
    usable = [one for one in listed if one.get("uid")]
    return Sources(
        {one["uid"]: one.get("type", "") for one in usable},
        {one.get("name", ""): one["uid"] for one in usable},
    )


def _document(run: _Run, document: Document, uids: frozenset[str], *, ours: bool) -> None:
    known = variables(document.content) if document.kind == "dashboard" else {}
    run.findings.extend(_frame(run, document, uids, ours=ours))
    for asked in _queries(run, document):
        _asked(run, asked, known)
    for panel in panels(document.content) if document.kind == "dashboard" else ():
        _named(run, document.file, panel)
        _unused(run, document.file, panel)


def _frame(run: _Run, document: Document, uids: frozenset[str], *, ours: bool) -> Iterable[Finding]:
    match document.kind:
        case "dashboard":
            return structure.dashboard(document, run.sources, uids, ours=ours)
        case "alerting":
            return alerting.alerting(document, run.sources)
        case "rules":
            return rulefile.recording(document)
        case _:
            return ()


def _queries(run: _Run, document: Document) -> Iterator[Asked]:
    file, content = document.file, document.content
    match document.kind:
        case "dashboard":
            yield from of_dashboard(file, content, run.sources)
        case "alerting":
            for rule in alerting.rules_of(content):
                yield from of_alert(Place(file, title=alerting.title(rule)), rule, run.sources)
        case "datasources":
            yield from of_datasources(file, content)
        case "rules":
            yield from (asked for _, asked in of_rules(file, content))


def _asked(run: _Run, asked: Asked, known: Mapping[str, Json]) -> None:
    run.places.append(asked.place)
    problems: list[Problem] = []
    problems.extend(_undefined(asked, known))
    if asked.label_only:
        problems.extend(_label(run, asked, None))
    elif not asked.text.strip() and asked.kind != "infinity":
        problems.append(
            Problem(f"{_LANGUAGES[asked.kind]}/empty", "the query is empty.", "Write it, or remove the target.")
        )
    else:
        problems.extend(_CHECKS[asked.kind](run, asked, known))
    run.add(asked.place, _unsuppressed(run, asked, problems))


_LANGUAGES = {"prometheus": "promql", "loki": "logql", "tempo": "traceql", "infinity": "infinity"}


def _undefined(asked: Asked, known: Mapping[str, Json]) -> Iterator[Problem]:
    replaced = asked.replaced
    if replaced is None:
        replaced = BROWSER | known.keys() | {"__timeFrom", "__timeTo"}
        replaced = replaced - ({"__auto"} if asked.kind == "prometheus" else set())
    texts = [asked.text]
    if asked.kind == "infinity":
        texts = [json.dumps(asked.target.get(key) or "") for key in ("url", "url_options")]
    for text in texts:
        yield from undefined(text, replaced)


def _parsed(asked: Asked, known: Mapping[str, Json], parse: Callable[[str], _T]) -> tuple[_T, Text] | Problem:
    """Parse a query with its variables replaced; where a number and a name would both do, try one after the other."""
    numeric = [name for name, variable in known.items() if _is_numeric(variable)]
    text = substituted(asked.text, numeric=numeric)
    try:
        return parse(text.text), text
    except Unparsable as error:
        first, second = error, substituted(asked.text, "name", numeric)
    if text.guessed:
        try:
            return parse(second.text), second
        except Unparsable:
            pass
    return _placed(first.problem, text)


def _is_numeric(variable: Json) -> bool:
    value = variable.get("current", {}).get("value")
    return isinstance(value, str) and re.fullmatch(r"-?\d+(?:\.\d+)?", value) is not None


def _placed(problem: Problem, text: Text) -> Problem:
    column = None if problem.column is None else text.column(problem.column - 1)
    return Problem(problem.id, problem.sentence, problem.cure, column)


def _prometheus(run: _Run, asked: Asked, known: Mapping[str, Json]) -> Iterator[Problem]:
    parsed = _parsed(asked, known, promql.parse)
    if isinstance(parsed, Problem):
        yield parsed
        return
    node, _ = parsed
    for name in promql.experimental(node):
        cure = "Start it with --enable-feature=promql-experimental-functions, or do without."
        sentence = f"Prometheus 3.2 refuses {name} unless it is told otherwise."
        yield Problem("promql/experimental", sentence, cure, promql.columns(asked.text, name))
    if run.contract is None:
        return
    run.asked.setdefault(str(asked.target.get("record") or ""), set()).update(metrics.asked(node, run.contract))
    answer, problems = metrics.examined(node, run.contract, lambda word, after: promql.columns(asked.text, word, after))
    yield from problems
    # Of what a panel shows or an alert decides upon; a variable lists, and a recording rule records.
    if asked.place.ref and not _SINCE_START.search(str(asked.panel.get("description") or "")):
        yield from metrics.bare(node, run.contract, lambda word, after: promql.columns(asked.text, word, after))
    yield from _label(run, asked, answer.labels)
    yield from _legend(asked, answer.labels)
    yield from _shown(asked, answer.unit)
    run.fields[id(asked.target)] = fields.of_series(asked.target, asked.place.ref, asked.legend, answer.labels)


def _loki(run: _Run, asked: Asked, known: Mapping[str, Json]) -> Iterator[Problem]:
    parsed = _parsed(asked, known, logql.parse)
    if isinstance(parsed, Problem):
        yield parsed
        return
    if run.contract is None:
        return
    node, text = parsed
    answer, problems = lines.examined(node, run.contract)
    yield from (_placed(problem, text) for problem in problems)
    yield from _label(run, asked, frozenset(run.contract.stream) | {"service_name"})
    if not isinstance(node, logql.Logs):
        yield from _legend(asked, answer.labels)
        yield from _shown(asked, answer.unit)
        only = _LEGEND.fullmatch(asked.legend)
        values = run.contract.stream.get(only["label"], ()) if only else ()
        run.fields[id(asked.target)] = fields.of_series(
            asked.target, asked.place.ref, asked.legend, answer.labels, values
        )


def _tempo(run: _Run, asked: Asked, known: Mapping[str, Json]) -> Iterator[Problem]:
    if re.fullmatch(r"\s*(?:[0-9a-fA-F]{16,32}|\$\{?\w+\}?)\s*", asked.text):
        return  # a trace's id
    parsed = _parsed(asked, known, traceql.parse)
    if isinstance(parsed, Problem):
        yield parsed
        return
    if run.contract is None:
        return
    query, text = parsed
    yield from (_placed(problem, text) for problem in traces.examined(query, run.contract))
    yield from _shown(asked, traces.unit(query))


def _infinity(run: _Run, asked: Asked, _: Mapping[str, Json]) -> Iterator[Problem]:
    columns, problems = infinity.examined(asked.target, run.contract)
    yield from problems
    run.fields[id(asked.target)] = fields.of_columns(asked.target)
    for column in columns:
        if column.field.type in {"number", "integer"}:
            names = shown.names(asked.panel, column.name)
            last = column.field.name.rsplit(".", 1)[-1]
            value = units.of_field(last, column.field.unit, counts=column.field.type == "integer")
            yield from _contradiction(asked, value, names, column.name)


_CHECKS: Mapping[str, Callable[[_Run, Asked, Mapping[str, Json]], Iterator[Problem]]] = {
    "prometheus": _prometheus,
    "loki": _loki,
    "tempo": _tempo,
    "infinity": _infinity,
}


def _label(run: _Run, asked: Asked, labels: frozenset[str] | None) -> Iterator[Problem]:
    """Ask of the label whose values a variable wants that it exists."""
    if not asked.label or run.contract is None or STAND_IN in substituted(asked.label).text:
        return
    if asked.label_only:
        ours = [*run.contract.series.values()] if asked.kind == "prometheus" else []
        labels = (
            frozenset(run.contract.stream)
            if asked.kind == "loki"
            else frozenset(name for one in ours for name in one.labels or ())
        )
    if labels is not None and asked.label not in labels:
        cure = suggestion(asked.label, labels, f"There are {', '.join(sorted(labels))}.")
        yield Problem(
            f"{_LANGUAGES[asked.kind]}/label",
            f"the variable asks for the label {asked.label}, which is not there.",
            cure,
        )


def _legend(asked: Asked, labels: frozenset[str] | None) -> Iterator[Problem]:
    if labels is None:
        return
    for found in _LEGEND.finditer(asked.legend):
        label = found["label"]
        if label not in labels and label != "__name__" and "$" not in label:
            cure = suggestion(label, labels, f"They have {', '.join(sorted(labels)) or 'none'}.")
            sentence = f"the legend shows {label}, and the query's series have no such label."
            yield Problem(f"{_LANGUAGES[asked.kind]}/legend", sentence, cure)


def _shown(asked: Asked, value: Unit | None) -> Iterator[Problem]:
    names = shown.names(asked.panel, asked.legend, f"Value #{asked.place.ref}", "Value")
    yield from _contradiction(asked, value, names, "")


def _contradiction(asked: Asked, value: Unit | None, names: Sequence[str], column: str) -> Iterator[Problem]:
    unit = shown.unit(asked.panel, asked.place.ref, names) if asked.panel else None
    if value is None or unit is None:
        return
    if found := units.contradiction(value, unit):
        sentence, right = found
        of = f" of {column}" if column else ""
        yield Problem("panel/unit", f"{sentence}{of}.", f"Set the unit to {right}.")


def _named(run: _Run, file: str, panel: Json) -> None:
    """Report the names of fields that a panel has not."""
    yielded = [run.fields.get(id(target)) for target in panel.get("targets", ()) if not target.get("hide")]
    place = Place(file, panel.get("id"), panel.get("title", ""))
    found = list(fields.misnamed(panel, yielded))
    run.add(place, _unsuppressed(run, Asked(place, "", "", {}, panel), found))


def _unused(run: _Run, file: str, panel: Json) -> None:
    """Report what a panel's description allows and no query of it does."""
    for found in _IGNORED.finditer(str(panel.get("description") or "")):
        place = Place(file, panel.get("id"), str(panel.get("title") or ""))
        if found["reason"] and (file, place.panel, found["id"]) not in run.allowed:
            run.add(place, [_ignores_nothing(found["id"])])


def _ignores_nothing(id_: str) -> Problem:
    return Problem("run/ignore", f"gwz-ignore {id_} ignores nothing.", "Remove it.")


def _unsuppressed(run: _Run, asked: Asked, problems: Sequence[Problem]) -> Iterator[Problem]:
    """Leave out what a comment of the query or of the panel's description allows, if it says why."""
    written = f"{asked.text}\n{asked.panel.get('description') or ''}"
    allowed = {found["id"]: found["reason"] for found in _IGNORED.finditer(written)}
    for id_, reason in allowed.items():
        if not reason:
            yield Problem("run/ignore", f"gwz-ignore {id_} says no reason.", f"Write gwz-ignore {id_}: and why.")
        elif all(problem.id != id_ for problem in problems) and id_ in asked.text:
            yield _ignores_nothing(id_)
    run.allowed.update(
        (asked.place.file, asked.place.panel, problem.id) for problem in problems if allowed.get(problem.id)
    )
    yield from (problem for problem in problems if not allowed.get(problem.id))


def _with_rules(contract: Contract | None, documents: Sequence[Document]) -> Contract | None:
    """Know the recording rules too; each may be made from those before it."""
    if contract is None:
        return None
    pairs = [pair for one in documents if one.kind == "rules" for pair in of_rules(one.file, one.content)]
    recorded = [(str(rule["record"]), rule, asked) for rule, asked in pairs if rule.get("record")]
    known = contract.with_series({name: Series(name, "", "", None) for name, _, _ in recorded})
    for name, rule, asked in recorded:
        known = known.with_series({name: _recorded(known, name, rule, asked)})
    return known


def _recorded(contract: Contract, name: str, rule: Json, asked: Asked) -> Series:
    try:
        answer, _ = metrics.examined(promql.parse(asked.text), contract, lambda *_: None)
    except Unparsable:
        return Series(name, "", "", None)
    if answer.labels is None:
        return Series(name, "", "", None)
    added = rule.get("labels")
    labels = dict.fromkeys([*answer.labels, *map(str, added if isinstance(added, dict) else ())], ())
    unit = answer.unit or (units.RATIO if _RATIO.search(name) else None)
    return Series(name, "gauge", "", labels, measured=unit)
