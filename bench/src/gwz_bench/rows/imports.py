"""The rows about imports: their time beside prometheus_client's, and what the contract loads."""

import json
import subprocess
from typing import Any

from gwz_bench.child import command, environment
from gwz_bench.figures import Figure, Reach
from gwz_bench.options import Options
from gwz_bench.report import Row, compared, timed

QUANTITY = "import"
OURS = "from gwz_instrument import Settings, Telemetry, instrument"
"""The names, not only the package: a package may load them when they are first asked for."""
PEER = "import prometheus_client"
SEMCONV = "import gwz_instrument.semconv"
TO_PEER = Reach(2.5, "prometheus_client")
_LEAST = 15
_TIMEOUT_S = 60


def imports(options: Options) -> list[Row]:
    """Fresh processes, one after the other; the first of each only fills the caches."""
    statements = (OURS, PEER, SEMCONV)
    foreign = [_imported(statement)["foreign"] for statement in statements][-1]
    took: dict[str, list[float]] = {statement: [] for statement in statements}
    for _ in range(max(options.rounds, options.sized(_LEAST, 5))):
        for statement in statements:
            took[statement].append(_imported(statement)["microseconds"])
    figures = {name: Figure.of(samples) for name, samples in took.items()}
    return [
        compared(QUANTITY, OURS, figures[OURS], figures[PEER], TO_PEER),
        timed(QUANTITY, PEER, figures[PEER]),
        timed(
            QUANTITY, SEMCONV, figures[SEMCONV], reach="standard library only",
            holds=not foreign, exact=not foreign, note=f"loads {', '.join(foreign) or 'nothing else'}",
        ),
    ]  # fmt: skip


def _imported(statement: str) -> dict[str, Any]:
    finished = subprocess.run(
        command("imports", statement),
        env=environment(),
        stdout=subprocess.PIPE,
        timeout=_TIMEOUT_S,
        check=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(finished.stdout)
    return found
