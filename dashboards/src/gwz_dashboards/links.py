"""Where a click leads: from a number to the dashboard, the traces and the lines behind it, in the same range of time."""

import json
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

from gwz_dashboards.panels import TEMPO_UID
from gwz_instrument.semconv import Attribute, spans

FLOW_UID = "gwz-request-flow"
SIGNALS_UID = "four-golden-signals-v1"
LOGS_UID = "logs-monitoring-v1"
BACKEND_UID = "backend-health-v1"
GATEWAY_UID = "gateway-comparison-v1"
MODELS_UID = "model-performance-v1"

Link = dashboard.DashboardLink


def to_dashboard(title: str, uid: str, **variables: str) -> Link:
    """Lead to another dashboard, with these of its variables."""
    chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return _link(title, f"/d/{uid}?${{__url_time_range}}{chosen}")


def to_lines(**variables: str) -> Link:
    """Lead to the lines of the logs dashboard."""
    return to_dashboard("Log lines", LOGS_UID, **variables)


def to_traces(title: str, attribute: Attribute, value: str) -> Link:
    """Lead to the traces with a span that has this attribute; `value` may be one of Grafana's own variables."""
    return _explored(title, f'{{span.{attribute.name}="{value}"}}')


def to_failed_traces() -> Link:
    """Lead to the traces of requests that did not succeed."""
    return _explored("Traces of failures", f'{{span.{spans.OUTCOME.name}=~"error|timeout|stream_error"}}')


def _explored(title: str, query: str) -> Link:
    pane = {
        "datasource": TEMPO_UID,
        "queries": [
            {
                "refId": "A",
                "datasource": {"type": "tempo", "uid": TEMPO_UID},
                "queryType": "traceql",
                "query": query,
                "tableType": "traces",
                "limit": 20,
            }
        ],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    # Grafana puts its own variables in only where they are not quoted.
    panes = quote(json.dumps({"gwz": pane}), safe="${}:_.")
    return _link(title, f"/explore?schemaVersion=1&orgId=1&panes={panes}")


def _link(title: str, url: str) -> Link:
    return Link(title).type(DashboardLinkType.LINK).url(url)
