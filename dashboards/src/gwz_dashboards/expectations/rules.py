"""What the recording rules have to compute, each by the name of its metric."""

from gwz_dashboards import recording
from gwz_dashboards.expectations.kinds import (
    COUNT,
    DOLLARS,
    REQUESTS_PER_SECOND,
    SHARE,
    Kind,
    Quantile,
    Rate,
    Ratio,
    Total,
)
from gwz_dashboards.expectations.shared import FAILED
from gwz_dashboards.queries import Match
from gwz_instrument.semconv import http, inference

_WINDOW_S = 300.0
_PROVIDER = (inference.PROVIDER,)
_FAILED = (Match(http.STATUS_CODE, FAILED, "=~"),)

RULES: dict[str, Kind] = {
    recording.REQUESTS_FAILED.metric.name: Ratio(
        Rate(REQUESTS_PER_SECOND, http.REQUESTS, _FAILED, window_s=_WINDOW_S),
        Rate(REQUESTS_PER_SECOND, http.REQUESTS, window_s=_WINDOW_S),
    ),
    recording.WORTH.metric.name: Total(COUNT, recording.WORTH.metric, by=_PROVIDER),
    recording.JUDGED.metric.name: Total(COUNT, recording.JUDGED.metric, by=_PROVIDER),
    recording.FAILED.metric.name: Total(COUNT, recording.FAILED.metric, by=_PROVIDER),
    recording.HEALTH_SCORE.metric.name: Total(SHARE, recording.HEALTH_SCORE.metric, by=_PROVIDER),
    recording.OVERALL_HEALTH.metric.name: Total(SHARE, recording.OVERALL_HEALTH.metric, fold="mean"),
    recording.ATTEMPTS_FAILED.metric.name: Total(SHARE, recording.ATTEMPTS_FAILED.metric, by=_PROVIDER),
    recording.CALL_P95.metric.name: Quantile(0.95, inference.DURATION, by=_PROVIDER, window_s=_WINDOW_S),
    recording.COST_RATE.metric.name: Rate(DOLLARS, inference.COST, by=_PROVIDER, window_s=_WINDOW_S),
}
