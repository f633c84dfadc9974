"""A bundle made by code: as big as the product's, or small enough to be killed at every write."""

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]

SOURCES = (("grafana_prometheus", "Prometheus", "prometheus"), ("grafana_loki", "Loki", "loki"), ("grafana_tempo", "Tempo", "tempo"), ("gatewayz_api", "GatewayZ API", "yesoreyeram-infinity-datasource"))  # fmt: skip
VARIABLES = {
    "GRAFANA_PROMETHEUS_URL": "http://127.0.0.1:9",
    "GRAFANA_LOKI_URL": "http://127.0.0.1:9",
    "GRAFANA_TEMPO_URL": "http://127.0.0.1:9",
    "GATEWAYZ_API_URL": "http://127.0.0.1:9",
    "GWZ_API_TOKEN": "api-token-canary-6c1f",
    "GWZ_ALERT_WEBHOOK_URL": "http://127.0.0.1:9/hook-canary-91aa",
    "GWZ_ALERT_SLACK_URL": "http://127.0.0.1:9/slack-canary-77d2",
    "GWZ_ALERT_EMAIL": "oncall@example.com",
    "GWZ_ALERT_PAGERDUTY_KEY": "pagerduty-canary-03be",
    "GWZ_ALERT_WEBHOOK_TOKEN": "bearer-canary-5e5e",
}


def write(
    folder: Path, *, dashboards: int = 6, panels: int = 66, rules: int = 20, sources: int = 4, contacts: int = 5
) -> Path:
    """Write a bundle into a folder."""
    uids = [f"gwz-board-{number}" for number in range(dashboards)]
    files: dict[str, Any] = {
        "index.json": {
            "schema": 1,
            "folders": [
                {"uid": "gwz-backend", "title": "Backend"},
                {"uid": "gwz-deep", "title": "Deep", "parent": "gwz-backend"},
            ],
            "dashboards": [
                {"uid": uid, "folder": ("gwz-backend", "gwz-deep")[number % 2], "file": f"boards/{uid}.json"}
                for number, uid in enumerate(uids)
            ],
        },
        "datasources.json": {"datasources": [_source(*source) for source in SOURCES[:sources]]},
        **{f"boards/{uid}.json": _board(uid, number, panels // dashboards) for number, uid in enumerate(uids)},
        "alerts/latency.json": {
            "groups": [
                _group("latency a/b", "1m", range(rules // 2)),
                _group("errors", "2m", range(rules // 2, rules)),
            ]
        },
        "contact-points.json": {"contactPoints": CONTACTS[:contacts]},
        "policies.json": {
            "routes": [
                {
                    "receiver": "GatewayZ",
                    "object_matchers": [["severity", "=", "critical"]],
                    "continue": True,
                    "group_wait": "60s",
                },
                {"receiver": "GatewayZ", "group_by": ["alertname"], "repeat_interval": "24h"},
            ]
        },
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    (folder / "templates").mkdir(exist_ok=True)
    (folder / "templates" / "gwz-message.tmpl").write_text(
        '{{ define "gwz.title" }}{{ .CommonLabels.alertname }}{{ end }}\n'
    )
    return folder


CONTACTS: list[Json] = [
    {"uid": "gwz-webhook", "name": "GatewayZ", "type": "webhook", "optional": True, "settings": {"url": "${GWZ_ALERT_WEBHOOK_URL}", "httpMethod": "POST"}},
    {"uid": "gwz-slack", "name": "GatewayZ", "type": "slack", "optional": True, "settings": {"url": "${GWZ_ALERT_SLACK_URL}"}},
    {"uid": "gwz-email", "name": "GatewayZ", "type": "email", "optional": True, "settings": {"addresses": "${GWZ_ALERT_EMAIL}", "singleEmail": True}},
    {"uid": "gwz-pagerduty", "name": "GatewayZ", "type": "pagerduty", "optional": True, "settings": {"integrationKey": "${GWZ_ALERT_PAGERDUTY_KEY}"}},
    {"uid": "gwz-second", "name": "GatewayZ second", "type": "webhook", "optional": True, "settings": {"url": "http://127.0.0.1:9/second", "authorization_scheme": "Bearer", "authorization_credentials": "${GWZ_ALERT_WEBHOOK_TOKEN}"}},
]  # fmt: skip


def _source(uid: str, name: str, kind: str) -> Json:
    source: Json = {
        "uid": uid,
        "name": name,
        "type": kind,
        "access": "proxy",
        "url": f"${{{uid.upper()}_URL}}",
        "isDefault": kind == "prometheus",
    }
    if kind == "loki":
        source["jsonData"] = {
            "derivedFields": [
                {
                    "name": "Trace",
                    "datasourceUid": "grafana_tempo",
                    "url": "${__value.raw}",
                    "matcherRegex": "trace_id",
                    "matcherType": "label",
                }
            ]
        }
    if uid == "gatewayz_api":
        source |= {
            "jsonData": {"auth_method": "bearerToken", "allowedHosts": ["http://127.0.0.1"]},
            "secureJsonData": {"bearerToken": "${GWZ_API_TOKEN}"},
        }
    return source


def _board(uid: str, number: int, panels: int) -> Json:
    source = {"type": "prometheus", "uid": "grafana_prometheus"}
    return {
        "uid": uid,
        "title": f"Board {number}",
        "tags": ["gatewayz"],
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "schemaVersion": 39,
        "panels": [
            {
                "id": panel + 1,
                "type": "timeseries",
                "title": f"Panel {panel}",
                "datasource": source,
                "gridPos": {"h": 8, "w": 12, "x": 12 * (panel % 2), "y": 8 * (panel // 2)},
                "fieldConfig": {"defaults": {"unit": "reqps", "min": 0}, "overrides": []},
                "targets": [
                    {
                        "refId": "A",
                        "datasource": source,
                        "expr": f'sum by (route) (rate(http_requests_total{{job="j{panel}"}}[$__rate_interval]))',
                    }
                ],
            }
            for panel in range(panels)
        ],
    }


def _group(name: str, interval: str, numbers: range) -> Json:
    return {"folder": "gwz-backend", "name": name, "interval": interval, "rules": [_rule(number) for number in numbers]}


def _rule(number: int) -> Json:
    return {
        "uid": f"gwz-rule-{number}",
        "title": f"Rule {number}",
        "condition": "B",
        "for": "90s",
        "labels": {"severity": ("critical", "warning")[number % 2]},
        "annotations": {
            "summary": "{{ $labels.route }} is slow: {{ $values.A.Value }}",
            "runbook_url": "https://example.com/runbook",
        },
        "data": [
            {
                "refId": "A",
                "datasourceUid": "grafana_prometheus",
                "relativeTimeRange": {"from": 600, "to": 0},
                "model": {"refId": "A", "expr": f"vector({number})", "instant": True},
            },
            {
                "refId": "B",
                "datasourceUid": "__expr__",
                "model": {
                    "refId": "B",
                    "type": "threshold",
                    "expression": "A",
                    "conditions": [{"evaluator": {"type": "gt", "params": [100]}}],
                },
            },
        ],
    }
