"""Judges what Loki answers to a push of one stream.

Loki keeps the valid lines of a push that it answers with 400, and tells how many it did not keep. Of a push of several
streams it tells that of the last one only, and may even answer 204: therefore one stream at a time. A push is not sent
again to find out more: Loki drops the repeat of a line only while the block that has it is open.
"""

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Literal

Judgement = Literal["taken", "too_large", "again", "unauthorized"]
LONGEST_WAIT_S: Final = 60.0

_TOO_LARGE: Final = 413
_FINAL: Final = frozenset({400, 422})  # sending the same again would change nothing
_UNAUTHORIZED: Final = frozenset({401, 403})
_DELIVERED: Final = 204  # not 200: that is a login page; not 260: that is how Loki says that it is blocked
_IGNORED = re.compile(r"total ignored: (\d+) out of (\d+)")
_GROUPED = re.compile(r"(\d+) errors? like:")
_ONE_LINE = re.compile(r"has timestamp too (?:old|new)|^Max entry size|structured metadata")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, text and `Retry-After` of a response."""

    status: int
    text: str
    retry_after: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means for the lines that were pushed."""

    judgement: Judgement
    refused: int = 0
    wait_s: float | None = None


def judge(answer: Answer, lines: int) -> Verdict:
    """Judge the answer to a push of `lines` lines of one stream."""
    if answer.status == _DELIVERED:
        return Verdict("taken")
    if answer.status in _FINAL:
        return Verdict("taken", refused=refused(answer.text, lines))
    if answer.status == _TOO_LARGE:
        return Verdict("too_large")
    if answer.status in _UNAUTHORIZED:
        return Verdict("unauthorized")
    return Verdict("again", wait_s=wait_of(answer.retry_after))


def refused(text: str, lines: int) -> int:
    """How many of `lines` Loki did not keep; all of them if it read none, as with labels that it cannot parse."""
    if ignored := _IGNORED.search(text):
        # "1 out of 2" of three: the ingester tells of the two that it was given, the distributor had refused one.
        number = lines - int(ignored[2]) + int(ignored[1])
    elif grouped := _GROUPED.findall(text):
        number = sum(map(int, grouped))
    else:
        number = 1 if _ONE_LINE.search(text) else lines
    return max(0, min(number, lines))


def wait_of(retry_after: str) -> float | None:
    """Seconds that a `Retry-After` asks for, whichever of its two forms it has, within bounds; None without one."""
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after[:9]), LONGEST_WAIT_S)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return min(max(0.0, moment.timestamp() - time.time()), LONGEST_WAIT_S)
