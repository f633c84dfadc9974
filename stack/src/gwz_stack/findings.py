"""What a check has to say: a finding names what is wrong, where, and the cure; somebody else prints it."""

from __future__ import annotations

from dataclasses import dataclass

FINDINGS = 8
"""The exit code of a command that has findings; gwz-provision and gwz-instrument use the same."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    id: str
    subject: str
    sentence: str
    cure: str

    def __str__(self) -> str:
        return f"{self.id} {self.subject}: {self.sentence} {self.cure}"
