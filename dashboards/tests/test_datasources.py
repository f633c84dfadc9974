"""The joins between the data sources."""

from typing import Any

import pytest

from gwz_dashboards.datasources import datasources

pytestmark = pytest.mark.dashboard


@pytest.fixture
def by_uid() -> dict[str, dict[str, Any]]:
    return {source["uid"]: source for source in datasources()}


def test_addresses_come_from_the_operator_s_environment(by_uid: dict[str, dict[str, Any]]) -> None:
    assert {uid: source["url"] for uid, source in by_uid.items()} == {
        "grafana_prometheus": "${PROMETHEUS_INTERNAL_URL}",
        "grafana_loki": "${LOKI_URL}",
        "grafana_tempo": "${TEMPO_INTERNAL_URL}",
        "gatewayz_api": "${GWZ_API_URL}",
    }


def test_an_exemplar_leads_to_its_trace(by_uid: dict[str, dict[str, Any]]) -> None:
    (destination,) = by_uid["grafana_prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert (destination["name"], destination["datasourceUid"]) == ("trace_id", "grafana_tempo")


def test_a_line_leads_to_its_trace_by_its_metadata(by_uid: dict[str, dict[str, Any]]) -> None:
    (field,) = by_uid["grafana_loki"]["jsonData"]["derivedFields"]
    assert (field["matcherType"], field["matcherRegex"]) == ("label", "trace_id")
    assert (field["datasourceUid"], field["url"]) == ("grafana_tempo", "${__value.raw}")


def test_a_trace_leads_to_its_lines_its_metrics_and_the_service_map(by_uid: dict[str, dict[str, Any]]) -> None:
    joins = by_uid["grafana_tempo"]["jsonData"]
    assert joins["tracesToLogsV2"]["datasourceUid"] == "grafana_loki"
    assert joins["tracesToLogsV2"]["query"] == '{app=~".+"} | trace_id="${__trace.traceId}"'
    assert joins["tracesToMetrics"]["queries"] == [
        {
            "name": "Spans per second",
            "query": "sum by (span_name) (rate(traces_spanmetrics_calls_total{$__tags}[5m]))",
        }
    ]
    assert joins["serviceMap"] == {"datasourceUid": "grafana_prometheus"}
    assert (joins["tracesToLogsV2"]["spanStartTimeShift"], joins["tracesToLogsV2"]["spanEndTimeShift"]) == ("-5m", "5m")


def test_the_tenant_of_each_server_is_optional(by_uid: dict[str, dict[str, Any]]) -> None:
    headers = {
        uid: (source["jsonData"].get("httpHeaderName1"), source["secureJsonData"].get("httpHeaderValue1"))
        for uid, source in by_uid.items()
    }
    assert headers == {
        "grafana_prometheus": ("X-Scope-OrgID", "${PROMETHEUS_TENANT:-}"),
        "grafana_loki": ("X-Scope-OrgID", "${LOKI_TENANT:-}"),
        "grafana_tempo": ("X-Scope-OrgID", "${TEMPO_TENANT:-}"),
        "gatewayz_api": (None, None),
    }


def test_the_token_of_the_json_endpoints_is_a_secret_and_goes_to_them_only(by_uid: dict[str, dict[str, Any]]) -> None:
    source = by_uid["gatewayz_api"]
    assert source["secureJsonData"] == {"bearerToken": "${GWZ_API_TOKEN}"}
    assert source["jsonData"] == {"allowedHosts": ["${GWZ_API_URL}"], "auth_method": "bearerToken"}
