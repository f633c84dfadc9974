"""What Prometheus was asked, whoever asked it, by its own log; and how many series each of its queries touches."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

SETTING = "global.query_log_file"
_SELECTOR = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<selector>[A-Za-z_:][\w:]*\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})')


@dataclass(frozen=True)
class Logged:
    """A query that Prometheus answered."""

    expression: str
    seconds: float
    """Without its way there and back."""
    samples: int
    """That it read."""


class QueryLog:
    """Prometheus's log of queries; those of its recording rules are left out."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0

    def news(self) -> list[Logged]:
        """What was answered since the last time."""
        with self._file.open("rb") as file:
            file.seek(self._read)
            lines = file.readlines()
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
        self._read += sum(map(len, lines))
        return [_logged(entry) for line in lines if "httpRequest" in (entry := json.loads(line))]


class Series:
    """Counts series in a Prometheus, each question once."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._known: dict[tuple[str, ...], int] = {}

    def touched(self, expression: str, start: float, end: float) -> int:
        """How many series the selectors of an expression match between two times, each counted once."""
        wanted = tuple(sorted(set(selectors(expression))))
        if not wanted:
            return 0
        if wanted not in self._known:
            asked: dict[str, Any] = {"match[]": list(wanted), "start": start, "end": end}
            answer = self._client.post("/api/v1/series", data=asked).raise_for_status()
            self._known[wanted] = len(answer.json()["data"])
        return self._known[wanted]


def selectors(expression: str) -> Iterator[str]:
    """The selectors of an expression, all of which are written with braces."""
    for found in _SELECTOR.finditer(expression):
        if found["selector"]:
            yield found["selector"]


def _logged(entry: Any) -> Logged:
    stats = entry["stats"]
    return Logged(
        entry["params"]["query"], stats["timings"]["evalTotalTime"], stats["samples"]["totalQueryableSamples"]
    )
