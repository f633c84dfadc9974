"""Finds out from Prometheus which processes there were in a window: coarsely, and scrape by scrape where something changed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import ceil
from typing import Final, NamedTuple

from gwz_instrument.semconv import process

from .asking import LOOKBACK_S, Asking
from .lives import Address, Frame, Life, Samples, Target, address, comers, doubled, lives_of, parts, with_origins
from .promql import duration, seconds_of, target_of, union
from .store import Unavailable

_FEW: Final = 4000
"""So many scrapes are rather read than sifted."""
_SLICES: Final = 200
_LEAST_PACES: Final = 20
_MOST_LIVES: Final = 1000
_GAP_S: Final = 120.0
"""Longer without any scrape, and a window is not covered; nor without three scrapes one after the other."""
_LOOKS: Final = 20160
"""So often a window is looked at for gaps: a week every thirty seconds."""


class Census(NamedTuple):
    """The processes of a window. `complete`: all are there, and there was one at any time."""

    lives: Sequence[Life]
    complete: bool


class _Facts(NamedTuple):
    """What is known of a target at first, of the window and the time before in which its start can still be seen."""

    scrapes: float
    restarts: float
    seen: float | None
    """The scrape that it shows at the start."""
    shown: float | None
    """And at the end."""


def census(asking: Asking, addresses: Collection[Address], frame: Frame) -> Census:
    """The processes behind these addresses; Unavailable if some were scraped twice."""
    if not addresses:
        return Census([], complete=False)
    facts, covered = _facts(asking, addresses, frame)
    alive = {target for target, one in facts.items() if _is_alive(one, frame)}
    odd = {target: one for target, one in facts.items() if target not in alive or one.seen is None or one.restarts}
    steady = [Life(target, frame.start, frame.end, born=False) for target in facts.keys() - odd.keys()]
    found = [
        life
        for target, samples in _beats(asking, odd, alive, frame).items()
        for life in lives_of(target, samples, frame, seen=odd[target].seen, alive=target in alive)
    ]
    lives = steady + with_origins(found, _starts(asking, comers(found, frame)), frame)
    _refuse_doubled(lives, frame)
    complete = covered and len(lives) <= _MOST_LIVES and all(life.is_known(frame.start) for life in lives)
    return Census(sorted(lives, key=lambda life: -life.last)[:_MOST_LIVES], complete)


def _facts(asking: Asking, addresses: Collection[Address], frame: Frame) -> tuple[dict[Target, _Facts], bool]:
    beat = asking.beat(addresses)
    reach = f"[{duration(frame.end - frame.start + LOOKBACK_S)}]"
    gaps, looks = _gaps(beat, frame)
    rows = asking.parts(
        {
            "scrapes": f"count_over_time({beat}{reach})",
            "grown": f"changes({beat}{reach}) - resets({beat}{reach})",
            "seen": f"timestamp({beat} @ {seconds_of(frame.start)})",
            "shown": f"timestamp({beat})",
            "looks": gaps,
        },
        frame.end,
    )
    covered = sum(number for _, number in rows.pop("looks")) >= looks
    each = {name: {_target(labels): value for labels, value in found} for name, found in rows.items()}
    seen, shown, grown = each["seen"], each["shown"], each["grown"]
    facts = {
        target: _Facts(number, number - 1 - grown.get(target, 0.0), seen.get(target), shown.get(target))
        for target, number in each["scrapes"].items()
        if address(target) in addresses
    }
    return facts, covered


def _gaps(beat: str, frame: Frame) -> tuple[str, int]:
    """At how many looks at the window some process had been scraped shortly before, and how many looks there are."""
    pause = max(_GAP_S, 3 * frame.pace, 4 * (frame.end - frame.start) / _LOOKS)
    step = ceil(pause * 1000 / 4)
    end, first = round(frame.end * 1000), round(frame.start * 1000) + 3 * step
    seen = f"group(present_over_time({beat}[{3 * step}ms]))"
    return f"count_over_time({seen}[{max(1, end - first)}ms:{step}ms])", end // step - first // step


def _is_alive(one: _Facts, frame: Frame) -> bool:
    """Whether it was scraped shortly before the end; what Prometheus lost while it was away itself is shown for longer."""
    return one.shown is not None and one.shown >= frame.end - 2 * frame.pace


def _beats(
    asking: Asking, odd: Mapping[Target, _Facts], alive: Collection[Target], frame: Frame
) -> dict[Target, Samples]:
    """The scrapes of these targets, as far as something changed by them."""
    found = _Beats(asking, odd, frame)
    if sum(one.scrapes for one in odd.values()) <= _FEW:
        found.read_all(odd)
        return found.samples
    for first, last, targets in _runs(_changes(asking, odd, alive, frame)):
        found.read(targets, first, last)
    found.read_all([target for target, one in odd.items() if len(parts(found.samples[target])) <= one.restarts])
    return found.samples


class _Beats:
    """Scrapes of targets, piece by piece."""

    def __init__(self, asking: Asking, odd: Iterable[Target], frame: Frame) -> None:
        self._asking, self._frame = asking, frame
        self.samples: dict[Target, Samples] = {target: [] for target in odd}

    def read_all(self, targets: Collection[Target]) -> None:
        """Read the whole window."""
        if targets:
            self.read(targets, self._frame.start - LOOKBACK_S, self._frame.end)

    def read(self, targets: Iterable[Target], start: float, end: float) -> None:
        """Read what lies between two times."""
        for target, samples in self._asking.raw_beats(set(map(address, targets)), start, min(end, self._frame.end)):
            if target in self.samples:
                self.samples[target] = sorted({*self.samples[target], *samples})


class _Change(NamedTuple):
    """A slice of time in which something changed by a target."""

    first: float
    last: float
    target: Target


def _changes(asking: Asking, odd: Mapping[Target, _Facts], alive: Collection[Target], frame: Frame) -> list[_Change]:
    """Where targets came, went, or had another process behind them."""
    span = frame.end - frame.start + LOOKBACK_S
    step = max(ceil(span / _SLICES), ceil(_LEAST_PACES * frame.pace))
    width = step + LOOKBACK_S  # a pause at the border of two is in one of them
    start = frame.end - step * (ceil(span / step) - 1)
    found = []
    for target, slices in _slices(asking, odd, (start, frame.end, step), width):
        if target not in odd or not slices:
            continue
        ends = {at for at, restarts in slices if restarts > 0}
        ends |= {slices[0][0]} if odd[target].seen is None else set()
        ends |= {slices[-1][0]} if target not in alive else set()
        found += [_Change(at - width, at, target) for at in ends]
    return found


def _slices(
    asking: Asking, odd: Mapping[Target, _Facts], times: tuple[float, float, float], width: float
) -> list[tuple[Target, Samples]]:
    """The slices in which a target was scraped, by their ends, and how many processes ended in them."""
    over = f"[{duration(width)}]"
    restarted = {address(target) for target, one in odd.items() if one.restarts}
    steady = {address(target) for target in odd} - restarted
    parts_ = []
    if steady:
        parts_.append(f"present_over_time({asking.beat(steady)}{over}) - 1")
    if restarted:
        beat = asking.beat(restarted)
        parts_.append(f"count_over_time({beat}{over}) - 1 - (changes({beat}{over}) - resets({beat}{over}))")
    return [(_target(labels), samples) for labels, samples in asking.matrix(union(parts_), *times)]


def _runs(changes: Iterable[_Change]) -> list[tuple[float, float, set[Target]]]:
    """What is to be read of whom: slices that follow each other together, if it is of the same targets."""
    slices: dict[tuple[float, float], set[Target]] = {}
    for change in changes:
        slices.setdefault((change.first, change.last), set()).add(change.target)
    runs: list[tuple[float, float, set[Target]]] = []
    for (first, last), targets in sorted(slices.items()):
        if runs and first <= runs[-1][1] and targets == runs[-1][2]:
            runs[-1] = (runs[-1][0], last, targets)
        else:
            runs.append((first, last, targets))
    return runs


def _starts(asking: Asking, lives: Sequence[Life]) -> dict[Target, float]:
    """When these processes say that they were started; several workers behind one address do not say it."""
    times: dict[float, set[Address]] = {}
    for life in lives:
        times.setdefault(life.first, set()).add(address(life.target))
    if not times:
        return {}
    name = process.START_TIME.name
    expressions = {
        seconds_of(at): f"{name}{{{asking.matchers(some, {})}}} @ {seconds_of(at)}" for at, some in times.items()
    }
    wanted = {(life.target, seconds_of(life.first)) for life in lives}
    found = asking.parts(expressions, max(times))
    return {
        target_of(labels): value
        for at, rows in found.items()
        for labels, value in rows
        if (target_of(labels), at) in wanted
    }


def _refuse_doubled(lives: Sequence[Life], frame: Frame) -> None:
    """Unavailable if an address was scraped twice at a time."""
    found = doubled(lives, frame)
    if found is None:
        return
    one, other = map(dict, found)
    label = min(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    raise Unavailable(
        f"{one.get('instance', '')} of the job {one.get('job', '')} is scraped twice, with {label} {one.get(label, '')!r} "
        f"and {other.get(label, '')!r}, and its numbers would be added up: set GWZ_PROMETHEUS_SELECTOR to what tells this "
        f'deployment, such as {label}="{one.get(label) or other.get(label)}"'
    )


def _target(labels: Mapping[str, str]) -> Target:
    return target_of(labels, ("signal", "outcome"))
