"""The rows about forks and exits: every record arrives and nothing hangs."""

import subprocess
from concurrent.futures import ThreadPoolExecutor

from gwz_bench.child import Child, ChildError, child, run
from gwz_bench.figures import Figure
from gwz_bench.options import Options
from gwz_bench.programs.logs import OURS
from gwz_bench.report import Row

FORKS = 20
EXITS = 200
LINES = 500
_AT_ONCE = 2


def forks_and_exits(options: Options) -> list[Row]:
    """Forks of a process that is logging, then processes that end with a full queue."""
    with child("sink") as sink:
        port = sink.ask("open")["port"]
        return [_forks(sink, port), _exits(sink, port, options.sized(EXITS, 20))]


def _forks(sink: Child, port: int) -> Row:
    quantity, reach = f"{FORKS} forks while logging", "every record arrives, nothing hangs"
    try:
        found, left = run("forks", f"http://127.0.0.1:{port}", str(FORKS), str(LINES), timeout_s=120)
    except (ChildError, subprocess.TimeoutExpired) as error:
        return Row(quantity=quantity, variant=OURS, reach=reach, holds=False, exact=False, note=str(error))
    arrived = sink.ask("counts")
    exact = arrived["lines"] == arrived["distinct"] == found["written"] and not found["hung"] and not found["failed"]
    return Row(
        quantity=quantity, variant=OURS, value=arrived["distinct"], unit="lines", reach=reach, holds=exact, exact=exact,
        note=f"{arrived['distinct']:,} of {found['written']:,} arrived, {arrived['doubled']} twice; "
        f"{found['hung']} children hung, {found['failed']} failed; the parent left within {left:.2f} s",
    )  # fmt: skip


def _exits(sink: Child, port: int, exits: int) -> Row:
    quantity, reach = f"{exits} exits with {LINES} lines in the queue", "every record arrives, nothing hangs"

    def leave(number: int) -> float | None:
        try:
            return run("leave", f"http://127.0.0.1:{port}", str(number * LINES), str(LINES), timeout_s=60)[1]
        except (ChildError, subprocess.TimeoutExpired):
            return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        took = list(pool.map(leave, range(exits)))
    left = [seconds for seconds in took if seconds is not None]
    arrived = sink.ask("counts")
    exact = arrived["lines"] == arrived["distinct"] == exits * LINES and len(left) == exits
    return Row(
        quantity=quantity, variant=OURS, value=arrived["distinct"], unit="lines", reach=reach, holds=exact, exact=exact,
        note=f"{arrived['distinct']:,} of {exits * LINES:,} arrived, {arrived['doubled']} twice; {exits - len(left)} hung or failed; "
        + (f"each left within {max(left):.2f} s, half within {Figure.of(left).median:.2f} s" if left else "none left"),
    )  # fmt: skip
