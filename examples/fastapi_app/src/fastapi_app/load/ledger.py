"""The ledger: one JSON line for every request that was caused."""

import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

UNMATCHED_ROUTE = "<unmatched>"


class Outcome(StrEnum):
    """How a request ended, as the gateway sees it."""

    SUCCESS = "success"
    """Answered as asked, which includes 404 for what does not exist."""
    ERROR = "error"
    TIMEOUT = "timeout"
    STREAM_ERROR = "stream_error"
    """The stream was cut after its head had been sent."""
    CLIENT_DISCONNECTED = "client_disconnected"


@dataclass(frozen=True)
class Entry:
    """One request. What was not completed has no tokens and no cost; what never reached the chat has no provider."""

    id: str
    method: str
    route: str
    status: int
    """What the gateway records: 499 for a client that left before the answer, 200 for one that left inside a stream."""
    outcome: Outcome
    provider: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    stream: bool
    planned_delay_s: float
    trace_id: str | None
    api_key: str | None = None
    """The key that was shown, where one is asked for."""
    failed_first: str | None = None
    """The provider that was asked before, and answered 500."""
    estimated: bool = False
    """The provider reported no usage: the tokens are the gateway's estimate, and the client sees none."""


def provider_answered(entry: Entry) -> bool:
    """Say whether the provider sent at least the head of an answer, and so reported a span.

    The status tells: it stays silent when the client leaves first (499), when it breaks the connection (503) and when
    it is too late (504). A failure that it did report becomes 502 or 429, an unreadable answer 500.
    """
    return entry.provider is not None and entry.status not in (499, 503, 504)


def answering(entry: Entry) -> list[str]:
    """Name the providers that sent at least the head of an answer, in the order in which they were asked."""
    first = [entry.failed_first] if entry.failed_first else []
    return [*first, str(entry.provider)] if provider_answered(entry) else first


def write(file: TextIO, entry: Entry) -> None:
    """Append one line and flush it, so that a ledger cut short is a valid one."""
    file.write(json.dumps(asdict(entry), separators=(",", ":")) + "\n")
    file.flush()


def read(path: Path) -> list[Entry]:
    """Read a ledger; ValueError names the line that is not an entry."""
    with path.open(encoding="utf-8") as lines:
        return [_entry(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def _entry(line: str, place: str) -> Entry:
    try:
        values: dict[str, Any] = json.loads(line)
        return Entry(**{**values, "outcome": Outcome(values["outcome"])})
    except (KeyError, TypeError, ValueError) as error:
        keys = ", ".join(field.name for field in fields(Entry))
        raise ValueError(
            f"{place} is {line.strip()[:80]!r}, not a ledger entry ({error}); expected one JSON object with the keys {keys}. "
            "If the line was cut off, run the load again"
        ) from error
