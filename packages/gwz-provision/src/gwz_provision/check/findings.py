"""What the checker finds: a fault, where it is, and its cure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A fault of a query or a file, before anybody knows where it stands; `column` counts from 1."""

    id: str
    sentence: str
    cure: str
    column: int | None = None


class Unparsable(Exception):  # noqa: N818 - says what the query is
    """A query that its data source would refuse."""

    def __init__(self, problem: Problem) -> None:
        """Keep the problem, whose column is that of the text which was parsed."""
        super().__init__(problem.sentence)
        self.problem = problem


@dataclass(frozen=True)
class Finding:
    """A fault in its place."""

    id: str
    file: str
    panel: int | None
    title: str
    ref: str
    column: int | None
    sentence: str
    cure: str


@dataclass(frozen=True)
class Place:
    """A file, or a panel, a rule or a query in it."""

    file: str
    panel: int | None = None
    title: str = ""
    ref: str = ""

    def finding(self, problem: Problem) -> Finding:
        """Put the problem here."""
        return Finding(
            problem.id, self.file, self.panel, self.title, self.ref, problem.column, problem.sentence, problem.cure
        )

    def __str__(self) -> str:
        parts = [
            self.file,
            "" if self.panel is None else f"panel {self.panel}",
            f'"{self.title}"' if self.title else "",
            f"query {self.ref}" if self.ref else "",
        ]
        return " ".join(part for part in parts if part)


def meant(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is nearest to a misspelt one."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a finding needs it, and it is slow to load

    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=0.6)), None)


def suggestion(name: str, known: Iterable[str], otherwise: str) -> str:
    """Ask "did you mean" when a known name is near, else say how to go on."""
    near = meant(name, known)
    return f"Did you mean {near}?" if near else otherwise
