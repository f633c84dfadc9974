"""The row about strangers: values that they invent become no label sets."""

import json
import subprocess
from typing import Any

from gwz_bench.child import command, environment
from gwz_bench.options import Options
from gwz_bench.report import Row
from gwz_bench.variants import OURS, PFI, STARLETTE_EXPORTER

VALUES = 200
MOST = 1
_TIMEOUT_S = 120


def hostile(options: Options) -> list[Row]:
    """Invented paths, methods, hosts and mount parameters, against ours and the peers."""
    return hostile_rows([OURS, PFI, STARLETTE_EXPORTER], VALUES if not options.quick else 50)


def hostile_rows(variants: list[str], values: int) -> list[Row]:
    """A row per variant and kind: the most label sets that any metric has gained."""
    return [row for variant in variants for row in _rows(variant, values)]


def _rows(variant: str, values: int) -> list[Row]:
    finished = subprocess.run(
        command("hostile", variant, str(values)),
        env=environment(),
        stdout=subprocess.PIPE,
        timeout=_TIMEOUT_S,
        check=True,
        text=True,
    )
    return [_row(variant, kind, gained, values) for kind, gained in json.loads(finished.stdout).items()]


def _row(variant: str, kind: str, gained: dict[str, int], values: int) -> Row:
    worst, most = max(gained.items(), key=lambda item: item[1], default=("no metric", 0))
    bounded = most <= MOST and bool(gained)
    judged: dict[str, Any] = {"reach": f"≤ {MOST}", "holds": bounded, "exact": bounded} if variant == OURS else {}
    return Row(
        quantity=f"{values} hostile values each: new label sets of a metric",
        variant=f"{variant}, {kind}",
        value=most,
        note=f"{sum(gained.values())} over {len(gained)} metrics" + (f", most in {worst}" if most else ""),
        **judged,
    )
