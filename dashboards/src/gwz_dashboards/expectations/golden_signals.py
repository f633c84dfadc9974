"""What the Four Golden Signals have to show."""

from gwz_dashboards.expectations.kinds import (
    COUNT,
    MOMENT,
    REQUESTS_PER_SECOND,
    SECONDS,
    SHARE,
    WORD,
    Cell,
    Expect,
    Look,
    Rate,
    Told,
)
from gwz_dashboards.expectations.shared import cpu, failing_looks, in_progress, memory, percentiles, redis_memory
from gwz_dashboards.panels import GREEN, ORANGE, RED
from gwz_instrument.semconv import endpoints, http, inference

_SLOW = (Look(9_999, GREEN), Look(10_000, ORANGE), Look(30_000, RED))
_PATH = (http.PATH,)


def _of_hour(title: str, cell: Cell, *looks: Look) -> Expect:
    return Expect(Told(endpoints.REALTIME, {title: cell}, asked={"hours": 1}), looks)


def _latency(title: str, field: str) -> Expect:
    return _of_hour(title, Cell(field, SECONDS, each=1e-3), *_SLOW)


def _by_hour(title: str, cell: Cell, *looks: Look) -> Expect:
    cells = {"time": Cell("time", MOMENT), title: cell}
    return Expect(Told(endpoints.REALTIME, cells, rows="series[]", asked={"hours": 24}), looks)


PANELS: dict[tuple[int, str], Expect] = {
    (1, "A"): _latency("p50", "p50_latency"),
    (2, "A"): _latency("p95", "p95_latency"),
    (3, "A"): _latency("p99", "p99_latency"),
    (4, "A"): _latency("average", "avg_latency_ms"),
    **{(5, letter): one for letter, one in percentiles(inference.DURATION, 0.5, 0.95, 0.99).items()},
    (6, "A"): _of_hour("calls", Cell("total_requests", COUNT)),
    (7, "A"): Expect(Rate(REQUESTS_PER_SECOND, http.REQUESTS, chosen=_PATH)),
    (8, "A"): in_progress(),
    (9, "A"): _by_hour("calls", Cell("total_requests", COUNT)),
    (10, "A"): _of_hour("failed", Cell("error_rate", SHARE), *failing_looks()),
    (11, "A"): _of_hour("failures", Cell("total_errors", COUNT)),
    (12, "A"): Expect(
        Told(
            endpoints.TRENDING,
            {
                "Model": Cell("model", WORD),
                "Provider": Cell("provider", WORD),
                "Failed": Cell("failed_requests", COUNT),
                "Share": Cell("error_rate", SHARE),
            },
            rows="data[]",
            asked={"limit": 5, "sort_by": "errors", "time_range": "24h"},
        ),
        failing_looks("Share"),
    ),
    (13, "A"): _by_hour("failed", Cell("error_rate", SHARE), *failing_looks()),
    (14, "A"): cpu(),
    (15, "A"): memory(),
    (16, "A"): redis_memory(),
    (17, "A"): cpu(),
    (17, "B"): memory(),
    (17, "C"): redis_memory(),
}
