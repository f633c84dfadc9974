"""The health of a provider and the uptime of a model; None where nothing was seen, which is no kind of healthy."""

from collections.abc import Iterable, Sequence
from math import inf
from typing import Final, NamedTuple

from gwz_instrument import outcomes

FAST_S: Final = 5.0
SLOW_S: Final = 60.0
"""Of whole answers, streams included: a long answer is slow for the one who waits, not ill."""
SPEED_SHARE: Final = 0.3
"""What an answer that is as slow as can be loses of its worth."""
LEAST_AVAILABLE: Final = 0.5

FAILURES: Final = frozenset({outcomes.ERROR, outcomes.TIMEOUT, outcomes.STREAM_ERROR})
"""A rate limit is among the errors: the provider did not answer, whoever's quota it was."""


class Tally(NamedTuple):
    """What became of attempts, added up."""

    successes: float = 0.0
    failures: float = 0.0
    given_up: float = 0.0
    """Attempts that the client or the application ended: they say nothing of the provider."""
    answering_s: float = 0.0
    """The time that the successes took."""
    worth: float = 0.0
    """What the successes are worth, each 0.7 to 1 by its speed."""
    cost: float = 0.0

    @property
    def judged(self) -> float:
        """The attempts that the provider itself ended, well or badly."""
        return self.successes + self.failures

    @property
    def attempts(self) -> float:
        """All of them."""
        return self.judged + self.given_up


class Tokens(NamedTuple):
    """What a model was given and what it produced."""

    given: float = 0.0
    produced: float = 0.0


class Answers(NamedTuple):
    """How often a model answered and how often it failed."""

    successes: float = 0.0
    failures: float = 0.0


def tally(status: str, seconds: Sequence[float]) -> Tally:
    """Attempts that ended with `status`, by how long each took; a time that is none counts as none."""
    number = float(len(seconds))
    if status == outcomes.SUCCESS:
        times = [time if 0.0 <= time < inf else 0.0 for time in seconds]
        worth = number - SPEED_SHARE * sum([1.0 - speed(time) for time in times if time > FAST_S])
        return Tally(successes=number, answering_s=sum(times), worth=worth)
    return Tally(failures=number) if status in FAILURES else Tally(given_up=number)


def worth(seconds: float) -> float:
    """What a success is worth that took so long: 0.7 to 1."""
    return 1.0 - SPEED_SHARE * (1.0 - speed(seconds)) if seconds > FAST_S else 1.0


def speed(seconds: float) -> float:
    """1 for an answer within `FAST_S`, 0 from `SLOW_S` on, in a straight line between them."""
    return min(1.0, max(0.0, (SLOW_S - seconds) / (SLOW_S - FAST_S)))


def error_rate(seen: Tally) -> float | None:
    """The share of the judged attempts that failed, 0 to 1."""
    return seen.failures / seen.judged if seen.judged else None


def availability(seen: Tally) -> float | None:
    """1 if at least half of the judged attempts were answered, else 0."""
    return float(seen.successes / seen.judged >= LEAST_AVAILABLE) if seen.judged else None


def score(seen: Tally) -> float | None:
    """The mean worth of the judged attempts, 0 to 1; a failure is worth nothing.

    So neither a failure more, nor a failure in the place of a success, can raise it: a speed that is judged apart from
    the failures would rise when the slow answers are the ones that fail.
    """
    return min(1.0, seen.worth / seen.judged) if seen.judged else None  # sums may be a rounding error above


def uptime(slots: Iterable[Sequence[float]]) -> float | None:
    """The share of the slots in which the model answered at least once, 0 to 1; each slot is its successes and failures.

    Once is enough because of fallbacks: a call that the third provider answers has two failures beside its success.
    """
    answered = [successes > 0 for successes, failures in slots if successes or failures]
    return sum(answered) / len(answered) if answered else None


def efficiency(seen: Tokens) -> float | None:
    """Tokens that were produced for each that was given."""
    return seen.produced / seen.given if seen.given else None
