"""Holds log lines and traces against those of the ledger."""

from collections import Counter

from gwz_dashboards.expectations.kinds import LineCount, Lines
from gwz_dashboards.panels import LINES_SHOWN
from gwz_e2e.panels.answers import Shown
from gwz_e2e.panels.facts import Facts
from gwz_e2e.panels.tallies import Written
from gwz_e2e.panels.verdicts import Verdict
from gwz_instrument.http import REQUEST_LOGGER

TRACES_SHOWN = 20


def judge_lines(verdict: Verdict, kind: Lines, shown: Shown, facts: Facts) -> None:
    """Hold log lines against those that the ledger's requests wrote: as many, each once, saying what happened."""
    wanted = [line for line in facts.lines if is_wanted(kind, facts, line)]
    most = min(len(wanted), LINES_SHOWN)
    by_id = {line.entry.id: line.entry for line in wanted if line.entry and line.logger == REQUEST_LOGGER}
    verdict.expected, verdict.got = f"{most} lines", f"{len(shown.lines)} lines"
    if len(shown.lines) != most or not most:
        verdict.phrases.append(f"{len(shown.lines)} lines instead of {most}")
    seen = Counter[str]()
    for line in shown.lines:
        request_id = line.labels.get("request_id", "")
        entry = by_id.get(request_id)
        if entry is None or f"{entry.method} {entry.route} {entry.status}" not in line.text:
            continue
        seen[request_id] += 1
        whom = [str(one) for one in (entry.provider, entry.model) if one]
        if kind.readable and (line.text.startswith("{") or not all(one in line.text for one in whom)):
            verdict.phrases.append(f"the line of {request_id} reads {line.text[:80]!r}")
    verdict.phrases += [f"{one} has {number} lines" for one, number in seen.items() if number > 1]
    if len(wanted) == most and len(seen) != len(by_id):
        verdict.phrases.append(f"the lines of {len(seen)} requests are shown instead of {len(by_id)}")
    if not seen:
        verdict.phrases.append("no line is of a request of the ledger")


def is_wanted(kind: LineCount | Lines, facts: Facts, line: Written) -> bool:
    """Whether a line is among those that are asked for."""
    chosen = facts.known.chosen
    if kind.of_chosen_level and line.level != chosen["level"]:
        return False
    if kind.levels and line.level not in kind.levels:
        return False
    if not getattr(kind, "searched", False):
        return True
    if line.logger != REQUEST_LOGGER or line.entry is None:  # of all lines, only those of requests say a path
        return False
    return (
        line.entry.route in chosen["path"] and str(chosen["search"]).casefold() in str(line.entry.provider).casefold()
    )


def judge_traces(verdict: Verdict, shown: Shown, facts: Facts) -> None:
    """Hold traces against those of the ledger's requests."""
    most = min(TRACES_SHOWN, len(facts.by_trace))
    strangers = [one for one in shown.traces if one not in facts.by_trace]
    verdict.expected, verdict.got = f"{most} traces of the ledger", f"{len(shown.traces)} traces"
    verdict.phrases += [f"{one} is no trace of the ledger" for one in strangers]
    if len(set(shown.traces)) != most:
        verdict.phrases.append(f"{len(set(shown.traces))} traces instead of {most}")
