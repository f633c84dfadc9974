"""Makes the planned requests when they are due, writes the ledger, and compares what was seen with what was planned."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

import httpx

from fastapi_app.load import ledger, wire
from fastapi_app.load.plan import Planned


class UnreachableError(Exception):
    """Nothing listens where the app should be."""


@dataclass
class Summary:
    """What a run did; `wire` is counted at the transport, independently of the ledger."""

    requests: int = 0
    """Requests that have ended."""
    wire: dict[str, int] = field(default_factory=dict)
    mismatches: list[str] = field(default_factory=list)
    started_at: float = 0.0
    ended_at: float = 0.0
    max_lag_s: float = 0.0
    """How late the latest request was sent."""


async def run(url: str, plan: Sequence[Planned], entries: TextIO, progress: TextIO, summary: Summary) -> None:
    """Make the requests; what happened until then stands in the summary also when this raises.

    Raises UnreachableError when the app is not there, OSError when the ledger cannot be written.
    """
    transport = wire.Wire()
    summary.wire = transport.counts
    summary.started_at = summary.ended_at = time.time()
    try:
        async with wire.open_client(url, transport) as client:
            await _Run(client, plan, entries, progress, summary).all()
    except ExceptionGroup as errors:
        raise _cause(url, errors.exceptions[0]) from errors
    finally:
        summary.ended_at = time.time()


def _cause(url: str, error: Exception) -> Exception:
    if isinstance(error, httpx.ConnectError):
        return UnreachableError(f"{url} cannot be reached ({error}); start the app or correct --url")
    return error


class _Run:
    def __init__(
        self, client: httpx.AsyncClient, plan: Sequence[Planned], entries: TextIO, progress: TextIO, summary: Summary
    ) -> None:
        self._client = client
        self._plan = plan
        self._entries = entries
        self._progress = progress
        self._summary = summary
        self._sent = 0

    async def all(self) -> None:
        ticking = asyncio.create_task(self._tick())
        try:
            async with asyncio.TaskGroup() as group:
                await self._send_all(group)
        finally:
            ticking.cancel()
        self._report()

    async def _send_all(self, group: asyncio.TaskGroup) -> None:
        start = time.monotonic()
        for planned in self._plan:
            lag_s = time.monotonic() - start - planned.at_s
            if lag_s < 0:
                await asyncio.sleep(-lag_s)
                lag_s = time.monotonic() - start - planned.at_s
            self._summary.max_lag_s = max(self._summary.max_lag_s, lag_s)
            self._sent += 1
            group.create_task(self._one(planned))

    async def _one(self, planned: Planned) -> None:
        seen = await wire.make(self._client, planned)
        ledger.write(self._entries, planned.entry)
        self._summary.requests += 1
        if seen != wire.expected(planned):
            self._summary.mismatches.append(
                f"{planned.entry.id} ({planned.kind}): {planned.entry.method} {planned.path} gave {seen}, "
                f"planned was {wire.expected(planned)}"
            )

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._report()

    def _report(self) -> None:
        done = self._summary.requests
        print(
            f"{done}/{len(self._plan)} requests ended, {self._sent - done} in flight, "
            f"{len(self._summary.mismatches)} mismatches",
            file=self._progress,
            flush=True,
        )
