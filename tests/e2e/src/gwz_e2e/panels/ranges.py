"""From where to where the numbers of a curve have to be, by the ledger and by what was scraped."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi_app.load.ledger import Entry, Outcome
from gwz_dashboards import scrape_metrics
from gwz_dashboards.expectations.kinds import (
    Curves,
    LineCount,
    LineRate,
    Origin,
    Quantile,
    Rate,
    Ratio,
    State,
    Total,
)
from gwz_e2e.panels.facts import RULE_S, Facts
from gwz_e2e.panels.lists import is_wanted
from gwz_e2e.panels.origins import HELD_PATH
from gwz_e2e.panels.tallies import Group, Written, fulfils, group, grouped
from gwz_e2e.panels.verdicts import Verdict, words
from gwz_instrument.semconv import Metric, http, inference

TILE_S = 60.0
"""The window of a rate of lines: tiles of it hold each line once."""
EXACT = 1e-9
_NEAR = 1e-6
_RECORDED_SHARE = 0.01
"""By so much the quantile of a rule may differ, which was computed a little earlier, of windows with other edges."""
_PLANNED = (http.DURATION, inference.DURATION)
"""Histograms of what the ledger plans a delay for."""


@dataclass(frozen=True)
class Range:
    """From where to where a number has to be."""

    low: float
    high: float

    @classmethod
    def exactly(cls, value: float, relative: float = EXACT) -> "Range":
        """A number, but for the order of additions."""
        slack = max(abs(value) * relative, EXACT)
        return cls(value - slack, value + slack)

    def holds(self, value: float) -> bool:
        """Whether a number is there."""
        return self.low <= value <= self.high

    @classmethod
    def about(cls, low: float, high: float) -> "Range":
        """As far as sums of the same numbers in another order can differ."""
        return cls(cls.exactly(low, _NEAR).low, cls.exactly(high, _NEAR).high)

    def times(self, number: float) -> "Range":
        """So many times as much."""
        return Range(self.low * number, self.high * number)

    def __str__(self) -> str:
        middle = (self.low + self.high) / 2
        if self.high - self.low <= 2 * max(abs(middle) * _NEAR, EXACT):
            return f"{middle:.10g}"
        return f"{self.low:.6g} to {self.high:.6g}"


Ranges = dict[Group, Range]


def ranges(kind: Curves, facts: Facts, verdict: Verdict) -> Ranges:
    """Each number by the labels that it is of; the verdict learns where Prometheus itself departs from the ledger."""
    match kind:
        case Rate():
            return _rates(kind, facts, verdict)
        case Ratio():
            return _ratios(kind, facts, verdict)
        case Quantile():
            return _quantiles(kind, facts, verdict)
        case Origin():
            value = facts.origins[kind.of]
            slack = max(kind.absolute, abs(value) * kind.relative, EXACT)
            return {_origin_key(kind, facts): Range(value - slack, value + slack + kind.upward)}
        case _:
            return {key: Range.exactly(value, _NEAR) for key, value in _exact(kind, facts).items()}


def _exact(kind: Total | LineRate | LineCount | State, facts: Facts) -> Mapping[Group, float]:
    match kind:
        case Total():
            return _folded(kind, facts)
        case LineRate():
            counts = _line_counts(facts, kind.by, lambda _: True)
            return {key: number / TILE_S for key, number in counts.items()}
        case LineCount():
            return _line_counts(facts, kind.by, partial(is_wanted, kind, facts))
        case State():
            return {(): kind.value}


def _origin_key(kind: Origin, facts: Facts) -> Group:
    known = {scrape_metrics.INSTANCE: facts.case.address, http.PATH: HELD_PATH}
    return tuple(known[label] for label in kind.by)


def _folded(kind: Total, facts: Facts) -> dict[Group, float]:
    series = facts.tallies.of(kind.metric, kind.where, facts.narrowed([one.name for one in kind.chosen]))
    sums = grouped(series, kind.by)
    if kind.fold == "mean":
        sizes = Counter(group(labels, kind.by) for labels, _ in series)
        sums = {key: value / sizes[key] for key, value in sums.items()}
    elif kind.fold == "max":
        sums = {key: max(number for labels, number in series if group(labels, kind.by) == key) for key in sums}
    return {key: value * kind.times for key, value in sums.items()}


def _rates(kind: Rate, facts: Facts, verdict: Verdict) -> Ranges:
    """The ledger's counts, less what each series began with: `rate` does not see that."""
    window_s = kind.window_s or facts.window.rate_s
    chosen = facts.narrowed([one.name for one in kind.chosen])
    counts = grouped(facts.tallies.of(kind.metric, kind.where, chosen), kind.by)
    grown = [one for one in facts.known.scrapes.grown(kind.metric, window_s) if fulfils(one.labels, kind.where, chosen)]
    recorded = kind.window_s == RULE_S
    scraped, unseen, least, most = (defaultdict[Group, float](float) for _ in range(4))
    for one in grown:
        key = group(one.labels, kind.by)
        scraped[key] += one.last
        unseen[key] += one.last - one.delta
        least[key] += one.delta * ((1.0 if recorded else one.stretch) - 1)
        most[key] += one.delta * ((one.most if recorded else one.stretch) - 1)
    verdict.phrases += _apart(kind.metric, counts, scraped)
    each = kind.times / window_s
    return {
        key: Range.about(count - unseen[key] + least[key], count - unseen[key] + most[key]).times(each)
        for key, count in counts.items()
    }


