"""The row about memory: a million requests later a process is as large as before."""

from gwz_bench.child import child
from gwz_bench.figures import FAR, slope
from gwz_bench.options import Options
from gwz_bench.report import Row
from gwz_bench.variants import OURS_ALL

MOST_MIB = 3.0
"""An allocator's own movements; a leak of four bytes per request would be more."""
_WARM = 60_000
"""Requests until every buffer has had its largest size."""
_MIB = 1024 * 1024


def memory(options: Options) -> list[Row]:
    """Resident memory over a long mix of requests, with metrics, spans and lines."""
    step = options.sized(100_000, 20_000)
    with child("sink") as sink:
        port = sink.ask("open", mode="forget")["port"]
        with child("memory", f"http://127.0.0.1:{port}") as server:
            server.ask("serve", requests=_WARM, timeout_s=600)
            sizes = [server.ask("serve", requests=step, timeout_s=600) for _ in range(10)]
            server.ask("stop")
    return [memory_row([s["served"] for s in sizes], [s["resident_bytes"] / _MIB for s in sizes])]


def memory_row(served: list[int], mebibytes: list[float]) -> Row:
    """The growth from the first size to the last, beside what a straight line through all says."""
    grown = mebibytes[-1] - mebibytes[0]
    fitted = slope(served, mebibytes) * (served[-1] - served[0])
    growth = max(grown, fitted)
    return Row(
        quantity=f"resident memory after {served[-1]:,} requests",
        variant=OURS_ALL,
        value=growth,
        unit="MiB grown",
        reach=f"no growth (≤ {MOST_MIB:g} MiB)",
        holds=growth <= MOST_MIB,
        far=growth > FAR * MOST_MIB,
        note=f"{mebibytes[0]:.1f} MiB after {served[0]:,}, {mebibytes[-1]:.1f} MiB at the end; "
        f"a straight line says {fitted * _MIB / (served[-1] - served[0]):+.2f} bytes per request",
    )
