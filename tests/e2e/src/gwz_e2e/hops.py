"""Hops: what must hold, what it needs to hold first, and the walk that finds the first one that does not."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

_POLL_S = 0.25
_WATCH_S = 0.2


@dataclass(frozen=True)
class Finding:
    """What a check found: a sentence with numbers in it, whether it holds or not."""

    ok: bool
    sentence: str
    figures: Mapping[str, float] = field(default_factory=dict)


Check = Callable[[], Finding]


@dataclass(frozen=True)
class Hop:
    """One step between the application and what a person sees."""

    id: str
    check: Check
    needs: tuple[str, ...] = ()
    patience_s: float = 0.0
    """How long the check is repeated before it counts as broken: signals take their time."""


@dataclass(frozen=True)
class Result:
    """`ok` is None for a hop that was not reached, because one that it needs is broken."""

    id: str
    ok: bool | None
    sentence: str
    decided_at: float
    figures: Mapping[str, float] = field(default_factory=dict)


class Aborted(Exception):  # noqa: N818  # it is no error of the hop's
    """The walk was given up while a hop was waiting."""


def walk(
    hops: Sequence[Hop],
    *,
    watch: Callable[[], None],
    tell: Callable[[Result], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> list[Result]:
    """Check every hop as soon as what it needs is known, all at once; return the results in the hops' order.

    `watch` is called several times a second in the calling thread; what it raises ends the walk. Then `stop` is set:
    a check that takes long looks at it and raises Aborted.
    """
    steps = {hop.id: _Step(hop) for hop in hops}
    if unknown := {need for hop in hops for need in hop.needs} - set(steps):
        raise ValueError(f"hops need {sorted(unknown)}, which are not among {sorted(steps)}")
    stop = stop or threading.Event()
    told: set[str] = set()
    with ThreadPoolExecutor(max_workers=max(1, len(steps))) as pool:
        futures = [pool.submit(step.run, steps, stop) for step in steps.values()]
        try:
            while not all(future.done() for future in futures):
                watch()
                _tell_news(steps, told, tell)
                time.sleep(_WATCH_S)
        except BaseException:
            stop.set()
            raise
        for future in futures:
            future.result()
    _tell_news(steps, told, tell)
    return [steps[hop.id].known() for hop in hops]


def descendants(hops: Iterable[Hop], of: str) -> set[str]:
    """Every hop that needs `of`, directly or through others."""
    needs = {hop.id: set(hop.needs) for hop in hops}
    found = {of}
    while more := {hop for hop, wanted in needs.items() if wanted & found} - found:
        found |= more
    return found - {of}


def first_broken(results: Iterable[Result]) -> Result | None:
    """The first hop on the way that does not hold."""
    return next((result for result in results if result.ok is False), None)


class _Step:
    """A hop on its way to a result."""

    def __init__(self, hop: Hop) -> None:
        self._hop = hop
        self._done = threading.Event()
        self.result: Result | None = None

    def known(self) -> Result:
        if self.result is None:
            raise Aborted(self._hop.id)
        return self.result

    def run(self, steps: Mapping[str, "_Step"], stop: threading.Event) -> None:
        for need in self._hop.needs:
            steps[need].wait(stop)
        try:
            self.result = self._blocked(steps) or self._decide(stop)
        finally:
            self._done.set()

    def wait(self, stop: threading.Event) -> None:
        while not self._done.wait(_WATCH_S):
            if stop.is_set():
                raise Aborted(self._hop.id)

    def _blocked(self, steps: Mapping[str, "_Step"]) -> Result | None:
        for need in self._hop.needs:
            if not steps[need].known().ok:
                return Result(self._hop.id, None, f"not reached: {need} does not hold", time.time())
        return None

    def _decide(self, stop: threading.Event) -> Result:
        deadline = time.monotonic() + self._hop.patience_s
        while True:
            finding = self._ask()
            if finding.ok or time.monotonic() >= deadline:
                return Result(self._hop.id, finding.ok, finding.sentence, time.time(), finding.figures)
            if stop.wait(_POLL_S):
                raise Aborted(self._hop.id)

    def _ask(self) -> Finding:
        try:
            return self._hop.check()
        except Aborted:
            raise
        except Exception as error:  # noqa: BLE001  # a server that answers nonsense breaks the hop, not the run
            return Finding(ok=False, sentence=f"the check itself failed: {type(error).__name__}: {error}")


def _tell_news(steps: Mapping[str, _Step], told: set[str], tell: Callable[[Result], None]) -> None:
    for name, step in steps.items():
        if step.result is not None and name not in told:
            told.add(name)
            tell(step.result)