def _apart(metric: Metric, counts: Mapping[Group, float], scraped: Mapping[Group, float]) -> Iterator[str]:
    for key in sorted(counts.keys() | scraped.keys()):
        found, wanted = scraped.get(key, 0.0), counts.get(key, 0.0)
        if not math.isclose(found, wanted, rel_tol=_NEAR, abs_tol=EXACT):
            yield f"{metric.name} {words(key)}counts {found:g} in Prometheus, {wanted:g} in the ledger"


def _ratios(kind: Ratio, facts: Facts, verdict: Verdict) -> Ranges:
    wholes = ranges(kind.whole, facts, verdict)
    parts = ranges(kind.part, facts, verdict)
    none = Range.exactly(0.0)
    return {
        key: Range(parts.get(key, none).low / whole.high, parts.get(key, none).high / whole.low)
        for key, whole in wholes.items()
    }


def _quantiles(kind: Quantile, facts: Facts, verdict: Verdict) -> Ranges:
    """Of what was scraped of the histogram in the window, whose counts are the ledger's; not faster than was planned."""
    window_s = kind.window_s or facts.window.rate_s
    chosen = facts.narrowed([one.name for one in kind.chosen])
    buckets: defaultdict[Group, defaultdict[float, float]] = defaultdict(lambda: defaultdict(float))
    scraped, seen = (defaultdict[Group, float](float) for _ in range(2))
    slack = _RECORDED_SHARE if kind.window_s == RULE_S else 0.0
    for one in facts.known.scrapes.grown(kind.metric, window_s, suffix="_bucket"):
        if fulfils(one.labels, (), chosen):
            key = group(one.labels, kind.by)
            buckets[key][float(one.labels["le"])] += one.delta * one.stretch
            seen[key] += one.delta if one.labels["le"] == "+Inf" else 0.0
            if one.labels["le"] == "+Inf":
                scraped[key] += one.last
    counts = grouped(facts.tallies.of(kind.metric, (), chosen), kind.by)
    verdict.phrases += _apart(kind.metric, counts, scraped)
    found: Ranges = {}
    for key in counts:
        if seen[key]:
            low, high = (_quantile(kind.share + way, buckets[key]) for way in (-slack, slack))
            found[key] = Range(max(low * (1 - _NEAR), _least(kind, facts, key, seen[key])), high * (1 + _NEAR))
    return found


def _quantile(share: float, buckets: Mapping[float, float]) -> float:
    """As Prometheus interpolates within a bucket; in the last one, its lower bound."""
    bounds = sorted(buckets)
    rank = min(max(share, 0.0), 1.0) * buckets[math.inf]
    below, under = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if bound == math.inf:
                return below
            inside = buckets[bound] - under
            return below + (bound - below) * ((rank - under) / inside if inside else 1.0)
        below, under = bound, buckets[bound]
    return below


def _least(kind: Quantile, facts: Facts, key: Group, seen: float) -> float:
    """The lower bound of the bucket that the quantile of the planned delays is in, if those that were seen were the fastest."""
    if kind.metric not in _PLANNED:
        return 0.0
    delays = sorted(
        0.0 if entry.outcome is Outcome.CLIENT_DISCONNECTED else entry.planned_delay_s
        for entry in facts.entries
        if _is_of(entry, kind, facts, key)
    )
    rank = min(len(delays), math.ceil(kind.share * seen)) - 1
    planned = delays[max(0, rank)]
    return max((bound for bound in kind.metric.buckets if bound < planned), default=0.0)


def _is_of(entry: Entry, kind: Quantile, facts: Facts, key: Group) -> bool:
    if kind.metric is inference.DURATION and entry.provider is None:
        return False
    labels = {"path": entry.route, "method": entry.method, "provider": str(entry.provider), "model": str(entry.model)}
    chosen = facts.narrowed([one.name for one in kind.chosen])
    return fulfils(labels, (), chosen) and group(labels, kind.by) == key


def _line_counts(facts: Facts, by: Sequence[Any], counts_in: Callable[[Written], bool]) -> dict[Group, float]:
    counts: Counter[Group] = Counter()
    for line in facts.lines:
        if counts_in(line):
            labels = {"level": line.level, "logger": line.logger, "service": facts.case.service}
            counts[tuple(labels[key.name] for key in by)] += 1
    return dict(counts)
