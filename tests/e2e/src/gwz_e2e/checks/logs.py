"""Log lines: each request's is in Loki exactly once, under its trace, with its facts."""

from collections.abc import Mapping

from fastapi_app.load.ledger import Entry
from gwz_e2e.case import Case
from gwz_e2e.checks.contract import line_faults
from gwz_e2e.checks.health import admissions
from gwz_e2e.compare import shorten
from gwz_e2e.engines import Line
from gwz_e2e.hops import Finding
from gwz_instrument.http import REQUEST_LOGGER
from gwz_instrument.semconv import logs

_PROBES = 10


def lines(case: Case) -> list[Line]:
    """The request lines of the application."""
    return case.engines.loki.lines(f'{{app="{case.service}"}} |= "{REQUEST_LOGGER}"', *case.window)


def each_once(case: Case) -> Finding:
    """One line per request, found by its id, saying what the ledger says; no other line; each as it is declared."""
    by_id: dict[str, list[Line]] = {}
    for line in lines(case):
        by_id.setdefault(str(line.metadata.get(logs.REQUEST_ID.name)), []).append(line)
    phrases = [
        f"{entry.id}: {problem}" for entry in case.ledger if (problem := _problem(entry, by_id.get(entry.id, [])))
    ]
    phrases += [f"{key} is not in the ledger" for key in by_id.keys() - {entry.id for entry in case.ledger}]
    phrases += line_faults(case) + admissions(case, "logs", len(case.ledger)) + _not_found_by_trace(case)
    return Finding(
        not phrases, shorten(phrases) or f"{len(case.ledger)} request lines in Loki, each once, as the ledger says"
    )


def _problem(entry: Entry, found: list[Line]) -> str:
    if len(found) != 1:
        return f"{len(found)} lines instead of 1"
    line = found[0]
    wanted: Mapping[str, object] = {
        logs.METHOD.name: entry.method,
        logs.PATH.name: entry.route,
        logs.STATUS_CODE.name: entry.status,
        logs.OUTCOME.name: str(entry.outcome),
        logs.PROVIDER.name: entry.provider,
        logs.MODEL.name: entry.model,
    }
    wrong = [
        f"{name} is {line.fields.get(name)!r} instead of {value!r}"
        for name, value in wanted.items()
        if line.fields.get(name) != value
    ]
    if entry.trace_id and line.metadata.get(logs.TRACE_ID.name) != entry.trace_id:
        wrong.append(f"trace_id is {line.metadata.get(logs.TRACE_ID.name)!r} instead of {entry.trace_id!r}")
    return ", ".join(wrong)


def _not_found_by_trace(case: Case) -> list[str]:
    """Ask for a few lines the way a person does, who has a trace id and nothing else."""
    step = max(1, len(case.by_trace) // _PROBES)
    return [
        f"{len(found)} lines by trace id {trace_id} instead of 1"
        for trace_id in list(case.by_trace)[::step][:_PROBES]
        if len(found := case.engines.loki.lines(_by_trace(case, trace_id), *case.window)) != 1
    ]


def _by_trace(case: Case, trace_id: str) -> str:
    return f'{{app="{case.service}"}} | trace_id="{trace_id}" |= "{REQUEST_LOGGER}"'
