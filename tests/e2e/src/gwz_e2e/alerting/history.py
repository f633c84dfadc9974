"""A past that no run is long enough to have: what an application of the same job spent before it was deployed anew."""

import shutil
import subprocess
from pathlib import Path

from gwz_instrument.semconv import inference
from gwz_stack import Found
from gwz_stack.errors import StackError

_EVERY_S = 15
INSTANCE = "before:8000"
"""The `instance` of what was there before."""


def steady_spending(job: str, usd_per_s: float, *, until: float, seconds: int) -> str:
    """OpenMetrics text of a counter that grew steadily for so long, up to `until` in unix seconds."""
    labels = f'job="{job}",instance="{INSTANCE}",provider="openrouter",model="openai/gpt-4o-mini"'
    family = inference.CREDITS.name.removesuffix("_total")
    samples = (
        f"{inference.CREDITS.name}{{{labels}}} {age * usd_per_s!r} {until - seconds + age:.3f}\n"
        for age in range(0, seconds, _EVERY_S)
    )
    return f"# TYPE {family} counter\n{''.join(samples)}# EOF\n"


def import_block(promtool: Found, text: str, *, scratch: Path, data: Path) -> None:
    """Put the samples into the folder of a running Prometheus, which looks for new blocks once a minute."""
    scratch.mkdir(parents=True)
    source, blocks = scratch / "samples.txt", scratch / "blocks"
    source.write_text(text, encoding="utf-8")
    made = subprocess.run(
        [promtool.path, "tsdb", "create-blocks-from", "openmetrics", source, blocks],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if made.returncode:
        raise StackError(
            "The past could not be written for Prometheus.",
            cause=f"promtool says: {(made.stderr or made.stdout).strip()[-300:]}",
            cure=f"Look at {source}.",
        )
    for block in blocks.iterdir():
        shutil.move(block, data / block.name)
    shutil.rmtree(scratch)
