"""The verdict on one answer."""

from dataclasses import dataclass, field

from gwz_e2e.compare import shorten
from gwz_e2e.panels.tallies import Group

_SHOWN = 200


@dataclass
class Verdict:
    """What was expected, what was shown, and in what they differ."""

    expected: str = ""
    got: str = ""
    phrases: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the query returns what the ledger says."""
        return not self.phrases

    def __str__(self) -> str:
        return f"{shorten(self.phrases)}; got {self.got[:_SHOWN]}, expected {self.expected[:_SHOWN]}"


def words(key: Group) -> str:
    """What a number is of."""
    return f"{' '.join(one or '(none)' for one in key)}: " if key else ""
