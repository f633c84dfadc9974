"""Takes the steps to a far end and back, and notes of each how long it took, or why it failed and what to do."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, Literal, NamedTuple

from gwz_instrument.deadlines import within

from .address import Address
from .fetch import TIMEOUT, FetchError
from .models import Hop

GRACE_S: Final = 0.1
"""A step is waited for so much longer than it was given, for its own words on what took it so long."""
FAULT, NOT_FOUND, LOST = "fault", "not_found", "lost"
_PATIENCE: Final = 1 / 8
"""So much of the time a delivery is waited for before somebody goes and looks."""
_FOR_FINDING: Final = 1 / 4
_PAUSE_S: Final = 0.1

Signal = Literal["logs", "traces"]


class Step(NamedTuple):
    """One hop. `take` is given the moment, of the monotonic clock, by which it should be done; FetchError says why it failed."""

    hop: str
    take: Callable[[float], object]


def follow(steps: Iterable[Step], until: float) -> list[Hop]:
    """The hops of steps that need each other: after one that fails, the others are not reached."""
    hops: list[Hop] = []
    for step in steps:
        reached = all(hop.ok for hop in hops)
        hops.append(_hop(step, until) if reached else Hop(hop=step.hop, ok=False, took_ms=None))
    return hops


def visit(steps: Sequence[Step], until: float) -> list[Hop]:
    """The hops of steps that do not need each other: each is taken, and has its part of what time is left."""
    hops = []
    for number, step in enumerate(steps):
        now = time.monotonic()
        hops.append(_hop(step, now + (until - now) / (len(steps) - number)))
    return hops


def deliver(flush: Callable[[float], bool], admit: Callable[[float], None], signal: Signal, until: float) -> bool:
    """Whether everything that waits arrived, as far as is known; FetchError if it still waits, or if `admit` knows why it would.

    Leaves time to look for it.
    """
    now = time.monotonic()
    end = until - (until - now) * _FOR_FINDING
    patience_s = (end - now) * _PATIENCE
    if flush(patience_s):
        return True
    is_slow = time.monotonic() >= now + patience_s  # else something was lost
    admit(end)
    if flush(max(0.0, end - time.monotonic())):
        return is_slow
    if time.monotonic() < end:
        return False
    raise FetchError(
        TIMEOUT,
        f"the far end lets us in, and {signal} wait to be sent: it is slow, or there are too many. "
        f'gwz_telemetry_dropped_total{{signal="{signal}"}} says what was lost',
    )


def poll(ask: Callable[[], bool], until: float) -> bool:
    """Ask until the answer is yes; False when time is up."""
    asked = False
    while True:
        try:
            if ask():
                return True
        except FetchError as error:
            if asked and error.reason == TIMEOUT:
                return False
            raise
        asked = True
        if time.monotonic() + _PAUSE_S >= until:
            return False
        time.sleep(_PAUSE_S)


def missing(query: Address, push: Address, signal: Signal, *, is_lost: bool) -> FetchError:
    """What it means that what was sent was not found."""
    if is_lost:
        counter = f'gwz_telemetry_dropped_total{{signal="{signal}"}}'
        return FetchError(LOST, f"{push.name} lets us in and did not take all: {counter} says why")
    return FetchError(
        NOT_FOUND,
        f"{push.name} accepted it, {query.name} does not give it back: check that {query.variable} leads to the same "
        f"server and tenant as {push.variable}, and that nothing between drops it",
    )


def status_of(hops: Iterable[Hop]) -> Literal["ok", "failed"]:
    """Whether all went well."""
    return "ok" if all(hop.ok for hop in hops) else "failed"


def first_failed(hops: Iterable[Hop]) -> tuple[str | None, str | None]:
    """Name and reason of the hop that failed first."""
    return next(((hop.hop, hop.reason) for hop in hops if not hop.ok), (None, None))


def _hop(step: Step, until: float) -> Hop:
    began = time.perf_counter()
    reason = cure = None
    try:
        _wait_for(step, until)
    except FetchError as error:
        reason, cure = error.reason, str(error)
    except Exception as error:  # noqa: BLE001  # whatever a far end answers, the other hops are to be told
        reason, cure = FAULT, f"{step.hop} met a {type(error).__name__} of gwz-instrument's own: report it"
    took_ms = round((time.perf_counter() - began) * 1000, 3)
    return Hop(hop=step.hop, ok=reason is None, took_ms=took_ms, reason=reason, cure=cure)


def _wait_for(step: Step, until: float) -> None:
    """Take a step, on a thread that can be left behind."""
    left = max(0.0, until + GRACE_S - time.monotonic())
    try:
        within(left, partial(step.take, until), name=f"gwz-{step.hop}")
    except TimeoutError as error:
        raise FetchError(
            TIMEOUT,
            f"{step.hop} was not done in time: the host name may be looked up in vain, check name servers and address",
        ) from error
