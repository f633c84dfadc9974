"""The names in a query, for those who hold queries against what is declared."""

import re
from collections.abc import Iterator

from gwz_dashboards import recording, redis_metrics, scrape_metrics, tempo_metrics
from gwz_instrument.semconv import METRICS

_ELSEWHERE = (*tempo_metrics.METRICS, *redis_metrics.METRICS, *scrape_metrics.METRICS, *recording.METRICS)
DECLARED = {metric.name: metric for metric in (*METRICS, *_ELSEWHERE)}
"""Every metric that a query may ask for: those of the contract, and those that other servers make."""
MADE_BY_PROMETHEUS = {"le"} | {label.name for label in scrape_metrics.ADDED}


def metric_names(expression: str) -> set[str]:
    """Find what is named before a selector: all our builders write one, even when it is empty."""
    return {_family(name) for name in re.findall(r"([A-Za-z_:][\w:]*)\{", expression)}


def label_names(expression: str) -> Iterator[str]:
    """Find the labels that are asked for, grouped by or matched on."""
    yield from re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', expression)
    for group in re.findall(r"\b(?:by|on) ?\(([^)]*)\)", expression):
        yield from (name.strip() for name in group.split(",") if name.strip())


def _family(name: str) -> str:
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in DECLARED and DECLARED[base].kind == "histogram" else name
