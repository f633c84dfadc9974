"""The state of circuit breakers: what one would be in after these outcomes, or what the application says of its own."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from gwz_instrument.semconv import providers

CLOSED, HALF_OPEN, OPEN = providers.BREAKER_STATES
OPENS_AFTER: Final = 5
"""Failures in a row."""
CLOSES_AFTER: Final = 2
"""Successes in a row, of a breaker that is half open."""
POLL_S: Final = 5.0
HANGS_S: Final = 60.0
"""An answer that a callback gave before it hung for so long says nothing any more."""


class Breaker(NamedTuple):
    """A shadow: the state that a breaker would be in. It refuses nothing."""

    state: str = CLOSED
    run: int = 0
    """Failures in a row while closed, successes in a row while half open."""
    opened_at: float = 0.0


def at(breaker: Breaker, now: float, *, open_s: float) -> Breaker:
    """The breaker at the time `now`: half open, `open_s` seconds after it opened."""
    if breaker.state == OPEN and now - breaker.opened_at >= open_s:
        return Breaker(HALF_OPEN)
    return breaker


def after(breaker: Breaker, now: float, *, succeeded: bool, open_s: float) -> Breaker:
    """The breaker after an attempt. While it is open there would have been none, so that one changes nothing."""
    breaker = at(breaker, now, open_s=open_s)
    if breaker.state == OPEN:
        return breaker
    if breaker.state == HALF_OPEN:
        if not succeeded:
            return Breaker(OPEN, opened_at=now)
        return Breaker() if breaker.run + 1 >= CLOSES_AFTER else Breaker(HALF_OPEN, breaker.run + 1)
    if succeeded:
        return breaker if breaker.run == 0 else Breaker()
    return Breaker(OPEN, opened_at=now) if breaker.run + 1 >= OPENS_AFTER else Breaker(CLOSED, breaker.run + 1)


def state_of(said: object) -> str | None:
    """The state that the application means, in capitals or not, as a text or as an enumeration's member."""
    said = getattr(said, "value", said)
    state = said.lower() if isinstance(said, str) else None
    return state if state in providers.BREAKER_STATES else None


class Observed:
    """What a callback of the application's says of its breakers; asked in a thread of its own, so that nobody waits for it.

    `understand` gets each answer there, and returns the states by provider. A callback that raises, and one that
    hangs, leaves no states: an old one would be as good as a wrong one.
    """

    def __init__(
        self,
        callback: Callable[[], Any],
        understand: Callable[[Any], Mapping[str, str]],
        *,
        clock: Callable[[], float],
        complain: Callable[[str], None],
    ) -> None:
        self._callback = callback
        self._understand = understand
        self._clock = clock
        self._complain = complain
        self._states: Mapping[str, str] = {}
        self._asked_at: float | None = None
        self._thread: threading.Thread | None = None

    def states(self) -> Mapping[str, str]:
        """What the callback said last; it is asked again for the next time, every five seconds at most."""
        now, asked_at = self._clock(), self._asked_at
        if asked_at is None or now - asked_at >= POLL_S:
            if self._thread is None or not self._thread.is_alive():
                self._asked_at = now
                self._ask()
            elif asked_at is not None and now - asked_at >= HANGS_S:
                return {}
        return self._states

    def wait(self, timeout_s: float) -> None:
        """Wait for an answer that is under way."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _ask(self) -> None:
        self._thread = threading.Thread(target=self._answer, name="gwz-breakers", daemon=True)
        with suppress(RuntimeError):  # no thread starts at the end of the process
            self._thread.start()

    def _answer(self) -> None:
        try:
            self._states = self._understand(self._callback())
        except Exception:  # noqa: BLE001  # it is the application's
            self._states = {}
            self._complain("observe_breaker")
