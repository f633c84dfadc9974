"""What is expected of panels that stand on more than one dashboard."""

from gwz_dashboards.expectations.kinds import (
    BY_ITS_KIND,
    COUNT,
    MOMENT,
    SCORE,
    SHARE,
    WORD,
    Cell,
    Expect,
    Look,
    Origin,
    Quantile,
    Told,
)
from gwz_dashboards.panels import GREEN, ORANGE, RED
from gwz_instrument.semconv import Label, Metric, endpoints

FAILED = "5.."
_SHARES_OF_CALLS = ((0.02, GREEN), (0.05, ORANGE), (0.1, RED))
_SHARES_OF_ROOM = ((0.5, GREEN), (0.8, ORANGE), (0.9, RED))
_SCORES = ((95.0, GREEN), (80.0, GREEN), (79.0, ORANGE), (60.0, ORANGE), (59.0, RED))


def failing_looks(column: str = "") -> tuple[Look, ...]:
    """A share of calls that failed: from 5 % on it warns, from 10 % on it is red."""
    return tuple(Look(value, colour, column=column) for value, colour in _SHARES_OF_CALLS)


def filling_looks() -> tuple[Look, ...]:
    """A share of what there is: from 80 % on it warns, from 90 % on it is red."""
    return tuple(Look(value, colour) for value, colour in _SHARES_OF_ROOM)


def score_looks(column: str = "") -> tuple[Look, ...]:
    """A health score: red below 60, green from 80."""
    return tuple(Look(value, colour, column=column) for value, colour in _SCORES)


def overall_health() -> Expect:
    """The mean score of the providers."""
    cells = {"Health score": Cell("avg_health_score", SCORE)}
    return Expect(Told(endpoints.REALTIME, cells, asked={"hours": 1}), score_looks())


def anomalies() -> Expect:
    """Whatever departs from its baseline; nothing in the ledger's load does, for there is no day before it."""
    cells = {
        "Severity": Cell("severity", WORD),
        "Kind": Cell("type", WORD),
        "Provider": Cell("provider", WORD),
        "Value": Cell("value", BY_ITS_KIND),
        "Expected": Cell("expected", BY_ITS_KIND),
        "Since": Cell("hour", MOMENT),
    }
    looks = (
        Look("critical", RED, "CRITICAL", "Severity"),
        Look("warning", ORANGE, "WARNING", "Severity"),
        Look("error_surge", "text", "Error surge", "Kind"),
        Look("cost_spike", "text", "Cost spike", "Kind"),
        Look("latency_spike", "text", "Latency spike", "Kind"),
        Look("unusual_pattern", "text", "Unusual pattern", "Kind"),
    )
    return Expect(Told(endpoints.ANOMALIES, cells, rows="anomalies[]"), looks)


def percentiles(metric: Metric, *shares: float, chosen: tuple[Label, ...] = ()) -> dict[str, Expect]:
    """The quantiles of one panel, by the letters of its queries: the slowest are shown with their exemplars."""
    return {
        letter: Expect(Quantile(share, metric, chosen=chosen, exemplars=share == shares[-1]))
        for letter, share in zip("ABC", shares, strict=False)
    }


def in_progress(by: tuple[Label, ...] = ()) -> Expect:
    """Requests that have not ended: one is held while it is asked for."""
    return Expect(Origin("in_progress", COUNT, by=by))


def cpu() -> Expect:
    """Processor time of the application's process: the kernel's word over the seconds before, which are not the same ones."""
    return Expect(Origin("cpu", SHARE, relative=0.35), filling_looks())


def memory() -> Expect:
    """Memory of the application's process, which goes on meanwhile."""
    return Expect(Origin("memory", SHARE, relative=0.1), filling_looks())


def redis_memory() -> Expect:
    """Memory of Redis as a share of its limit; buffers of the clients that ask come and go."""
    return Expect(Origin("redis_memory", SHARE, relative=0.1), filling_looks())
