"""Logs & Diagnostics: rate, errors and duration of the requests; then the lines, counted, and as they come."""

from gwz_dashboards import filters, links
from gwz_dashboards.common import LOGS, Page, Row, choice, stream_filter, text_box
from gwz_dashboards.filters import IN_ENVIRONMENT, ON_PATH
from gwz_dashboards.panels import (
    LINES_SHOWN,
    Panel,
    bad_from,
    bars,
    coloured,
    lines_of_log,
    logql,
    logql_now,
    number,
    over_time,
    promql,
    stacked,
)
from gwz_dashboards.queries import (
    Match,
    legend,
    line_count,
    line_rate,
    lines,
    parsed,
    quantile,
    rate,
)
from gwz_dashboards.shared_panels import readable, request_errors
from gwz_instrument.semconv import http, logs

_ERRORS = "error|critical"
_STREAMS = (Match(logs.APP, ".+", "=~"), Match(logs.ENV, "$env", "=~"), Match(logs.SERVICE, "$service", "=~"))
_OF_ERRORS = (*_STREAMS, Match(logs.LEVEL, _ERRORS, "=~"))
_OF_LEVEL = (*_STREAMS, Match(logs.LEVEL, "$level", "=~"))
_LEVEL_COLOURS = {"debug": "text", "info": "blue", "warning": "orange", "error": "red", "critical": "purple"}
_EVERY_STREAM = "{" + f'{logs.APP.name}=~".+"' + "}"


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid=links.LOGS_UID,
        title="Logs & Diagnostics",
        description="Rate, errors and duration, and the lines behind them. Search, level and path narrow the lines at the bottom.",
        folder=LOGS,
        variables=(
            filters.environment(),
            stream_filter("env", "Lines of", logs.ENV, _EVERY_STREAM),
            stream_filter("service", "Service", logs.SERVICE, _EVERY_STREAM),
            choice("level", "Level", {"all": ".+", "errors": _ERRORS, **{level: level for level in logs.LEVELS}}),
            filters.path(),
            text_box("search", "Search"),
        ),
        refresh="10s",
        since="now-1h",
        rows=(
            Row(5, ((6, _request_rate()), (6, _error_ratio()), (6, _duration()), (6, _errors()))),
            Row(9, ((8, _by_level()), (8, _by_service()), (8, _by_logger()))),
            Row(10, ((24, _recent_errors()),)),
            Row(14, ((24, _search()),)),
        ),
    )


def _request_rate() -> Panel:
    return number(
        1,
        "Rate",
        "Requests per second that ended, on the chosen paths.",
        "reqps",
        promql(rate(http.REQUESTS, IN_ENVIRONMENT, ON_PATH), "requests"),
        trend=True,
    )


def _error_ratio() -> Panel:
    return number(
        2,
        "Errors",
        "Share of the requests on the chosen paths that were answered with 5xx.",
        "percentunit",
        promql(request_errors(ON_PATH), "5xx"),
        steps=bad_from(0.01, 0.05),
        trend=True,
        nothing="No requests",
        links=(links.to_failed_traces(),),
    )


def _duration() -> Panel:
    return number(
        3,
        "Duration, p95",
        "Seconds within which 95 % of the requests on the chosen paths were answered to the last byte.",
        "s",
        promql(quantile(0.95, http.DURATION, IN_ENVIRONMENT, ON_PATH), "p95"),
        steps=bad_from(10, 30),
        trend=True,
        nothing="No requests",
    )


def _errors() -> Panel:
    counted = line_count(lines(*_OF_ERRORS))
    return number(
        4,
        "Error lines",
        "Lines of the range at the levels error and critical; 0 only while there are other lines.",
        "locale",
        logql_now(f"{counted} or {line_count(lines(*_STREAMS))} * 0", "errors"),
        steps=bad_from(1, 50),
        nothing="No lines",
    )


def _by_level() -> Panel:
    panel = over_time(
        5,
        "Lines by level",
        "Lines per second that reached Loki. Requests without lines mean that the way to Loki is broken.",
        "cps",
        logql(line_rate(*_STREAMS, by=(logs.LEVEL,)), legend(logs.LEVEL)),
    )
    return stacked(coloured(panel, _LEVEL_COLOURS))


def _by_service() -> Panel:
    by = (logs.SERVICE, logs.LEVEL)
    return bars(
        6,
        "Lines by service and level",
        "Lines of the range.",
        "locale",
        logql_now(line_count(lines(*_OF_LEVEL), by), legend(*by)),
        rows_of=(logs.SERVICE.name, logs.LEVEL.name),
        nothing="No lines",
    )


def _by_logger() -> Panel:
    by = (logs.LOGGER,)
    return bars(
        7,
        "Errors by logger",
        "Lines of the range at the levels error and critical, by the logger that wrote them.",
        "locale",
        logql_now(line_count(parsed(lines(*_OF_ERRORS), logs.LOGGER), by), legend(*by)),
        rows_of=(logs.LOGGER.name,),
        nothing="No errors",
    )


def _recent_errors() -> Panel:
    return lines_of_log(
        8,
        "Recent errors",
        f"The newest {LINES_SHOWN} lines at the levels error and critical; a line's details lead to its trace.",
        readable(lines(*_OF_ERRORS)),
        nothing="No errors in this range",
    )


def _search() -> Panel:
    found = lines(*_OF_LEVEL, containing="$search")
    return lines_of_log(
        9,
        "Search",
        f"The newest {LINES_SHOWN} lines of the chosen services, level and paths in which the searched pattern is, in upper "
        "or lower case; a line's details lead to its trace.",
        readable(found, f'| {logs.PATH.name}=~"$path"'),
        nothing="Nothing found: widen the range, the level or the search",
    )
