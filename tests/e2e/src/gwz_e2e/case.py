"""A case: one application that was under load, its ledger, and the servers to ask about it."""

import json
import secrets
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from fastapi_app.load.ledger import Entry, read
from gwz_e2e.engines import Loki, Prometheus, Span, Tempo

_MARGIN_S = 10.0
_READERS = 4


@dataclass(frozen=True)
class Engines:
    """The servers that are asked."""

    prometheus: Prometheus
    loki: Loki
    tempo: Tempo
    redis_url: str


@dataclass(frozen=True)
class Tokens:
    """What the readers of the JSON endpoints show, and the administrators."""

    api: str = ""
    admin: str = ""

    @classmethod
    def new(cls) -> Self:
        """Tokens that nobody can know."""
        return cls(secrets.token_urlsafe(16), secrets.token_urlsafe(16))


class Traces:
    """Traces by id, fetched once they are asked for and again when they were found wanting."""

    def __init__(self, tempo: Tempo) -> None:
        self._tempo = tempo
        self._known: dict[str, list[Span]] = {}
        self._lock = threading.Lock()

    def fetch(self, trace_ids: Iterable[str], *, again: bool = False) -> dict[str, list[Span]]:
        """The spans of each trace; one without spans is asked for again at the next call, with `again` every one."""
        ids = list(trace_ids)
        with self._lock:
            wanted = [trace_id for trace_id in ids if again or not self._known.get(trace_id)]
            with ThreadPoolExecutor(_READERS) as pool:
                self._known.update(zip(wanted, pool.map(self._tempo.trace, wanted), strict=True))
            return {trace_id: self._known[trace_id] for trace_id in ids}


@dataclass(frozen=True)
class Case:
    """Everything a check needs; the ledger is read once the load has ended."""

    service: str
    app_url: str
    ledger_file: Path
    summary_file: Path
    engines: Engines
    sampled_share: float = 1.0
    metrics_token: str = ""
    tokens: Tokens = Tokens()
    traces: Traces = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "traces", Traces(self.engines.tempo))

    @property
    def address(self) -> str:
        """Host and port of the application: Prometheus's `instance`."""
        return self.app_url.removeprefix("http://")

    @cached_property
    def ledger(self) -> list[Entry]:
        """What the load caused."""
        return read(self.ledger_file)

    @cached_property
    def by_trace(self) -> dict[str, Entry]:
        """The ledger's entries by trace id."""
        return {entry.trace_id: entry for entry in self.ledger if entry.trace_id}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What the load saw on the wire, counted apart from the ledger."""
        found: dict[str, Any] = json.loads(self.summary_file.read_text(encoding="utf-8"))
        return found

    def again(self, name: str) -> Self:
        """The same application under another load, which has a ledger of its own."""
        folder = self.ledger_file.parent
        return replace(self, ledger_file=folder / f"ledger-{name}.jsonl", summary_file=folder / f"summary-{name}.json")

    @property
    def window(self) -> tuple[float, float]:
        """The time of the load in unix seconds, with a margin on both sides."""
        return self.summary["started_at"] - _MARGIN_S, self.summary["ended_at"] + _MARGIN_S
