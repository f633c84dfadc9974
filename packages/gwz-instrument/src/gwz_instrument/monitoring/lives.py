"""How long each scraped process lived, read from its heartbeat, and what its counters grew by: nothing is extrapolated.

A counter grows by what it reads at the end of a time less what it read at the beginning, process by process. One that was
born within the time began at zero; of one that ended in it, the last scrape counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from .store import Sums

Instance = tuple[str, str]
"""Job and instance."""
Samples = Sequence[tuple[float, float]]
"""Times and values, in order."""

YOUNG = 5.0
"""A process whose heartbeat has counted no more scrapes than this was born when it was first seen."""


class Life(NamedTuple):
    """One process: when it was scraped first and last. `born`: before the first scrape there was nothing."""

    instance: Instance
    first: float
    last: float
    born: bool


def lives_of(instance: Instance, heartbeat: Samples) -> list[Life]:
    """The processes behind one instance: where the heartbeat falls, another one has begun."""
    if not heartbeat:
        return []
    cuts = [0, *(number for number, (a, b) in enumerate(pairwise(heartbeat), 1) if b[1] < a[1]), len(heartbeat)]
    return [
        Life(instance, heartbeat[a][0], heartbeat[b - 1][0], born=a > 0 or heartbeat[a][1] <= YOUNG)
        for a, b in pairwise(cuts)
    ]


def longest_gap(heartbeats: Sequence[Samples], start: float, end: float) -> float:
    """The longest time between `start` and `end` in which no process was scraped."""
    times = sorted({at for samples in heartbeats for at, _ in samples if start <= at <= end})
    return max((b - a for a, b in pairwise([start, *times, end])), default=end - start)


@dataclass(frozen=True)
class Readings:
    """What was read of a counter: by time, by instance, by labels."""

    at: Mapping[float, Mapping[Instance, Sums]]

    def of(self, instance: Instance, time: float) -> Sums | None:
        """None where the process was not scraped just then."""
        return self.at.get(time, {}).get(instance)


def increases(lives: Sequence[Life], edges: Sequence[float], readings: Readings) -> list[Sums]:
    """By how much a counter grew in each time between two edges, over all processes."""
    found: list[Sums] = [{} for _ in edges[1:]]
    for life in lives:
        before = _value(life, edges[0], readings, {})
        for place, edge in enumerate(edges[1:]):
            now = _value(life, edge, readings, before)
            for key, value in now.items():
                found[place][key] = found[place].get(key, 0.0) + max(0.0, value - before.get(key, 0.0))
            before = now
    return found


def _value(life: Life, at: float, readings: Readings, known: Sums) -> Sums:
    """What the counter said at a time; in a gap between scrapes, what it is known to have said before."""
    if at < life.first:
        return {} if life.born else readings.of(life.instance, life.first) or {}
    read = readings.of(life.instance, min(at, life.last))
    return known if read is None else read


def times_to_read(life: Life, edges: Sequence[float]) -> list[float]:
    """The times, beside the edges, at which a life has to be read: where it ended, or was first seen."""
    times = []
    if edges[0] < life.last < edges[-1]:
        times.append(life.last)
    if not life.born and edges[0] < life.first:
        times.append(life.first)
    return times


def interval(heartbeats: Sequence[Samples]) -> float:
    """The longest pause between two scrapes that is usual: a guess from how fast the heartbeats count."""
    paces = [
        (samples[-1][0] - samples[0][0]) / (samples[-1][1] - samples[0][1])
        for samples in heartbeats
        if len(samples) > 1 and samples[-1][1] > samples[0][1]
    ]
    return min(max(paces, default=60.0), 300.0)
