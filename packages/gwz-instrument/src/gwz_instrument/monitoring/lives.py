"""How long each scraped process lived, read from its heartbeat, and what its counters grew by: nothing is extrapolated.

A counter grows by what it reads at the end of a time less what it read at the beginning, process by process. One that was
born within the time began at zero; of one that ended in it, the last scrape counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

from .store import Sums

Target = tuple[tuple[str, str], ...]
"""The labels that Prometheus gives to all series of a process, in order."""
Address = tuple[str, str]
"""Job and instance: another process may come to have them."""
Place = tuple[Target, float]
"""A process, and when it was read."""
Samples = Sequence[tuple[float, float]]
"""Times and values, in order."""

YOUNG: Final = 5.0
"""A process whose heartbeat has counted no more scrapes than this was born when it was first seen."""
LATE_S: Final = 300.0
"""So long after its start a process may be scraped first, and what it had counted until then is counted."""
_PACE_S: Final = 60.0
_MOST_PACE_S: Final = 300.0


class Life(NamedTuple):
    """One process: when it was scraped first and last, and what its heartbeat said then.

    `born`: it counted from zero; `early`: some of it perhaps before the window. `origin`: where it was read before the
    first scrape, under these labels or others.
    """

    target: Target
    first: float
    last: float
    born: bool
    origin: Place | None = None
    beats: tuple[float, float] = (0.0, 0.0)
    early: bool = False

    def is_known(self, start: float) -> bool:
        """Whether all that it counted since `start` is known."""
        return self.born or self.first <= start or self.origin is not None


@dataclass(frozen=True)
class Frame:
    """A window's edges, and the usual pause between two scrapes."""

    start: float
    end: float
    pace: float


def address(target: Target) -> Address:
    """Job and instance of a target."""
    labels = dict(target)
    return labels.get("job", ""), labels.get("instance", "")


def pace(heartbeats: Iterable[Samples]) -> float:
    """The longest pause between two scrapes that is usual; by the times alone, for others may read /metrics too."""
    pauses = [[b[0] - a[0] for a, b in pairwise(samples)] for samples in heartbeats]
    return min(max((median(each) for each in pauses if each), default=_PACE_S), _MOST_PACE_S)


def last_scrapes(heartbeats: Iterable[Samples], pace_s: float) -> tuple[float, float] | None:
    """The last time until which all processes were scraped that are alive, and the last of any scrape."""
    lasts = [samples[-1][0] for samples in heartbeats if samples]
    if not lasts:
        return None
    newest = max(lasts)
    return min(last for last in lasts if last >= newest - 2 * pace_s), newest


def parts(heartbeat: Samples) -> list[Samples]:
    """The scrapes of each process behind one target: where the heartbeat does not grow, another one has begun."""
    cuts = [number for number, (a, b) in enumerate(pairwise(heartbeat), 1) if b[1] <= a[1]]
    return [heartbeat[a:b] for a, b in pairwise([0, *cuts, len(heartbeat)]) if b > a]


def lives_of(
    target: Target, heartbeat: Samples, frame: Frame, *, seen: float | None = None, alive: bool = False
) -> list[Life]:
    """The processes behind one target that lived in the frame.

    `seen` is the scrape that the target shows at the start, `alive` says that it still shows one at the end.
    """
    if seen is not None and (not heartbeat or heartbeat[0][0] > seen):
        heartbeat = [(seen, -1.0), *heartbeat]  # it has grown since then: else it would be here
    each = parts(heartbeat)
    found = [_life(target, part, frame, seen, is_first=part is each[0]) for part in each if part[-1][0] > frame.start]
    if alive and each:
        newest = found.pop() if found else _life(target, each[-1], frame, seen, is_first=len(each) == 1)
        found.append(newest._replace(last=frame.end))
    return found


def _life(target: Target, part: Samples, frame: Frame, seen: float | None, *, is_first: bool) -> Life:
    (first, low), (last, high) = part[0], part[-1]
    life = Life(target, first, last, born=not is_first or 0 <= low <= YOUNG, beats=(low, high))
    if first > frame.start:
        return life
    if seen is not None and first <= seen:
        return life._replace(first=frame.start, born=False)
    before = max(at for at, _ in part if at <= frame.start)  # the series was taken for ended just then
    after = min((at for at, _ in part if at > frame.start), default=frame.end)
    return life._replace(first=after, born=False, origin=(target, before))


def comers(lives: Iterable[Life], frame: Frame) -> list[Life]:
    """Those that came after the start behind a target that showed none before."""
    first: dict[Target, Life] = {}
    for life in lives:
        first.setdefault(life.target, life)
    return [life for life in first.values() if life.first > frame.start and life.origin is None]


def with_origins(lives: Sequence[Life], starts: Mapping[Target, float], frame: Frame) -> list[Life]:
    """The lives, each with what is known of where it began.

    `starts`: when the comers among them say that they were started; else a small heartbeat tells that one was born.
    """
    new = {(life.target, life.first): _with_origin(life, lives, starts, frame) for life in comers(lives, frame)}
    return [new.get((life.target, life.first), life) for life in lives]


def _with_origin(life: Life, lives: Sequence[Life], starts: Mapping[Target, float], frame: Frame) -> Life:
    started = starts.get(life.target)
    if started is not None:
        outside = started < frame.start
        born = not outside or life.first - started <= 2 * frame.pace + LATE_S
        life = life._replace(born=born, early=born and outside and life.first > frame.start + 2 * frame.pace)
    before = _before(life, lives)
    if before is None or not _goes_on(before, life, started):
        return life
    return life._replace(born=False, origin=(before.target, before.last), early=False)


def _goes_on(before: Life, life: Life, started: float | None) -> bool:
    """Whether it is the same process, which was given other labels."""
    if started is not None:
        return started < before.last
    return not life.born and before.beats[1] < life.beats[0]


def _before(life: Life, lives: Iterable[Life]) -> Life | None:
    """The last one at the same address that had ended by then."""
    earlier = (one for one in lives if address(one.target) == address(life.target) and one.last < life.first)
    return max(earlier, key=lambda one: one.last, default=None)


def doubled(lives: Sequence[Life], frame: Frame) -> tuple[Target, Target] | None:
    """Two targets of one address that were scraped at the same time."""
    allowed = min(2 * frame.pace, (frame.end - frame.start) / 2)
    ordered = sorted(lives, key=lambda life: (address(life.target), life.first, life.target))
    reaching: Life | None = None
    for life in ordered:
        if reaching is None or address(reaching.target) != address(life.target):
            reaching = life
            continue
        if reaching.target != life.target and min(reaching.last, life.last) - life.first > allowed:
            return reaching.target, life.target
        reaching = max(reaching, life, key=lambda one: one.last)
    return None


@dataclass(frozen=True)
class Readings:
    """What was read of a counter: by time, by target, by labels."""

    at: Mapping[float, Mapping[Target, Sums]]

    def of(self, target: Target, time: float) -> Sums | None:
        """None where the process was not scraped just then."""
        return self.at.get(time, {}).get(target)


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
        return {} if life.born else readings.of(*_origin(life)) or {}
    read = readings.of(life.target, min(at, life.last))
    return known if read is None else read


def _origin(life: Life) -> Place:
    return life.origin or (life.target, life.first)


def places_to_read(life: Life, edges: Sequence[float]) -> list[Place]:
    """Where, beside at the edges, a life has to be read: where it ended, or was first seen."""
    places = []
    if edges[0] < life.last < edges[-1]:
        places.append((life.target, life.last))
    if not life.born and edges[0] < life.first:
        places.append(_origin(life))
    return places
