"""What Tempo derives from spans and writes to Prometheus: span metrics and the service graph."""

from collections import Counter

from fastapi_app.load.ledger import provider_answered
from gwz_e2e.case import Case
from gwz_e2e.compare import differences, shorten
from gwz_e2e.hops import Finding
from gwz_instrument.semconv import http

_SPAN_LABELS = ("http_request_method", "http_route", "http_response_status_code")
_ANSWERED, _UNANSWERED = "", "virtual_node"


def span_metrics_equal(case: Case) -> Finding:
    """traces_spanmetrics_calls_total says of every route and status what the ledger says."""
    wanted = Counter(
        (entry.method, "" if entry.route == http.UNMATCHED else entry.route, str(entry.status)) for entry in case.ledger
    )
    selector = f'traces_spanmetrics_calls_total{{service="{case.service}", span_kind="SPAN_KIND_SERVER"}}'
    found = case.engines.prometheus.totals(f"sum by ({', '.join(_SPAN_LABELS)}) ({selector})", *_SPAN_LABELS)
    phrases = differences(wanted, found)
    return Finding(
        not phrases,
        f"span metrics: {shorten(phrases)}"
        if phrases
        else f"{sum(wanted.values())} calls over {len(wanted)} series of traces_spanmetrics_calls_total equal the ledger",
    )


def service_graph_equal(case: Case) -> Finding:
    """Edges from the application to each provider: answered calls as calls, unanswered ones apart."""
    wanted = Counter(
        (entry.provider, _ANSWERED if provider_answered(entry) else _UNANSWERED)
        for entry in case.ledger
        if entry.provider
    )
    selector = f'traces_service_graph_request_total{{client="{case.service}"}}'
    found = case.engines.prometheus.totals(
        f"sum by (server, connection_type) ({selector})", "server", "connection_type"
    )
    phrases = differences(wanted, found)
    answered = sum(number for (_, kind), number in wanted.items() if kind == _ANSWERED)
    return Finding(
        not phrases,
        f"service graph: {shorten(phrases)}"
        if phrases
        else f"{answered} answered calls on {len({server for server, _ in wanted})} edges equal the ledger, "
        f"{sum(wanted.values()) - answered} unanswered ones counted apart",
        {"service_graph_answered": answered, "service_graph_unanswered": sum(wanted.values()) - answered},
    )
