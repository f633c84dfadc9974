"""More than Loki's burst at once is answered 429, and all of it arrives after the handlers' retries."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from gwz_e2e.hops import Finding
from gwz_e2e.limits.alone import metric
from gwz_e2e.limits.counted import count, faults
from gwz_e2e.limits.ground import Ground
from gwz_e2e.limits.writer import MIB, Plan
from gwz_stack.render import get, shipped

ID = "burst"
AT_LEAST = 25 * MIB
_HANDLERS = (32, 48, 64)
"""By tries: Loki allows 10 MB more with each second that it takes to read them, and a busy machine takes long."""
_LINES = 50
_LINE_BYTES = 20_000
"""Of which a handler's first push holds all 50: a push is of at most 1 MB."""
_SENT_S = 8.0
"""A handler gives up an answer after 10 s, and would send again what Loki has in its socket."""
_WITHIN_S = 120.0
_ESTABLISHED = "01"


def prove(ground: Ground) -> Finding:
    """Hold Loki while each of many handlers sends a push, let it go on, and count refusals and lines."""
    loki = ground.stage.place.urls.loki
    since, before = time.time(), _refused(loki)
    plans: list[Plan] = []
    lost = refused = 0
    for handlers in _HANDLERS:
        plans.append(Plan(loki, ID, _LINES, _LINE_BYTES, first=sum(plan.handlers for plan in plans), handlers=handlers))
        lost += _at_once(ground, plans[-1], loki)
        refused = round(_refused(loki) - before)
        if refused:
            break
    counted = count(loki, ID, since)
    handlers = plans[-1].handlers
    at_once = counted.bytes * handlers / sum(plan.handlers for plan in plans)
    wrong = faults(counted, plans)
    if lost:
        wrong.append(f"{lost} given up by the handlers")
    if at_once < AT_LEAST:
        wrong.append(f"these are less than {AT_LEAST / MIB:.0f} MB")
    if not refused:
        wrong.append("no push was answered 429")
    figures = {
        "mb_at_once": round(at_once / MIB, 1),
        "refused_pushes": refused,
        "tries": len(plans),
        "limit_mb": get("loki", shipped("loki"), "limits_config.ingestion_burst_size_mb"),
    }
    told = f"{at_once / MIB:.1f} MB came at once from {handlers} handlers, {refused} pushes were answered 429"
    end = ", ".join(wrong) or f"all {counted.lines} lines are in Loki, each once"
    return Finding(not wrong, f"{told}: {end}", figures)


def waiting(table: str, port: int) -> int:
    """How many connections to a port have sent something that nobody has read, by the text of /proc/net/tcp."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return sum(
        int(local.rpartition(":")[2], 16) == port and state == _ESTABLISHED and int(queues.rpartition(":")[2], 16) > 0
        for _, local, _, state, queues, *_ in rows
    )


def _at_once(ground: Ground, plan: Plan, loki: str) -> int:
    """Let a plan's handlers send into a Loki that stands still, then let it run; the number of lines given up."""
    port = urlsplit(loki).port or 0
    with _held(ground.stage.supervisor["loki"].pid), ground.workers([plan]) as workers:
        ground.patience.until(
            lambda: waiting(Path("/proc/net/tcp").read_text(encoding="ascii"), port) >= plan.handlers, _SENT_S
        )
        os.killpg(ground.stage.supervisor["loki"].pid, signal.SIGCONT)
        return sum(one.lost for one in workers.wait(_WITHIN_S))


@contextmanager
def _held(group: int) -> Iterator[None]:
    """Let a server stand still until somebody lets it go on, at the latest when the context is left."""
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


def _refused(loki: str) -> float:
    return metric(loki, "loki_request_duration_seconds_count", route="loki_api_v1_push", status_code="429")
