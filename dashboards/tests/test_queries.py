"""The query builders."""

import pytest

from gwz_dashboards.queries import (
    Match,
    label_values,
    legend,
    line_rate,
    lines,
    or_zero,
    quantile,
    rate,
    series,
    total,
    traces,
)
from gwz_instrument.semconv import http, logs, spans

pytestmark = pytest.mark.dashboard
APP = Match(http.APP_NAME, "gw")


def test_series_are_selected_by_labels() -> None:
    assert series(http.REQUESTS, APP, Match(http.STATUS_CODE, "5..", "=~")) == (
        'fastapi_requests_total{app_name="gw", status_code=~"5.."}'
    )


def test_totals_are_summed_with_and_without_labels() -> None:
    assert total(http.REQUESTS, APP) == 'sum(fastapi_requests_total{app_name="gw"})'
    assert total(http.REQUESTS, by=(http.PATH, http.METHOD)) == "sum by (path, method) (fastapi_requests_total{})"


def test_rates_span_enough_scrapes() -> None:
    assert rate(http.REQUESTS, APP) == 'sum(rate(fastapi_requests_total{app_name="gw"}[$__rate_interval]))'


def test_a_quantile_keeps_the_buckets_apart() -> None:
    assert quantile(0.95, http.DURATION, APP, by=(http.PATH,)) == (
        "histogram_quantile(0.95, sum by (le, path) "
        '(rate(fastapi_requests_duration_seconds_bucket{app_name="gw"}[$__rate_interval])))'
    )


def test_nothing_counts_as_zero_only_beside_a_witness() -> None:
    assert or_zero("a", "b") == "a or on() (b * 0)"


def test_log_queries_select_streams() -> None:
    app = Match(logs.APP, "gw")
    assert lines(app) == '{app="gw"}'
    assert line_rate(app, by=(logs.LEVEL,)) == 'sum by (level) (rate({app="gw"}[1m]))'


def test_traces_are_selected_by_a_resource_attribute() -> None:
    assert traces(spans.SERVICE_NAME, "gw", kind="server") == '{resource.service.name="gw" && kind=server}'


def test_a_legend_names_the_labels() -> None:
    assert legend(http.METHOD, http.PATH) == "{{method}} {{path}}"


def test_a_variable_asks_for_label_values() -> None:
    assert label_values(http.APP_INFO, http.APP_NAME) == "label_values(fastapi_app_info, app_name)"


def test_a_label_that_the_metric_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(ValueError, match="fastapi_exceptions_total has no label path: it has app_name, exception_type"):
        total(http.EXCEPTIONS, by=(http.PATH,))
    with pytest.raises(ValueError, match="fastapi_exceptions_total has no label path"):
        series(http.EXCEPTIONS, Match(http.PATH, "/"))
    with pytest.raises(ValueError, match="has no label status_code"):
        quantile(0.5, http.DURATION, by=(http.STATUS_CODE,))


def test_a_label_that_log_streams_lack_is_refused() -> None:
    with pytest.raises(ValueError, match="a log stream has no label path: it has app, env, level, service"):
        lines(Match(http.PATH, "/"))
    with pytest.raises(ValueError, match="a log stream has no label path"):
        line_rate(Match(logs.APP, "gw"), by=(http.PATH,))
