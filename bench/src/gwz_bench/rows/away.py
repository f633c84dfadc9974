"""The row about a Loki that is away: nothing lost, nothing doubled, nobody waits."""

import time
from contextlib import ExitStack
from typing import Any

from gwz_bench.child import Child, ChildError, child, run
from gwz_bench.figures import FAR, Figure, Reach
from gwz_bench.options import Options
from gwz_bench.programs.logs import OURS
from gwz_bench.report import Row

QUANTITY = "Loki away 3.5 s at 2,000 lines/s"
PER_SECOND = 2000
LINES = 7000
EXIT_S = 2.0
P99_RATIO = 1.5
P99_MORE_US = 50.0


def loki_away(options: Options) -> list[Row]:
    """An outage under a steady load, a flood beyond what the queue holds, and exits while Loki is away or hangs."""
    rounds = options.sized(3, 1)
    with ExitStack() as stack:
        sink = stack.enter_context(child("sink"))
        port = sink.ask("open")["port"]
        caller = stack.enter_context(child("logs", OURS, f"http://127.0.0.1:{port}"))
        outages = [_outage(sink, caller) for _ in range(rounds)]
        flood = _flood(sink, caller, options.sized(200_000, 100_000))
    return [*_outage_rows(outages), flood, *(_exit_row(mode, rounds) for mode in ("refuses connections", "hangs"))]


def _outage(sink: Child, caller: Child) -> dict[str, Any]:
    """The same load twice: with a healthy sink, and with one that is away and comes back."""
    healthy = caller.ask("pace", lines=LINES, per_second=PER_SECOND)
    caller.ask("settle")
    before = sink.ask("counts")
    sink.ask("close")
    away = caller.ask("pace", lines=LINES, per_second=PER_SECOND)
    sink.ask("open")
    began = time.monotonic()
    caller.ask("settle")
    return {
        "healthy": healthy,
        "away": away,
        "before": before,
        "after": sink.ask("counts"),
        "back_s": time.monotonic() - began,
    }


def _outage_rows(outages: list[dict[str, Any]]) -> list[Row]:
    after = [outage["after"] for outage in outages]
    arrived = [found["distinct"] for found in after]
    exact = all(found["lines"] == found["distinct"] == LINES for found in after)
    healthy = Figure.of(outage["healthy"]["p99"] for outage in outages)
    away = Figure.of(outage["away"]["p99"] for outage in outages)
    limit = max(P99_RATIO * healthy.median, healthy.median + P99_MORE_US)
    back = max(outage["back_s"] for outage in outages)
    return [
        Row(
            quantity=QUANTITY, variant=OURS, value=min(arrived), unit="lines", reach=f"{LINES:,} of {LINES:,}, once each",
            holds=exact, exact=exact,
            note=f"{arrived} arrived, {[f['doubled'] for f in after]} twice, within {back:.2f} s of its return",
        ),
        Row(quantity=QUANTITY, variant="caller's p99, Loki healthy", median_us=healthy.median, iqr=healthy.iqr),
        Row(
            quantity=QUANTITY, variant="caller's p99, Loki away", median_us=away.median, iqr=away.iqr,
            ratio=away.median / healthy.median, reach=f"{Reach(P99_RATIO, 'healthy')} or + {P99_MORE_US:g} µs",
            holds=away.median <= limit, far=away.median > FAR * limit,
        ),
    ]  # fmt: skip


def _flood(sink: Child, caller: Child, lines: int) -> Row:
    """More lines than the queue holds while the sink is away: what is lost is counted."""
    sink.ask("counts")
    before = caller.ask("settle")
    sink.ask("close")
    caller.ask("write", lines=lines, together=True, timeout_s=300)
    sink.ask("open")
    after = caller.ask("settle")
    words = {word: number - before["words"].get(word, 0) for word, number in after["words"].items()}
    found = sink.ask("counts")
    delivered = words.get("delivered", 0)
    lost = sum(words.values()) - delivered
    exact = found["lines"] == found["distinct"] == delivered and delivered + lost == lines and lost > 0
    return Row(
        quantity=QUANTITY, variant="a flood past the cap", value=lost, unit="lines lost", reach="every loss counted",
        holds=exact, exact=exact,
        note=f"{lines:,} written = {delivered:,} delivered + {lost:,} counted as lost; {found['distinct']:,} arrived",
    )  # fmt: skip


def _exit_row(mode: str, rounds: int) -> Row:
    """How long a process takes to leave with lines that nobody takes."""
    with child("sink") as sink:
        port = sink.ask("open", mode="hang")["port"]
        if mode == "refuses connections":
            sink.ask("close")
        try:
            took = [run("leave", f"http://127.0.0.1:{port}", "0", "1000", timeout_s=60)[1] for _ in range(rounds)]
        except (ChildError, TimeoutError) as error:
            return Row(quantity=QUANTITY, variant=f"exit, Loki {mode}", exact=False, note=str(error))
    figure = Figure.of(took)
    return Row(
        quantity=QUANTITY, variant=f"exit, Loki {mode}", value=figure.median, unit="s", reach=f"≤ {EXIT_S:g} s",
        holds=max(took) <= EXIT_S, far=figure.median > FAR * EXIT_S,
        note=f"the longest of {rounds} took {max(took):.2f} s",
    )  # fmt: skip
