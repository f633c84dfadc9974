"""Holds what a panel shows of a JSON endpoint against what the endpoint has to answer."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gwz_dashboards.expectations.kinds import MOMENT, Cell, Told
from gwz_e2e.leaves import Leaf, Moment, Summed, seconds
from gwz_e2e.panels import looks
from gwz_e2e.panels.answers import Shown
from gwz_e2e.panels.boards import Query
from gwz_e2e.panels.facts import Facts
from gwz_e2e.panels.verdicts import Verdict

_RATIO = 1e-9
_WINDOW_S = 2.0


def judge_told(verdict: Verdict, query: Query, kind: Told, shown: Shown, facts: Facts) -> None:
    """Hold the rows of a JSON query against what the endpoint has to answer now."""
    answer, tree = facts.told(kind.endpoint, kind.asked)
    wanted = _rows(tree, kind.rows)
    verdict.phrases += _other_window(answer.body, shown.body)
    if isinstance(wanted, Summed):
        _judge_summed(verdict, query, kind, shown, wanted)
        return
    factors = {name: looks.factor_of_cell(query.panel, cell.quantity, name) for name, cell in kind.cells.items()}
    verdict.expected = _table(wanted, {name: cell.field for name, cell in kind.cells.items()})
    verdict.got = _table(shown.rows, {name: name for name in kind.cells})
    if len(shown.rows) != len(wanted):
        verdict.phrases.append(f"{len(shown.rows)} rows instead of {len(wanted)}")
    for place, (row, should) in enumerate(zip(shown.rows, wanted, strict=False)):
        for name, cell in kind.cells.items():
            if not _is(row.get(name), should[cell.field], cell, factors[name]):
                verdict.phrases.append(
                    f"{name} of row {place + 1} is {row.get(name)!r} instead of {should[cell.field]}"
                )


def _rows(tree: Any, place: str) -> Any:
    if not place:
        return [tree]
    if place == "[]":
        return tree["rows"]
    if place.endswith(".*"):
        named = tree[place.removesuffix(".*")]
        return [{**named[key], "provider": key} for key in sorted(named)]
    return tree[place.removesuffix("[]")]


def _judge_summed(verdict: Verdict, query: Query, kind: Told, shown: Shown, wanted: Summed) -> None:
    """The load lay in two hours: rows add up."""
    for name, cell in kind.cells.items():
        times = looks.factor_of_cell(query.panel, cell.quantity, name)
        if cell.field in wanted.totals:
            total = sum(row[name] for row in shown.rows if row.get(name) is not None)
            if not _is(total, wanted.totals[cell.field], cell, times):
                verdict.phrases.append(f"{name} adds up to {total} instead of {wanted.totals[cell.field]}")


def _is(found: Any, wanted: Any, cell: Cell, times: float) -> bool:
    if found is not None and cell.quantity is MOMENT:
        return _is_moment(found, wanted)
    if isinstance(found, int | float) and not isinstance(found, bool):
        found = found * times / cell.each
        if not isinstance(wanted, Leaf):
            return isinstance(wanted, int | float) and math.isclose(found, wanted, rel_tol=_RATIO)
    if isinstance(wanted, Leaf):
        return wanted.accepts(found)
    return type(found) is type(wanted) and bool(found == wanted)


def _is_moment(found: Any, wanted: Any) -> bool:
    if not isinstance(found, int | float):
        return False
    if isinstance(wanted, Moment):
        return wanted.earliest - _WINDOW_S <= found <= wanted.latest + _WINDOW_S
    return bool(wanted.accepts(found))


def _other_window(ours: Any, theirs: Any) -> Iterator[str]:
    """The panel may ask about another time than its title says."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and {"from", "to"} <= ours.keys() & theirs.keys():
        lengths = [seconds(one["to"]) - seconds(one["from"]) for one in (ours, theirs)]
        if abs(lengths[0] - lengths[1]) > _WINDOW_S:
            yield f"the answer is about {lengths[1]:.0f} s instead of {lengths[0]:.0f} s"


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    return (
        "; ".join(" ".join(f"{name}={_short(row.get(key))}" for name, key in columns.items()) for row in rows)
        or "no rows"
    )


def _short(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
