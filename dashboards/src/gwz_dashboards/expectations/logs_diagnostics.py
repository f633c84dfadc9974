"""What Logs & Diagnostics has to show."""

from gwz_dashboards.expectations.kinds import (
    REQUESTS_PER_SECOND,
    Expect,
    LineCount,
    LineRate,
    Lines,
    Look,
    Quantile,
    Rate,
    Ratio,
)
from gwz_dashboards.expectations.shared import FAILED
from gwz_dashboards.panels import GREEN, ORANGE, RED
from gwz_dashboards.queries import Match
from gwz_instrument.semconv import http, logs

_ERRORS = ("error", "critical")
_PATH = (http.PATH,)
_ANSWERED = Rate(REQUESTS_PER_SECOND, http.REQUESTS, chosen=_PATH)

PANELS: dict[tuple[int, str], Expect] = {
    (1, "A"): Expect(_ANSWERED),
    (2, "A"): Expect(
        Ratio(Rate(REQUESTS_PER_SECOND, http.REQUESTS, (Match(http.STATUS_CODE, FAILED, "=~"),), _PATH), _ANSWERED),
        (Look(0.005, GREEN), Look(0.01, ORANGE), Look(0.05, RED)),
    ),
    (3, "A"): Expect(Quantile(0.95, http.DURATION, chosen=_PATH), (Look(9.9, GREEN), Look(10, ORANGE), Look(30, RED))),
    (4, "A"): Expect(LineCount(levels=_ERRORS), (Look(0, GREEN), Look(1, ORANGE), Look(50, RED))),
    (5, "A"): Expect(LineRate(by=(logs.LEVEL,))),
    (6, "A"): Expect(LineCount(by=(logs.SERVICE, logs.LEVEL), of_chosen_level=True)),
    (7, "A"): Expect(LineCount(by=(logs.LOGGER,), levels=_ERRORS)),
    (8, "A"): Expect(Lines(levels=_ERRORS, readable=True)),
    (9, "A"): Expect(Lines(of_chosen_level=True, searched=True, readable=True)),
}
