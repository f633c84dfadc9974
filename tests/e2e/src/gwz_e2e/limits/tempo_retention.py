"""Tempo keeps a block under the shipped retention, and deletes the same block under a short one."""

import secrets
import time

from gwz_e2e.engines import Tempo
from gwz_e2e.hops import Finding
from gwz_e2e.limits.alone import DAY_S, Alone, Overrides, client, metric, seconds
from gwz_stack.render import get, shipped

ID = "tempo_retention"
OVERRIDES: Overrides = {
    "storage.trace.blocklist_poll": "1s",  # retention is applied as often
    "ingester.complete_block_timeout": "1s",  # else the ingester answers for its own copy, for a quarter of an hour
    "compactor.compaction.compacted_block_retention": "1s",
}
SHORT: Overrides = {"compactor.compaction.block_retention": "1s"}
_SECOND_NS = 1_000_000_000
_STORED_S = 90.0
_ROUNDS = 3
_ROUNDS_S = 60.0
_GONE_S = 60.0


def prove(tempo: Alone, short: Overrides = SHORT) -> Finding:
    """Store one trace in a block, see it stay while retention is applied, then see it go once only the retention is short."""
    tempo.start(OVERRIDES)
    trace_id = _send(tempo)
    with client(tempo.url) as ask:
        ask.get("/flush").raise_for_status()
    if not tempo.until(lambda: _only_in_a_block(tempo), _STORED_S) or not _found(tempo, trace_id):
        return Finding(ok=False, sentence=f"a trace was sent, but not found in a block within {_STORED_S:.0f} s")
    rounds = _rounds(tempo)
    tempo.until(lambda: _rounds(tempo) >= rounds + _ROUNDS, _ROUNDS_S)
    passed = _rounds(tempo) - rounds
    kept_s = seconds(get("tempo", shipped("tempo"), "compactor.compaction.block_retention"))
    figures = {"retention_days": kept_s / DAY_S, "rounds_survived": passed}
    stays = f"with the shipped {kept_s / DAY_S:.0f} days a trace"
    if passed < _ROUNDS or not _found(tempo, trace_id):
        return Finding(
            ok=False,
            sentence=f"{stays} did not stay over {passed:.0f} of {_ROUNDS} rounds of retention",
            figures=figures,
        )
    began = time.monotonic()
    tempo.start({**OVERRIDES, **short})
    gone = tempo.until(lambda: not _found(tempo, trace_id) and not _blocks(tempo), _GONE_S)
    took = time.monotonic() - began
    figures["gone_after_s"] = round(took, 1)
    how = f"{stays} was found by its id after {passed:.0f} rounds of retention; with {_words(short)}"
    if not gone:
        return Finding(ok=False, sentence=f"{how} it is there {took:.0f} s after the restart", figures=figures)
    return Finding(
        ok=True, sentence=f"{how} it was gone {took:.0f} s after the restart, its block deleted", figures=figures
    )


def _send(tempo: Alone) -> str:
    trace_id, now = secrets.token_hex(16), time.time_ns()
    span = {
        "traceId": trace_id,
        "spanId": secrets.token_hex(8),
        "name": "aged",
        "startTimeUnixNano": str(now - _SECOND_NS),
        "endTimeUnixNano": str(now),
    }
    with client(tempo.urls.otlp_http) as receiver:
        receiver.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).raise_for_status()
    return trace_id


def _found(tempo: Alone, trace_id: str) -> bool:
    return bool(Tempo(tempo.url).trace(trace_id))


def _only_in_a_block(tempo: Alone) -> bool:
    return _blocks(tempo) == metric(tempo.url, "tempodb_blocklist_length") == 1 and bool(
        metric(tempo.url, "tempo_ingester_blocks_cleared_total")
    )


def _rounds(tempo: Alone) -> float:
    return metric(tempo.url, "tempodb_retention_duration_seconds_count")


def _blocks(tempo: Alone) -> int:
    return len(list((tempo.data / "blocks").rglob("data.parquet")))


def _words(overrides: Overrides) -> str:
    return ", ".join(f"{path.rpartition('.')[2]} {value}" for path, value in overrides.items())
