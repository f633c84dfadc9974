"""Loki takes 8 MB of lines a second for a minute through our handler, and has each of them once."""

import time

from gwz_e2e.hops import Finding
from gwz_e2e.limits.counted import count, faults
from gwz_e2e.limits.ground import Ground
from gwz_e2e.limits.writer import MIB, Plan
from gwz_stack.render import get, shipped

ID = "throughput"
RATE = 8 * MIB
"""Bytes of lines a second; a megabyte is 2^20 bytes, as in Loki's settings."""
SECONDS = 60
_WORKERS = 4
_LINE_BYTES = 1024
_WITHIN_S = 150.0
_ALONE_LINES = 32 * 1024
_ALONE_QUEUE = 128 * MIB
"""All of them at once: what is measured is how fast they go out."""
_ALONE_S = 100.0


def prove(ground: Ground) -> Finding:
    """Let one handler show what it can, then four workers write for a minute, and count what is there."""
    loki = ground.stage.place.urls.loki
    alone = _alone(ground, loki)
    ground.tell(f"{ID}: one handler delivers {alone / MIB:.1f} MB/s; {_WORKERS} workers write for {SECONDS} s")
    lines_per_s = RATE / _LINE_BYTES / _WORKERS
    plans = [
        Plan(loki, ID, round(lines_per_s * SECONDS), _LINE_BYTES, first=worker, lines_per_s=lines_per_s)
        for worker in range(_WORKERS)
    ]
    since = time.time()
    written = ground.write(plans, _WITHIN_S)
    counted = count(loki, ID, since)
    wrong = faults(counted, plans)
    if lost := sum(one.lost for one in written):
        wrong.append(f"{lost} given up by the handlers")
    if counted.bytes_per_s < RATE:
        wrong.append(f"that is less than {RATE / MIB:.0f} MB/s")
    if counted.span_s < SECONDS - 1:
        wrong.append(f"that is less than {SECONDS} s")
    figures = {
        "mb_per_s": round(counted.bytes_per_s / MIB, 2),
        "seconds": round(counted.span_s, 1),
        "lines": counted.lines,
        "line_bytes": counted.bytes,
        "handlers": _WORKERS,
        "one_handler_mb_per_s": round(alone / MIB, 1),
        "limit_mb_per_s": get("loki", shipped("loki"), "limits_config.ingestion_rate_mb"),
    }
    told = (
        f"{_WORKERS} workers wrote {counted.lines} lines of {counted.bytes / MIB:.0f} MB in {counted.span_s:.1f} s, "
        f"{counted.bytes_per_s / MIB:.2f} MB/s"
    )
    end = ", ".join(wrong) or f"all are in Loki, each once; one handler by itself delivered {alone / MIB:.1f} MB/s"
    return Finding(not wrong, f"{told}: {end}", figures)


def _alone(ground: Ground, loki: str) -> float:
    """Bytes of lines a second that one handler delivers out of a full queue, while Loki's burst lasts."""
    plan = Plan(loki, "one-handler", _ALONE_LINES, _LINE_BYTES, queue_bytes=_ALONE_QUEUE)
    since = time.time()
    (written,) = ground.write([plan], _ALONE_S)
    return count(loki, plan.app, since).bytes / written.delivered_s
