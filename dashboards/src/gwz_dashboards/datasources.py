"""The four data sources, three joined so that an exemplar leads to its trace, a trace to its logs and metrics, and a line to its trace."""

from typing import Any

from gwz_dashboards import queries, tempo_metrics
from gwz_dashboards.json_queries import API_TYPE, API_UID
from gwz_dashboards.panels import LOKI_UID, PROMETHEUS_UID, TEMPO_UID
from gwz_dashboards.queries import Match
from gwz_instrument.semconv import logs

# The scrape interval of stack/prometheus/prometheus.yml: `$__rate_interval` becomes four times it.
SCRAPE_INTERVAL = "15s"
_API_URL = "${GWZ_API_URL}"
# Mimir, Loki and Tempo with several tenants answer whoever names one; without its variable no header is sent.
_TENANT_HEADER = {"httpHeaderName1": "X-Scope-OrgID"}

# A trace's lines are looked for in all applications: the provider that failed may have logged the reason.
_LINES_OF_TRACE = f'{queries.lines(Match(logs.APP, ".+", "=~"))} | {logs.TRACE_ID.name}="${{__trace.traceId}}"'
# Grafana puts the span's labels, translated by the `tags` below, in the place of `$__tags`.
_SPAN_RATE = f"sum by ({tempo_metrics.SPAN_NAME.name}) (rate({tempo_metrics.SPAN_CALLS.name}{{$__tags}}[5m]))"


def datasources() -> list[dict[str, Any]]:
    """Describe the data sources as Grafana's API takes them; `${NAME}` is filled in from the operator's environment."""
    return [
        {
            **_proxied(PROMETHEUS_UID, "Prometheus", "prometheus", "${PROMETHEUS_INTERNAL_URL}"),
            "isDefault": True,
            "jsonData": {
                **_TENANT_HEADER,
                "exemplarTraceIdDestinations": [
                    {"datasourceUid": TEMPO_UID, "name": logs.TRACE_ID.name, "urlDisplayLabel": "Show the trace"}
                ],
                "httpMethod": "POST",
                "manageAlerts": True,
                "prometheusType": "Prometheus",
                "timeInterval": SCRAPE_INTERVAL,
            },
            "secureJsonData": _tenant("PROMETHEUS_TENANT"),
        },
        {
            **_proxied(LOKI_UID, "Loki", "loki", "${LOKI_URL}"),
            "jsonData": {
                **_TENANT_HEADER,
                "derivedFields": [
                    {
                        "datasourceUid": TEMPO_UID,
                        "matcherRegex": logs.TRACE_ID.name,
                        "matcherType": "label",
                        "name": "Trace",
                        "url": "${__value.raw}",
                        "urlDisplayLabel": "Show the trace",
                    }
                ],
                "maxLines": 1000,
            },
            "secureJsonData": _tenant("LOKI_TENANT"),
        },
        {
            **_proxied(TEMPO_UID, "Tempo", "tempo", "${TEMPO_INTERNAL_URL}"),
            "jsonData": {
                **_TENANT_HEADER,
                "nodeGraph": {"enabled": True},
                "search": {"hide": False},
                "serviceMap": {"datasourceUid": PROMETHEUS_UID},
                "tracesToLogsV2": {
                    **_window(),
                    "customQuery": True,
                    "datasourceUid": LOKI_UID,
                    "query": _LINES_OF_TRACE,
                },
                "tracesToMetrics": {
                    **_window(),
                    "datasourceUid": PROMETHEUS_UID,
                    "queries": [{"name": "Spans per second", "query": _SPAN_RATE}],
                    "tags": [{"key": "service.name", "value": tempo_metrics.SERVICE.name}],
                },
            },
            "secureJsonData": _tenant("TEMPO_TENANT"),
        },
        {
            **_proxied(API_UID, "GatewayZ API", API_TYPE, _API_URL),
            "jsonData": {
                # The plugin sends its token to these hosts only, and asks none without them.
                "allowedHosts": [_API_URL],
                "auth_method": "bearerToken",
            },
            "secureJsonData": {"bearerToken": "${GWZ_API_TOKEN}"},
        },
    ]


def _proxied(uid: str, name: str, kind: str, url: str) -> dict[str, Any]:
    return {"access": "proxy", "name": name, "type": kind, "uid": uid, "url": url}


def _tenant(variable: str) -> dict[str, str]:
    """The value of the header, which Grafana keeps where secrets are."""
    return {"httpHeaderValue1": f"${{{variable}:-}}"}


def _window() -> dict[str, str]:
    """Look five minutes before and after the span: clocks differ, and lines are written when a request ends."""
    return {"spanEndTimeShift": "5m", "spanStartTimeShift": "-5m"}
