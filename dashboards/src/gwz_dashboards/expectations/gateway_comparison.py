"""What Gateway & Provider Comparison has to show."""

from gwz_dashboards import recording
from gwz_dashboards.expectations.kinds import (
    COUNT,
    DOLLARS,
    SCORE,
    SECONDS,
    SHARE,
    WORD,
    Cell,
    Expect,
    Look,
    Quantile,
    Rate,
    Told,
    Total,
)
from gwz_dashboards.expectations.shared import failing_looks, score_looks
from gwz_dashboards.panels import GREEN, ORANGE, RED
from gwz_instrument.semconv import endpoints, inference

_RULE_S = 300.0
_PROVIDER = (inference.PROVIDER,)
_NAMED = {"provider": Cell("provider", WORD)}
_DAY = {"hours": 24}


def _up_looks(column: str) -> tuple[Look, ...]:
    return Look(0.96, GREEN, column=column), Look(0.94, ORANGE, column=column), Look(0.8, RED, column=column)


PANELS: dict[tuple[int, str], Expect] = {
    (1, "A"): Expect(
        Told(endpoints.HEALTH, {**_NAMED, "status": Cell("status", WORD)}, rows="[]"),
        (
            Look("healthy", GREEN, "HEALTHY"),
            Look("degraded", ORANGE, "DEGRADED"),
            Look("unhealthy", RED, "UNHEALTHY"),
            Look("unknown", "text", "NO TRAFFIC"),
        ),
    ),
    (2, "A"): Expect(
        Told(endpoints.HEALTH, {**_NAMED, "Health score": Cell("health_score", SCORE)}, rows="[]"), score_looks()
    ),
    (3, "A"): Expect(
        Told(
            endpoints.REALTIME,
            {
                **_NAMED,
                "Health": Cell("health_score", SCORE),
                "Calls": Cell("total_requests", COUNT),
                "Failed": Cell("error_rate", SHARE),
                "Cost": Cell("total_cost", DOLLARS),
            },
            rows="providers.*",
            asked=_DAY,
        ),
        (*score_looks("Health"), *failing_looks("Failed")),
    ),
    (3, "B"): Expect(
        Told(
            endpoints.AVAILABILITY,
            {**_NAMED, "Uptime": Cell("availability", SHARE)},
            rows="providers.*",
            asked={"days": 1},
        ),
        _up_looks("Uptime"),
    ),
    (3, "C"): Expect(Quantile(0.95, inference.DURATION, by=_PROVIDER, window_s=3600.0, quantity=SECONDS)),
    (4, "A"): Expect(
        Told(
            endpoints.REALTIME,
            {
                **_NAMED,
                "Cost": Cell("total_cost", DOLLARS),
                "Success": Cell("success_rate", SHARE),
                "Requests": Cell("total_requests", COUNT),
            },
            rows="providers.*",
            asked=_DAY,
        ),
        _up_looks(""),
    ),
    (5, "A"): Expect(
        Told(endpoints.REALTIME, {**_NAMED, "Calls": Cell("total_requests", COUNT)}, rows="providers.*", asked=_DAY)
    ),
    (6, "A"): Expect(
        Told(endpoints.COSTS, {**_NAMED, "Cost": Cell("total_cost", DOLLARS)}, rows="providers.*", asked={"days": 7})
    ),
    (7, "A"): Expect(Quantile(0.95, inference.DURATION, chosen=_PROVIDER, by=_PROVIDER, window_s=_RULE_S)),
    (8, "A"): Expect(Rate(DOLLARS, inference.COST, chosen=_PROVIDER, by=_PROVIDER, window_s=_RULE_S, times=3600.0)),
    (9, "A"): Expect(
        Total(SHARE, recording.ATTEMPTS_FAILED.metric, chosen=_PROVIDER, by=_PROVIDER, fold="max"),
        (Look(0.05, GREEN), Look(0.1, ORANGE), Look(0.5, RED)),
    ),
}
