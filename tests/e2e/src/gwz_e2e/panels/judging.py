"""Holds an answer against what is expected of it."""

from collections import defaultdict
from collections.abc import Iterator

from gwz_dashboards.expectations.kinds import (
    Curves,
    Expect,
    Kind,
    LineCount,
    LineRate,
    Lines,
    Origin,
    Quantile,
    Rate,
    State,
    Told,
    Traces,
)
from gwz_e2e.panels import looks
from gwz_e2e.panels.answers import Curve, Shown, Window
from gwz_e2e.panels.boards import Query
from gwz_e2e.panels.facts import Facts
from gwz_e2e.panels.lists import judge_lines, judge_traces
from gwz_e2e.panels.ranges import EXACT, TILE_S, ranges
from gwz_e2e.panels.tallies import Group, group
from gwz_e2e.panels.told import judge_told
from gwz_e2e.panels.verdicts import Verdict, words


def judge(query: Query, expect: Expect, shown: Shown, facts: Facts) -> Verdict:
    """Hold the answer, and how the panel would show it, against the expectation."""
    verdict = judge_kind(query, expect.kind, shown, facts)
    verdict.phrases += looks.wrong_looks(query, expect)
    try:
        verdict.phrases += looks.wrong_settings(query, expect)
    except looks.WrongUnit as wrong:
        verdict.phrases.append(str(wrong))
    return verdict


def judge_kind(query: Query, kind: Kind, shown: Shown, facts: Facts) -> Verdict:
    """Hold the answer alone against it; a ledger that the answer cannot even be compared with is a difference."""
    verdict = Verdict()
    try:
        match kind:
            case Told():
                judge_told(verdict, query, kind, shown, facts)
            case Lines():
                judge_lines(verdict, kind, shown, facts)
            case Traces():
                judge_traces(verdict, shown, facts)
            case _:
                _judge_curves(verdict, query, kind, shown, facts)
    except looks.WrongUnit as wrong:
        verdict.phrases.append(str(wrong))
    except (KeyError, IndexError, ValueError, TypeError, ZeroDivisionError) as error:
        verdict.phrases.append(f"cannot be compared: {type(error).__name__}: {error}")
    return verdict


def _judge_curves(verdict: Verdict, query: Query, kind: Curves, shown: Shown, facts: Facts) -> None:
    found = _values(query, kind, shown, facts)
    verdict.got = "; ".join(f"{words(key)}{found[key]:.10g}" for key in sorted(found)) or "nothing"
    wanted = ranges(kind, facts, verdict)
    verdict.expected = "; ".join(f"{words(key)}{wanted[key]}" for key in sorted(wanted))
    for key in sorted(wanted.keys() | found.keys()):
        if key not in wanted:
            if found[key]:
                verdict.phrases.append(f"nobody expects {words(key)}{found[key]:g}")
        elif key not in found:
            if wanted[key].high > EXACT or not isinstance(kind, Rate | Quantile):
                verdict.phrases.append(f"{words(key)}is missing, {wanted[key]} expected")
        elif not wanted[key].holds(found[key]):
            verdict.phrases.append(f"{words(key)}{found[key]:.10g} instead of {wanted[key]}")
    if not wanted:
        verdict.phrases.append("the ledger has nothing that would show")
    verdict.phrases += _wrong_names(kind, shown)
    if isinstance(kind, Quantile) and kind.exemplars:
        strangers = [trace_id for trace_id in shown.exemplars if trace_id not in facts.by_trace]
        verdict.phrases += [f"the dot {one} leads to no trace of the ledger" for one in strangers]
        verdict.phrases += [] if shown.exemplars else ["no dot leads to a trace"]


def _wrong_names(kind: Curves, shown: Shown) -> Iterator[str]:
    """Curves are told apart by what they are of."""
    for curve in shown.curves:
        values = [curve.labels.get(one.name, "") for one in getattr(kind, "by", ())]
        if missing := [value for value in values if value and value not in curve.name]:
            yield f"a curve of {', '.join(missing)} is called {curve.name}"


def _values(query: Query, kind: Curves, shown: Shown, facts: Facts) -> dict[Group, float]:
    """The numbers that are shown, in the quantity that is expected, by the labels that tell them apart."""
    values: defaultdict[Group, float] = defaultdict(float)
    for curve in shown.curves:
        value = _value(query, kind, curve, facts.window)
        if value is not None:
            times = looks.factor(query.panel, kind.quantity, _column(query, curve))
            values[group(curve.labels, getattr(kind, "by", ()))] += value * times
    if not shown.curves:  # the unit is wrong whether there is something to show or not
        looks.factor(query.panel, kind.quantity, "")
    return dict(values)


def _column(query: Query, curve: Curve) -> str:
    return "Value" if query.target.get("format") == "table" else curve.name


def _value(query: Query, kind: Curves, curve: Curve, window: Window) -> float | None:
    if isinstance(kind, LineRate):
        return sum(value for at, value in curve.points if at <= window.end and not (window.end - at) % TILE_S)
    if isinstance(kind, Origin | State) or query.target.get("instant") or isinstance(kind, LineCount):
        return curve.last
    return curve.at(window.end)
