"""What a simulated provider is asked to do, carried as text in the request's metadata."""

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Self

METADATA_KEY = "plan"


class Deed(StrEnum):
    """One way for a provider to answer, or not to."""

    OK = "ok"
    ERROR = "error"
    """Status 500."""
    BUSY = "busy"
    """Status 429."""
    MALFORMED = "malformed"
    """Status 200 and a body that is not JSON."""
    RESET = "reset"
    """A connection reset instead of an answer."""
    HANG = "hang"
    """No answer until the caller leaves."""
    BREAK = "break"
    """A stream that ends in the middle, by a lost connection."""
    HOLD = "hold"
    """A stream that says everything but its end, then waits until the caller leaves."""


@dataclass(frozen=True)
class Behaviour:
    """A deed with its figures: when the answer is complete, and what it counts."""

    deed: Deed = Deed.OK
    delay_s: float = 0.075
    input_tokens: int = 12
    output_tokens: int = 24
    chunks: int = 4
    fails_at: str = ""
    """The provider that answers 500 at once, whatever the deed; the others do it."""
    usage: bool = True
    """Whether an answer says what it counts."""

    def at(self, provider: str) -> Self:
        """Return what this provider does of it."""
        return replace(self, deed=Deed.ERROR, delay_s=0) if provider == self.fails_at else self

    def to_text(self) -> str:
        """Write it so that it fits a metadata value."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `to_text` wrote; ValueError or TypeError if somebody else did."""
        fields = json.loads(text)
        return cls(**{**fields, "deed": Deed(fields["deed"])})
