"""What Loki has of the workers' lines, counted by LogQL, and what is wrong with it."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from gwz_e2e.limits.alone import client
from gwz_e2e.limits.writer import Plan

_PAGE = 5000
_NUMBERS = '{{app="{app}"}} | json writer="writer", number="number" | line_format "{{{{.writer}}}} {{{{.number}}}}"'

Number = tuple[int, int]
"""Which handler, and its how manieth line."""


@dataclass(frozen=True)
class Counted:
    """The lines of one `app`: how many and how long, and how often each number came."""

    lines: int
    bytes: int
    numbers: Counter[Number]
    span_s: float
    """From the first line's time to the last one's."""

    @property
    def bytes_per_s(self) -> float:
        """The rate of line bytes."""
        return self.bytes / self.span_s if self.span_s else 0.0


def count(loki: str, app: str, since: float) -> Counted:
    """Count the lines since a moment, in unix seconds, then read every line's number back."""
    now = time.time()
    window = f'{{app="{app}"}}[{int(now - since) + 1}s]'
    with client(loki) as ask:
        lines = _sum(ask, f"sum(count_over_time({window}))", now)
        size = _sum(ask, f"sum(bytes_over_time({window}))", now)
        numbers, span_s = _numbers(ask, app, since, now)
    return Counted(lines, size, numbers, span_s)


def faults(counted: Counted, plans: Sequence[Plan]) -> list[str]:
    """What contradicts that each line of the plans is there once and nothing else is."""
    wanted = {
        (plan.first + index, number) for plan in plans for index in range(plan.handlers) for number in range(plan.lines)
    }
    found = counted.numbers
    phrases = {
        "lost": len(wanted - found.keys()),
        "there more than once": sum(times > 1 for times in found.values()),
        "of nobody": len(found.keys() - wanted),
        "read, but not counted": abs(found.total() - counted.lines),
    }
    return [f"{number} {phrase}" for phrase, number in phrases.items() if number]


def _sum(ask: httpx.Client, query: str, at: float) -> int:
    result = answered(ask, "query", query=query, time=f"{at:.3f}")
    return int(result[0]["value"][1]) if result else 0


def _numbers(ask: httpx.Client, app: str, since: float, until: float) -> tuple[Counter[Number], float]:
    numbers = Counter[Number]()
    query, start, first, last = _NUMBERS.format(app=app), int(since * 1e9), 0, 0
    while True:
        page = _page(ask, query, start, int(until * 1e9))
        full = len(page) == _PAGE
        if page:
            first, last = first or min(page)[0], max(page)[0]
        # Others may have the last line's nanosecond: the next page begins with all of them.
        numbers.update(number for at, number in page if not full or at < last)
        if not full:
            return numbers, (last - first) / 1e9
        start = last


def _page(ask: httpx.Client, query: str, start: int, end: int) -> list[tuple[int, Number]]:
    result = answered(ask, "query_range", query=query, start=start, end=end, limit=_PAGE, direction="forward")
    return [(int(at), _number(text)) for stream in result for at, text, *_ in stream["values"]]


def _number(text: str) -> Number:
    writer, number = text.split()
    return int(writer), int(number)


def answered(ask: httpx.Client, endpoint: str, **parameters: str | int) -> Any:
    """The result of a query, as Loki gives it."""
    answer = ask.get(f"/loki/api/v1/{endpoint}", params=parameters).raise_for_status()
    return answer.json()["data"]["result"]
