"""What Tempo derives from spans and writes to Prometheus: span metrics and the service graph."""

from collections import Counter

from fastapi_app.accounts import BROKE
from fastapi_app.load.ledger import answering, provider_answered
from gwz_e2e.case import Case
from gwz_e2e.compare import differences, shorten
from gwz_e2e.hops import Finding
from gwz_instrument.semconv import http

_SPAN_LABELS = ("http_request_method", "http_route", "http_response_status_code")
_UNSET, _ERROR = "STATUS_CODE_UNSET", "STATUS_CODE_ERROR"
_ANSWERED, _UNANSWERED = "", "virtual_node"


def span_metrics_equal(case: Case) -> Finding:
    """traces_spanmetrics_calls_total says of every route and status what the ledger says."""
    wanted = Counter(
        (entry.method, "" if entry.route == http.UNMATCHED else entry.route, str(entry.status)) for entry in case.ledger
    )
    selector = f'traces_spanmetrics_calls_total{{service="{case.service}", span_kind="SPAN_KIND_SERVER"}}'
    found = case.engines.prometheus.totals(f"sum by ({', '.join(_SPAN_LABELS)}) ({selector})", *_SPAN_LABELS)
    phrases = differences(wanted, found) + _charges(case)
    return Finding(
        not phrases,
        f"span metrics: {shorten(phrases)}"
        if phrases
        else f"{sum(wanted.values())} calls over {len(wanted)} series of traces_spanmetrics_calls_total equal the ledger",
    )


def _charges(case: Case) -> list[str]:
    """The tasks that charge customers are traces of their own; that a customer has too little is their error."""
    charged = [entry for entry in case.ledger if entry.cost_usd is not None]
    in_vain = sum(entry.api_key == BROKE.api_key for entry in charged)
    selector = f'traces_spanmetrics_calls_total{{service="{case.service}", span_name="task charge"}}'
    found = case.engines.prometheus.totals(f"sum by (status_code) ({selector})", "status_code")
    wanted = {(_UNSET,): len(charged) - in_vain, (_ERROR,): in_vain}
    return [f"task charge {phrase}" for phrase in differences(wanted, found)]


def service_graph_equal(case: Case) -> Finding:
    """Edges from the application to each provider: answered calls as calls, unanswered ones apart."""
    wanted = Counter((provider, _ANSWERED) for entry in case.ledger for provider in answering(entry))
    wanted.update(
        (entry.provider, _UNANSWERED) for entry in case.ledger if entry.provider and not provider_answered(entry)
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
