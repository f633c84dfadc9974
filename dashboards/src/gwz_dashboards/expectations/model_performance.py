"""What Model Performance Analytics has to show."""

from gwz_dashboards.expectations.kinds import (
    COUNT,
    DOLLARS,
    REQUESTS_PER_SECOND,
    SECONDS,
    SHARE,
    TOKENS_PER_SECOND,
    WORD,
    Cell,
    Expect,
    Look,
    Quantile,
    Rate,
    Told,
)
from gwz_dashboards.expectations.shared import failing_looks, percentiles
from gwz_dashboards.panels import GREEN, ORANGE, RED
from gwz_instrument.semconv import endpoints, inference

_CHOSEN = (inference.PROVIDER, inference.MODEL)
_MODEL = (inference.MODEL,)
_WHO = {"Model": Cell("model", WORD), "Provider": Cell("provider", WORD)}


def _trending(limit: int, sort_by: str, cells: dict[str, Cell], *looks: Look) -> Expect:
    asked: dict[str, int | str] = {"limit": limit, "sort_by": sort_by, "time_range": "24h"}
    return Expect(Told(endpoints.TRENDING, {**_WHO, **cells}, rows="data[]", asked=asked), looks)


PANELS: dict[tuple[int, str], Expect] = {
    (1, "A"): _trending(5, "requests", {"Calls": Cell("requests", COUNT), "Success": Cell("success_rate", SHARE)}),
    (2, "A"): _trending(
        10,
        "errors",
        {
            "Failed": Cell("failed_requests", COUNT),
            "Share": Cell("error_rate", SHARE),
            "p95": Cell("p95_latency", SECONDS, each=1e-3),
        },
        *failing_looks("Share"),
        *(Look(value, to, column="p95") for value, to in ((9_999, GREEN), (10_000, ORANGE), (30_000, RED))),
    ),
    (3, "A"): Expect(Rate(REQUESTS_PER_SECOND, inference.REQUESTS, chosen=_CHOSEN, by=_MODEL)),
    (4, "A"): _trending(
        15, "cost", {"Per call": Cell("cost_per_request", DOLLARS), "Total": Cell("total_cost", DOLLARS)}
    ),
    **{(5, letter): one for letter, one in percentiles(inference.DURATION, 0.5, 0.95, 0.99, chosen=_CHOSEN).items()},
    (6, "A"): Expect(Quantile(0.95, inference.DURATION, chosen=_CHOSEN, by=_MODEL)),
    (7, "A"): Expect(Quantile(0.95, inference.FIRST_CHUNK, chosen=_CHOSEN, by=_MODEL)),
    (8, "A"): Expect(Rate(TOKENS_PER_SECOND, inference.TOKENS, chosen=_CHOSEN, by=(inference.TOKEN_TYPE,))),
}
