"""What Request Flow has to show."""

from gwz_dashboards import tempo_metrics as tempo
from gwz_dashboards.expectations.kinds import (
    BYTES,
    COUNT,
    REQUESTS_PER_SECOND,
    Expect,
    LineRate,
    Lines,
    Look,
    Quantile,
    Rate,
    Ratio,
    Total,
    Traces,
)
from gwz_dashboards.expectations.shared import FAILED, in_progress, percentiles
from gwz_dashboards.panels import GREEN, ORANGE, RED
from gwz_dashboards.queries import Match
from gwz_instrument.semconv import health, http, logs, spans

_SERVED = (Match(tempo.SPAN_KIND, "SPAN_KIND_SERVER"),)

PANELS: dict[tuple[int, str], Expect] = {
    (1, "A"): Expect(Total(COUNT, http.REQUESTS)),
    (2, "A"): Expect(Rate(REQUESTS_PER_SECOND, http.REQUESTS, by=(http.METHOD, http.PATH, http.STATUS_CODE))),
    (3, "A"): Expect(
        Ratio(
            Rate(REQUESTS_PER_SECOND, http.REQUESTS, (Match(http.STATUS_CODE, FAILED, "=~"),)),
            Rate(REQUESTS_PER_SECOND, http.REQUESTS),
        )
    ),
    **{(4, letter): one for letter, one in percentiles(http.DURATION, 0.5, 0.95).items()},
    (5, "A"): in_progress(by=(http.PATH,)),
    (6, "A"): Expect(Quantile(0.95, http.RESPONSE_SIZE, by=(http.PATH,), quantity=BYTES)),
    (7, "A"): Expect(Total(COUNT, http.EXCEPTIONS, by=(http.EXCEPTION_TYPE,))),
    (8, "A"): Expect(LineRate(by=(logs.LEVEL,))),
    (9, "A"): Expect(Rate(REQUESTS_PER_SECOND, tempo.SPAN_CALLS, _SERVED, by=(tempo.STATUS_CODE,))),
    (10, "A"): Expect(Total(COUNT, tempo.EDGE_CALLS, by=(tempo.CLIENT, tempo.SERVER))),
    (11, "A"): Expect(Traces(spans.SERVICE_NAME)),
    (12, "A"): Expect(Lines(readable=True)),
    (13, "A"): Expect(
        Total(COUNT, health.DROPPED, by=(health.SIGNAL,)), (Look(0, GREEN), Look(1, ORANGE), Look(100, RED))
    ),
}
