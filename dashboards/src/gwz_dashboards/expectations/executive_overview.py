"""What the Executive Overview has to show."""

from gwz_dashboards.expectations.kinds import (
    COUNT,
    DOLLARS,
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
from gwz_dashboards.expectations.shared import (
    FAILED,
    anomalies,
    cpu,
    failing_looks,
    in_progress,
    memory,
    overall_health,
    percentiles,
)
from gwz_dashboards.panels import GREEN, ORANGE, RED
from gwz_dashboards.queries import Match
from gwz_instrument.semconv import endpoints, http

_HOUR, _DAY = {"hours": 1}, {"hours": 24}
_DURATIONS = percentiles(http.DURATION, 0.5, 0.95)

PANELS: dict[tuple[int, str], Expect] = {
    (1, "A"): in_progress(),
    (2, "A"): Expect(
        Told(endpoints.REALTIME, {"Average": Cell("avg_latency_ms", SECONDS, each=1e-3)}, asked=_HOUR),
        (Look(4_999, GREEN), Look(5_000, ORANGE), Look(15_000, RED)),
    ),
    (3, "A"): Expect(Told(endpoints.REALTIME, {"Cost": Cell("total_cost", DOLLARS)}, asked=_DAY)),
    (4, "A"): Expect(
        Told(endpoints.REALTIME, {"Failed": Cell("error_rate", SHARE)}, asked=_HOUR),
        failing_looks(),
    ),
    (5, "A"): Expect(Rate(REQUESTS_PER_SECOND, http.REQUESTS, (Match(http.STATUS_CODE, FAILED, "!~"),))),
    (5, "B"): Expect(Rate(REQUESTS_PER_SECOND, http.REQUESTS, (Match(http.STATUS_CODE, FAILED, "=~"),))),
    (6, "A"): Expect(
        Told(
            endpoints.REALTIME,
            {"provider": Cell("provider", WORD), "Failed": Cell("failed_requests", COUNT)},
            rows="providers.*",
            asked=_DAY,
        )
    ),
    (7, "A"): overall_health(),
    **{(8, letter): one for letter, one in _DURATIONS.items()},
    (9, "A"): cpu(),
    (9, "B"): memory(),
    (10, "A"): anomalies(),
}
