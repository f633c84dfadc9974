"""The faults that lie between what is declared, what is emitted and what is queried: their names and what they mean."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Signal = Literal["metrics", "logs", "traces"]


class Fault(StrEnum):
    """A fault by its name."""

    STRANGER = "stranger"
    MUTE = "mute"
    GHOST = "ghost"
    ORPHAN = "orphan"
    WRONG_TYPE = "wrong type"
    WRONG_LABELS = "wrong labels"
    WRONG_VALUE = "wrong value"
    WRONG_BUCKETS = "wrong buckets"

    @property
    def definition(self) -> str:
        """What it means, in one sentence."""
        return _DEFINITIONS[self]


_DEFINITIONS = {
    Fault.STRANGER: "Emitted under a name of the contract's, but not declared.",
    Fault.MUTE: "Declared, but never emitted by an application that does all there is to do.",
    Fault.GHOST: "Queried, but not declared, or mute.",
    Fault.ORPHAN: "Declared, but queried by nothing; allowed where a reason is written down.",
    Fault.WRONG_TYPE: "Declared with another type.",
    Fault.WRONG_LABELS: "Declared with other labels, or without an attribute that each has to have.",
    Fault.WRONG_VALUE: "Declared with a closed set of values, and emitted with another.",
    Fault.WRONG_BUCKETS: "Declared with other buckets.",
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One fault of one name, with a sentence that says what was found and what cures it."""

    signal: Signal
    fault: Fault
    name: str
    sentence: str
    nearest: str | None = None
    """The declared name that a stranger comes closest to."""

    def __str__(self) -> str:
        return f"{self.fault}: {self.sentence}"
