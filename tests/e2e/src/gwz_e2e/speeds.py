"""How fast an application's calls were, by Prometheus alone: quantiles by its own `histogram_quantile`, means, counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from gwz_e2e.checks.metrics import Selector
from gwz_instrument.semconv import inference

SHARES = (0.5, 0.95, 0.99)
_BY = ((), ("provider",), ("provider", "model"))

Key = tuple[str, ...]


@dataclass(frozen=True)
class Speeds:
    """Seconds, by nothing, by provider, and by provider and model."""

    quantiles: Mapping[tuple[float, Key], float]
    sums: Mapping[Key, float]
    counts: Mapping[Key, float]

    @classmethod
    def read(cls, of: Selector) -> Self:
        """Ask Prometheus."""
        name = inference.DURATION.name
        quantiles = {
            (share, key): value
            for share in SHARES
            for by in _BY
            for key, value in of.quantiles(share, f"{name}_bucket", *by).items()
        }
        sums = {key: value for by in _BY for key, value in of.totals(f"{name}_sum", *by).items()}
        counts = {key: value for by in _BY for key, value in of.totals(f"{name}_count", *by).items()}
        return cls(quantiles, sums, counts)


def bucket_of(seconds: float) -> float:
    """The lower bound of the bucket in which a duration lies."""
    return max((bound for bound in inference.DURATION.buckets if bound < seconds), default=0.0)
