"""Prometheus deletes blocks that are older than the shipped retention, and keeps those that are younger."""

import time
from collections.abc import Mapping
from pathlib import Path

from gwz_e2e.hops import Finding
from gwz_e2e.limits.alone import DAY_S, Alone, client, seconds
from gwz_stack.dockerfile import dockerfile
from gwz_stack.errors import StackError, writing
from gwz_stack.promtool import blocks_of_samples

ID = "prometheus_retention"
_FLAG = "--storage.tsdb.retention.time="
_METRIC = "gwz_limits_aged"
_NEWEST_S = 4 * 3600.0
"""Before what the server has in memory: its own blocks are of two hours."""
_SEEN_S = 30.0
_GONE_S = 180.0
"""It looks for blocks once a minute."""


def prove(prometheus: Alone, promtool: Path) -> Finding:
    """Import a block a day older and one a day younger than the retention, see both; with a new block the old one goes."""
    kept_s = retention_s(dockerfile("prometheus").command)
    now = time.time()
    old, young, new = now - kept_s - DAY_S, now - kept_s + DAY_S, now - _NEWEST_S
    _import(prometheus, promtool, {"old": old, "young": young})
    prometheus.start({})
    days = f"blocks aged {(now - old) / DAY_S:.0f} and {(now - young) / DAY_S:.0f} days"
    if not prometheus.until(lambda: _found(prometheus, old, young) == ["old", "young"], _SEEN_S):
        seen = _found(prometheus, old, young)
        return Finding(ok=False, sentence=f"{days} were imported, but only {seen} were found")
    before = _blocks(prometheus)
    _import(prometheus, promtool, {"new": new})
    began = time.monotonic()
    gone = prometheus.until(
        lambda: _found(prometheus, old, young, new) == ["young", "new"] and _blocks(prometheus) == before, _GONE_S
    )
    took = time.monotonic() - began
    figures = {"retention_days": kept_s / DAY_S, "gone_after_s": round(took, 1)}
    if not gone:
        return Finding(
            ok=False,
            sentence=f"{days} were seen; {took:.0f} s after a new block came, {_found(prometheus, old, young, new)} "
            f"are there in {_blocks(prometheus)} blocks, instead of the young and the new one",
            figures=figures,
        )
    return Finding(
        ok=True,
        sentence=f"{days} were seen; {took:.0f} s after a new block came the old one was gone, its folder deleted, "
        f"and the young one still there: {kept_s / DAY_S:.0f} days are kept, counted from the newest block",
        figures=figures,
    )


def retention_s(command: tuple[str, ...]) -> float:
    """How long the shipped command keeps samples, in seconds; StackError where it does not say."""
    for word in command:
        if word.startswith(_FLAG):
            return seconds(word.removeprefix(_FLAG))
    raise StackError(
        "Prometheus is started without a retention.",
        cause=f"Its Dockerfile has no {_FLAG}…",
        cure="Add it there: the default may change with the version.",
    )


def _import(prometheus: Alone, promtool: Path, samples: Mapping[str, float]) -> None:
    """Make blocks of one sample each, in Prometheus's folder."""
    text = prometheus.data.parent / f"{'-'.join(samples)}.om"
    lines = [f"# TYPE {_METRIC} gauge", *(f'{_METRIC}{{age="{age}"}} 1 {at:.3f}' for age, at in samples.items())]
    with writing(text):
        prometheus.data.mkdir(parents=True, exist_ok=True)
        text.write_text("\n".join([*lines, "# EOF"]) + "\n", encoding="utf-8")
    blocks_of_samples(promtool, text, prometheus.data)


def _found(prometheus: Alone, *times: float) -> list[str]:
    with client(prometheus.url) as ask:
        answers = [
            ask.get("/api/v1/query", params={"query": _METRIC, "time": f"{at:.3f}"}).raise_for_status() for at in times
        ]
    return [series["metric"]["age"] for answer in answers for series in answer.json()["data"]["result"]]


def _blocks(prometheus: Alone) -> int:
    return len(list(prometheus.data.glob("*/meta.json")))
