"""Quantiles of a histogram, as Prometheus interpolates them."""

from collections.abc import Mapping
from math import inf

from .store import Sums

Buckets = Mapping[float, float]
"""Cumulative counts by upper bound; the last bound is infinite."""


def quantile(share: float, buckets: Buckets) -> float | None:
    """The value below which a share of the observations lies, interpolated within its bucket; None without observations.

    What is beyond the last finite bound counts as that: it is at least so much.
    """
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    rank, below, before = share * buckets[bounds[-1]], 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank and count > before:
            return below if bound == inf else below + (bound - below) * (rank - before) / (count - before)
        below, before = bound, count
    return below


def by_group(sums: Sums) -> dict[tuple[str, ...], dict[float, float]]:
    """Increases of buckets, whose keys end in the bound, as the buckets of each group."""
    groups: dict[tuple[str, ...], dict[float, float]] = {}
    for key, count in sums.items():
        groups.setdefault(key[:-1], {})[float(key[-1])] = count
    return groups
