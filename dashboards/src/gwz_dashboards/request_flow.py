"""Request Flow: what the application answered, how fast, and the logs and traces of the same requests."""

from gwz_dashboards import tempo_metrics as tempo
from gwz_dashboards.common import BACKEND, Page, Row, variable
from gwz_dashboards.panels import (
    LINES_SHOWN,
    Panel,
    Shown,
    bad_from,
    bars,
    coloured,
    lines_of_log,
    logql,
    number,
    over_time,
    promql,
    promql_now,
    rows,
    traceql,
)
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
    share,
    summed,
    total,
    traces,
)
from gwz_dashboards.scrape_metrics import INSTANCE, JOB
from gwz_dashboards.shared_panels import readable
from gwz_instrument.semconv import health, http, logs, spans

_APP = Match(http.APP_NAME, "$app")
_LOGS_OF_APP = Match(logs.APP, "$app")
_FAILED = Match(http.STATUS_CODE, "5..", "=~")
_LEVEL_COLOURS = {"debug": "text", "info": "blue", "warning": "orange", "error": "red", "critical": "purple"}


def page() -> Page:
    """Return the dashboard."""
    return Page(
        uid="gwz-request-flow",
        title="Request Flow",
        description="One application's requests as metrics, log lines and traces.",
        folder=BACKEND,
        variables=(variable("app", "Application", label_values(http.APP_INFO, http.APP_NAME)),),
        rows=(
            Row(10, ((4, _requests()), (12, _request_rate()), (8, _error_ratio()))),
            Row(9, ((8, _duration()), (8, _in_progress()), (8, _response_size()))),
            Row(9, ((12, _log_rate()), (12, _span_calls()))),
            Row(9, ((10, _edges()), (7, _exceptions()), (7, _lost()))),
            Row(10, ((24, _traces()),)),
            Row(10, ((24, _lines()),)),
        ),
    )


def _requests() -> Panel:
    return number(
        1,
        "Requests",
        "Requests that have ended since the application's processes started.",
        "locale",
        promql_now(total(http.REQUESTS, _APP), "requests"),
    )


def _request_rate() -> Panel:
    return over_time(
        2,
        "Request rate by route and status",
        "Requests that ended per second. 499: the client left before the response started.",
        "reqps",
        promql(
            rate(http.REQUESTS, _APP, by=(http.METHOD, http.PATH, http.STATUS_CODE)),
            legend(http.METHOD, http.PATH, http.STATUS_CODE),
        ),
    )


def _error_ratio() -> Panel:
    answered = rate(http.REQUESTS, _APP)
    failed = or_zero(rate(http.REQUESTS, _APP, _FAILED), answered)
    panel = over_time(
        3,
        "Error ratio",
        "Share of the requests that were answered with 5xx. Without any request there is no share, and no line.",
        "percentunit",
        promql(share(failed, answered), "5xx"),
    )
    return coloured(panel, {"5xx": "red"})


def _duration() -> Panel:
    return over_time(
        4,
        "Duration",
        "From a request's arrival to the last byte of its response. Each dot is one request: it leads to its trace.",
        "s",
        promql(quantile(0.5, http.DURATION, _APP), "p50"),
        promql(quantile(0.95, http.DURATION, _APP), "p95", exemplars=True),
    )


def _in_progress() -> Panel:
    return over_time(
        5,
        "In progress",
        "Requests that have arrived and not ended. A line that only climbs means that something does not answer.",
        "short",
        promql(total(http.IN_PROGRESS, _APP, by=(http.PATH,)), legend(http.PATH)),
    )


def _response_size() -> Panel:
    return over_time(
        6,
        "Response size, p95",
        "Bytes of the response's body that 95 % of the responses stay within, by route.",
        "decbytes",
        promql(quantile(0.95, http.RESPONSE_SIZE, _APP, by=(http.PATH,)), legend(http.PATH)),
    )


def _exceptions() -> Panel:
    raised = total(http.EXCEPTIONS, _APP, by=(http.EXCEPTION_TYPE,))
    return bars(
        7,
        "Exceptions by type",
        "Exceptions that no handler caught, since the application's processes started; 0 when there was none.",
        "locale",
        promql_now(or_zero(raised, total(http.REQUESTS, _APP)), legend(http.EXCEPTION_TYPE)),
    )


def _log_rate() -> Panel:
    panel = over_time(
        8,
        "Log lines by level",
        "Lines per second that reached Loki. Requests without lines mean that the way to Loki is broken.",
        "cps",
        logql(line_rate(_LOGS_OF_APP, by=(logs.LEVEL,)), legend(logs.LEVEL)),
    )
    return coloured(panel, _LEVEL_COLOURS)


def _span_calls() -> Panel:
    served = (Match(tempo.SERVICE, "$app"), Match(tempo.SPAN_KIND, "SPAN_KIND_SERVER"))
    return over_time(
        9,
        "Requests in traces",
        "Requests per second whose spans reached Tempo, by the status of the span. Far below the request rate: spans are lost, "
        "or sampled.",
        "reqps",
        promql(rate(tempo.SPAN_CALLS, *served, by=(tempo.STATUS_CODE,)), legend(tempo.STATUS_CODE)),
    )


def _lost() -> Panel:
    # It describes processes, not applications: which are the application's, its info says.
    of_app = f"on({JOB.name}, {INSTANCE.name}) group_left() {series(http.APP_INFO, _APP)}"
    return bars(
        13,
        "Telemetry lost",
        "Lines, spans and scrapes that the application's processes have given up since they started.",
        "locale",
        promql_now(
            summed(f"{series(health.DROPPED)} * {of_app}", health.DROPPED, by=(health.SIGNAL,)), legend(health.SIGNAL)
        ),
        steps=bad_from(1, 100),
    )


def _edges() -> Panel:
    outgoing = series(tempo.EDGE_CALLS, Match(tempo.CLIENT, "$app"))
    incoming = series(tempo.EDGE_CALLS, Match(tempo.SERVER, "$app"))
    return bars(
        10,
        "Calls from client to server",
        "Calls into and out of this application since Tempo started, each seen from both sides. A missing bar: no span came from there.",
        "locale",
        promql_now(
            summed(f"{outgoing} or {incoming}", tempo.EDGE_CALLS, by=(tempo.CLIENT, tempo.SERVER)),
            f"{legend(tempo.CLIENT)} → {legend(tempo.SERVER)}",
        ),
    )


def _traces() -> Panel:
    return rows(
        11,
        "Recent traces",
        "Up to 20 traces of the range in which this application served a request, not always the newest; the id opens one.",
        traceql(traces(spans.SERVICE_NAME, "$app", kind="server")),
        shown={"Trace ID": Shown(width=300)},
    )


def _lines() -> Panel:
    return lines_of_log(
        12,
        "Log lines",
        f"The newest {LINES_SHOWN} lines that this application logged; a line's details lead to its trace.",
        readable(lines(_LOGS_OF_APP)),
    )
