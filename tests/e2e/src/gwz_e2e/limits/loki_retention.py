"""Loki deletes lines that are older than the shipped retention, and keeps those that are younger."""

import time
from collections.abc import Mapping
from functools import partial

from gwz_e2e.engines import Loki
from gwz_e2e.hops import Finding
from gwz_e2e.limits.alone import DAY_S, Alone, Overrides, seconds
from gwz_instrument.logs import PUSH_PATH, LokiHandler
from gwz_stack.render import get, shipped

ID = "loki_retention"
OVERRIDES: Overrides = {
    "limits_config.reject_old_samples": False,  # else it would not take lines of more than a week ago
    "compactor.compaction_interval": "5s",
    "compactor.retention_delete_delay": "0s",
}
_AROUND_S = 3600.0
_SEEN_S = 30.0
_GONE_S = 150.0
"""The compactor begins seconds after the start; what it marked is deleted once a minute."""


def prove(loki: Alone, overrides: Overrides = OVERRIDES) -> Finding:
    """Write one line a day older and one a day younger than the retention, see both, wait until the old one is gone."""
    kept_s = seconds(get("loki", shipped("loki"), "limits_config.retention_period"))
    now = time.time()
    written = {"old": now - kept_s - DAY_S, "young": now - kept_s + DAY_S}
    loki.start(overrides)
    for app, at in written.items():
        _write(loki, app, at)
    loki.start(overrides)  # as it stops it stores lines and index, which else takes up to a quarter of an hour
    days = f"lines aged {(now - written['old']) / DAY_S:.0f} and {(now - written['young']) / DAY_S:.0f} days"
    if not loki.until(partial(_holds, loki, written, {"old": 1, "young": 1}, chunks=2), _SEEN_S):
        return Finding(ok=False, sentence=f"{days} were written, but not both were found: {_said(loki, written)}")
    began = time.monotonic()
    loki.until(lambda: _chunks(loki) == 1, _GONE_S)
    took = time.monotonic() - began
    loki.start(overrides)  # it answers out of its memory for a while
    gone = loki.until(partial(_holds, loki, written, {"old": 0, "young": 1}, chunks=1), _SEEN_S)
    figures = {"retention_days": kept_s / DAY_S, "gone_after_s": round(took, 1)}
    if not gone:
        return Finding(
            ok=False,
            sentence=f"{days} were seen; {took:.0f} s later there are {_said(loki, written)}, "
            "instead of only the young one",
            figures=figures,
        )
    return Finding(
        ok=True,
        sentence=f"{days} were seen; {took:.0f} s later the old one was gone, its chunk deleted, "
        f"and the young one still there: {kept_s / DAY_S:.0f} days are kept",
        figures=figures,
    )


def _write(loki: Alone, app: str, at: float) -> None:
    handler = LokiHandler(f"{loki.url}{PUSH_PATH}", tags={"app": app})
    handler.write(level=20, logger=__name__, message=f"the {app} one", created=at)
    handler.drain()


def _holds(loki: Alone, written: Mapping[str, float], lines: Mapping[str, int], *, chunks: int) -> bool:
    return _found(loki, written) == lines and _chunks(loki) == chunks


def _found(loki: Alone, written: Mapping[str, float]) -> dict[str, int]:
    ask = Loki(loki.url)
    return {app: len(ask.lines(f'{{app="{app}"}}', at - _AROUND_S, at + _AROUND_S)) for app, at in written.items()}


def _chunks(loki: Alone) -> int:
    return sum(path.is_file() for path in (loki.data / "chunks" / "fake").rglob("*"))


def _said(loki: Alone, written: Mapping[str, float]) -> str:
    lines = ", ".join(f"{number} {app}" for app, number in _found(loki, written).items())
    return f"{lines} in {_chunks(loki)} chunks"
