"""What Backend Health & Service Status has to show."""

from gwz_dashboards import recording
from gwz_dashboards.expectations.kinds import (
    COMMANDS_PER_SECOND,
    COUNT,
    MOMENT,
    REQUESTS_PER_SECOND,
    SCORE,
    SECONDS,
    SHARE,
    WORD,
    Cell,
    Expect,
    Look,
    Origin,
    Quantile,
    Rate,
    Ratio,
    State,
    Told,
    Total,
)
from gwz_dashboards.expectations.shared import (
    FAILED,
    anomalies,
    cpu,
    failing_looks,
    memory,
    overall_health,
    redis_memory,
    score_looks,
)
from gwz_dashboards.panels import GREEN, ORANGE, RED
from gwz_dashboards.queries import Match
from gwz_dashboards.scrape_metrics import INSTANCE
from gwz_instrument.semconv import cache, endpoints, http

_RULE_S = 300.0
_FAILED = (Match(http.STATUS_CODE, FAILED, "=~"),)

PANELS: dict[tuple[int, str], Expect] = {
    (1, "A"): overall_health(),
    (2, "A"): Expect(Total(SCORE, recording.OVERALL_HEALTH.metric, fold="mean", times=100.0), score_looks()),
    (3, "A"): Expect(
        Ratio(
            Rate(REQUESTS_PER_SECOND, http.REQUESTS, _FAILED, window_s=_RULE_S),
            Rate(REQUESTS_PER_SECOND, http.REQUESTS, window_s=_RULE_S),
        ),
        failing_looks(),
    ),
    (3, "B"): Expect(
        Ratio(Total(COUNT, recording.FAILED.metric), Total(COUNT, recording.JUDGED.metric)), failing_looks()
    ),
    (4, "A"): Expect(
        Told(
            endpoints.BREAKERS,
            {
                "Provider": Cell("provider", WORD),
                "State": Cell("state", WORD),
                "Failures": Cell("failure_count", COUNT),
                "Lets through": Cell("is_available", WORD),
                "As of": Cell("last_updated", MOMENT),
            },
            rows="[]",
        ),
        (
            Look("CLOSED", GREEN, "CLOSED", "State"),
            Look("HALF_OPEN", ORANGE, "HALF OPEN", "State"),
            Look("OPEN", RED, "OPEN", "State"),
            Look("true", GREEN, "yes", "Lets through"),
            Look("false", RED, "no", "Lets through"),
        ),
    ),
    (5, "A"): anomalies(),
    (6, "A"): cpu(),
    (6, "B"): memory(),
    (7, "A"): Expect(
        # A tick of the loop is 80 ms: a block may look shorter by as much.
        Origin("loop_lag", SECONDS, absolute=0.1, upward=1.2, by=(INSTANCE,)),
        (Look(0.05, GREEN), Look(0.1, ORANGE), Look(0.5, RED)),
    ),
    (8, "A"): Expect(State(WORD, 1.0), (Look(1, GREEN, "UP"), Look(0, RED, "DOWN"))),
    (9, "A"): redis_memory(),
    (10, "A"): Expect(Origin("redis_keys", COUNT, absolute=3)),
    (11, "A"): Expect(
        Origin("redis_hit_rate", SHARE, absolute=0.02),
        (Look(0.9, GREEN), Look(0.8, GREEN), Look(0.6, ORANGE), Look(0.4, RED)),
    ),
    # Of the minute before, of which the origin was watched for a part.
    (12, "A"): Expect(Origin("redis_commands", COMMANDS_PER_SECOND, relative=0.25)),
    (12, "B"): Expect(Origin("redis_hits", COMMANDS_PER_SECOND, relative=0.1)),
    (12, "C"): Expect(Origin("redis_misses", COMMANDS_PER_SECOND, relative=0.1)),
    (13, "A"): Expect(Quantile(0.95, cache.REDIS_DURATION)),
    (13, "B"): Expect(Origin("redis_call_seconds", SECONDS, relative=0.3)),
}
