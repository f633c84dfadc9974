"""What the calls of the endpoints came to."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from gwz_instrument.check import number_of, printable

from .cases import Call, NotTried

_SHOWN: Final = 5
"""So many findings of a call are lines of their own."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with an answer: by which rule, with which part of it, and what to do."""

    rule: str
    subject: str
    sentence: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.sentence}. {self.cure}" if self.cure else self.sentence


@dataclass(frozen=True, slots=True)
class Result:
    """A call and what came of it; `status` is None if nothing came."""

    call: Call
    status: int | None
    ms: float | None
    findings: tuple[Finding, ...]
    note: str = ""

    def lines(self) -> Iterator[str]:
        """For people."""
        what = f"{self.call.method} {self.call.path}{self.call.how and f' {self.call.how}'}"
        if not self.findings:
            refused = "" if self.call.is_good else f": {self.status}, as it should"
            yield f"ok   {what}{refused}  {self.ms:.0f} ms{self.note and f'  {self.note}'}"
        yield from (f"FAIL {what}: {finding}" for finding in self.findings[:_SHOWN])
        if more := len(self.findings[_SHOWN:]):
            yield f"FAIL {what}: and {number_of(more, 'finding')} more, which --json lists"

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "method": self.call.method,
            "path": self.call.path,
            "how": self.call.how,
            "status": self.status,
            "ms": self.ms,
            "ok": not self.findings,
            "note": self.note,
            "findings": [asdict(finding) for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All calls in order, and the endpoints that were not called."""

    base_url: str
    results: tuple[Result, ...]
    not_tried: tuple[NotTried, ...]

    @property
    def findings(self) -> list[Finding]:
        """Those of all calls."""
        return [finding for result in self.results for finding in result.findings]

    @property
    def exit_code(self) -> int:
        """0 if there are no findings, else 8."""
        return 8 if self.findings else 0

    def as_json(self) -> str:
        """The report for programs."""
        document = {
            "base_url": self.base_url,
            "clean": not self.findings,
            "calls": [result.as_dict() for result in self.results],
            "not_tried": [asdict(one) for one in self.not_tried],
        }
        return json.dumps(document, indent=2) + "\n"

    def as_text(self) -> str:
        """The report for people; nothing in it can steer a terminal."""
        lines = [line for result in self.results for line in result.lines()]
        lines += [f"--   {one.method} {one.path}: not tried: {one.reason}" for one in self.not_tried]
        bad = sum(bool(result.findings) for result in self.results)
        lines.append(
            f"{self.base_url}: {number_of(len(self.results), 'call')}, {number_of(len(self.findings), 'finding')}"
            f"{f' in {bad} of them' if bad else ''}, {number_of(len(self.not_tried), 'call')} not tried"
        )
        return "".join(f"{printable(line)}\n" for line in lines)
