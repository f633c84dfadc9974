"""The ledger as the monitoring endpoints see it: calls, tokens and money, and what each provider was asked and did."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import NamedTuple, Self

from fastapi_app.load.ledger import Entry, Outcome
from gwz_e2e.case import Case

GOOD = frozenset({Outcome.SUCCESS})
BAD = frozenset({Outcome.ERROR, Outcome.TIMEOUT, Outcome.STREAM_ERROR})
HOUR_S = 3600.0
_MARGIN_S = 5.0
"""What is counted this close to a full hour may be on either side of it, by the time of a scrape."""


class Attempts(NamedTuple):
    """What a provider was asked, and what came of it."""

    total: int
    good: int
    bad: int


@dataclass(frozen=True)
class Calls:
    """Calls of the ledger, and their sums."""

    entries: Sequence[Entry]

    def of(self, *, provider: str | None = None, model: str | None = None) -> Self:
        """Those that a provider answered last, or of a model."""
        kept = [entry for entry in self.entries if provider in (None, entry.provider) and model in (None, entry.model)]
        return type(self)(kept)

    @property
    def total(self) -> int:
        """How many there were."""
        return len(self.entries)

    @cached_property
    def good(self) -> int:
        """Those that were answered."""
        return sum(entry.outcome in GOOD for entry in self.entries)

    @cached_property
    def bad(self) -> int:
        """Those that failed; a client that left is neither."""
        return sum(entry.outcome in BAD for entry in self.entries)

    @cached_property
    def given(self) -> int:
        """Tokens of the questions."""
        return sum(entry.input_tokens or 0 for entry in self.entries)

    @cached_property
    def produced(self) -> int:
        """Tokens of the answers."""
        return sum(entry.output_tokens or 0 for entry in self.entries)

    @cached_property
    def estimated(self) -> int:
        """Tokens that were estimated."""
        return sum((e.input_tokens or 0) + (e.output_tokens or 0) for e in self.entries if e.estimated)

    @cached_property
    def cost(self) -> float:
        """Dollars."""
        return sum(entry.cost_usd or 0.0 for entry in self.entries)

    @property
    def providers(self) -> list[str]:
        """Who was asked last, in order."""
        return sorted({str(entry.provider) for entry in self.entries})

    @property
    def models(self) -> list[str]:
        """What was asked for, in order."""
        return sorted({str(entry.model) for entry in self.entries})

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Provider and model of each call, once, in order."""
        return sorted({(str(entry.provider), str(entry.model)) for entry in self.entries})

    def planned(self, share: float) -> float:
        """The quantile of the planned delays, in seconds: no call can have been faster than its own.

        Of a client that leaves only the client's time is planned, and the call may have begun late in it.
        """
        left = Outcome.CLIENT_DISCONNECTED
        delays = sorted(0.0 if entry.outcome is left else entry.planned_delay_s for entry in self.entries)
        return delays[max(0, ceil(share * len(delays)) - 1)]


@dataclass(frozen=True)
class Books:
    """Everything that an application was put under, by one load or several."""

    calls: Calls
    began: float
    ended: float

    @classmethod
    def of(cls, cases: Iterable[Case]) -> Self:
        """The ledgers of several loads of the same application together."""
        cases = list(cases)
        entries = [entry for case in cases for entry in case.ledger if entry.provider is not None]
        began = min(case.summary["started_at"] for case in cases)
        return cls(Calls(entries), began, max(case.summary["ended_at"] for case in cases))

    @property
    def hour(self) -> float | None:
        """The beginning of the hour in which everything happened; None if it was more than one."""
        first, last = (self.began - _MARGIN_S) // HOUR_S, (self.ended + _MARGIN_S) // HOUR_S
        return first * HOUR_S if first == last else None

    @property
    def asked(self) -> list[str]:
        """The providers that were asked, first or last, in order."""
        return sorted({*self.calls.providers, *(e.failed_first for e in self.calls.entries if e.failed_first)})

    def attempts(self, provider: str) -> Attempts:
        """What a provider was asked: a call that fell back on another one failed here."""
        own = self.calls.of(provider=provider)
        fallen = sum(entry.failed_first == provider for entry in self.calls.entries)
        return Attempts(own.total + fallen, own.good, own.bad + fallen)
