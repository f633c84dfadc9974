"""What every alert keeps, and what those of Prometheus say to numbers."""

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from gwz_dashboards import alerts, runbooks
from gwz_dashboards.alerts import ALERTS_SHIPPED, Alert, Timing, alert_files, duration, rule
from gwz_dashboards.common import finished
from gwz_dashboards.datasources import datasources
from gwz_dashboards.generate import pages
from gwz_dashboards.names import DECLARED, MADE_BY_PROMETHEUS, label_names, metric_names
from gwz_instrument.monitoring.fields import fields_of
from gwz_instrument.semconv import endpoints

pytestmark = pytest.mark.dashboard

CANARIES = {
    "gwz-api-down": "gatewayz_api",
    "gwz-target-not-scraped": "grafana_prometheus",
    "gwz-no-logs": "grafana_loki",
}
every_alert = pytest.mark.parametrize("alert", ALERTS_SHIPPED, ids=lambda alert: alert.uid)


def expression(alert: Alert, timing: Timing | None = None) -> str:
    return str(rule(alert, timing)["data"][0]["model"].get("expr", ""))


def test_there_are_at_most_twenty_and_those_that_were_promised() -> None:
    assert {alert.slug for alert in ALERTS_SHIPPED} == {
        *("health-score-low", "api-down", "error-rate-high", "latency-high"),
        *("availability-burn-fast", "availability-burn-slow", "provider-down", "provider-errors", "breaker-open"),
        *("first-byte-slow", "streams-slow", "redis-down", "redis-memory-high", "event-loop-lag", "cost-spike"),
        *("target-not-scraped", "no-logs", "no-traces", "telemetry-lost"),
    }
    assert len(ALERTS_SHIPPED) <= 20
    assert max(Counter(alert.title for alert in ALERTS_SHIPPED).values()) == 1


@every_alert
def test_an_alert_has_a_page_a_fault_and_says_who_shall_look(alert: Alert) -> None:
    shipped = rule(alert)
    text = (runbooks.FOLDER / shipped["annotations"]["runbook_url"].rsplit("/", 1)[1]).read_text(encoding="utf-8")
    assert all(heading in text for heading in ("## Look", "## Do"))
    assert shipped["annotations"]["fault"].endswith(".")


@every_alert
def test_an_alert_is_what_its_page_says(alert: Alert) -> None:
    """Its title, severity, team, limit, windows, `for`, panel, and what missing data means; the end-to-end run makes each wrong."""
    assert list(runbooks.problems(runbooks.shipped()[alert.uid])) == []


def test_what_a_page_does_not_say_is_told() -> None:
    changed = {**runbooks.shipped()["gwz-redis-down"], "for": "3m", "isPaused": True}
    assert list(runbooks.problems(changed)) == [
        "its page does not say 'It is due at `< 1`, and fires after `3m`.\\n'", "it is paused",
    ]  # fmt: skip
    assert list(runbooks.problems({**changed, "uid": "gwz-x"})) == ["it has no page gwz-x.md"]


def test_no_page_is_left_over() -> None:
    assert {page.stem for page in runbooks.FOLDER.glob("*.md")} == {"README", *(alert.uid for alert in ALERTS_SHIPPED)}
    index = (runbooks.FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(
        f"({alert.uid}.md) | {alert.severity} | {alert.team} | {alert.fault} |" in index for alert in ALERTS_SHIPPED
    )


@every_alert
def test_only_the_canaries_take_missing_data_and_errors_for_an_alarm(alert: Alert) -> None:
    shipped = rule(alert)
    wanted = "Alerting" if alert.uid in CANARIES else "OK"
    assert (shipped["noDataState"], shipped["execErrState"]) == (wanted, wanted)
    if alert.uid in CANARIES:
        assert shipped["data"][0]["datasourceUid"] == CANARIES[alert.uid]


@every_alert
def test_a_rule_is_written_as_grafana_gives_it_back(alert: Alert) -> None:
    """Seen live on Grafana 11.0.0: what is written out here is what the server would fill in."""
    shipped = rule(alert)
    first, *steps = shipped["data"]
    assert first["datasourceUid"] in {source["uid"] for source in datasources()}
    assert first["relativeTimeRange"]["from"] > first["relativeTimeRange"]["to"]
    assert [step["datasourceUid"] for step in steps] == ["__expr__", "__expr__"]
    for query in shipped["data"]:
        assert query["model"]["refId"] == query["refId"]
        assert (query["model"]["intervalMs"], query["model"]["maxDataPoints"]) == (1000, 43200)
    assert shipped["condition"] == shipped["data"][-1]["refId"]
    assert re.fullmatch(r"0s|(\d+h)?([1-5]?\dm)?([1-5]?\ds)?", shipped["for"])


@every_alert
def test_the_panel_that_an_alert_links_to_is_there(alert: Alert) -> None:
    uid, panel = alert.panel
    (dashboard,) = (finished(page) for page in pages() if page.uid == uid)
    assert panel in {one["id"] for one in dashboard["panels"]}


@every_alert
def test_a_query_names_only_what_is_declared(alert: Alert) -> None:
    model = rule(alert)["data"][0]["model"]
    if "url" in model:
        (endpoint,) = (one for one in endpoints.MONITORING if one.path == model["url"])
        assert {column["selector"] for column in model["columns"]} <= {field.path for field in fields_of(endpoint)}
        assert model["parser"] == "backend"
    elif rule(alert)["data"][0]["datasourceUid"] == "grafana_prometheus":
        names = metric_names(model["expr"])
        assert names
        assert names <= set(DECLARED)
        assert not any(":" in name for name in names), "a window of a recording rule cannot be divided"
        labels = {label.name for name in names for label in DECLARED[name].labels}
        assert set(label_names(model["expr"])) <= labels | MADE_BY_PROMETHEUS


@every_alert
def test_only_windows_and_for_change_when_a_rule_is_tried_faster(alert: Alert) -> None:
    one, other = rule(alert), rule(alert, alert.timing.divided(60))
    other["for"] = one["for"]
    text, faster = json.dumps(one), json.dumps(other)
    assert re.sub(r"\[\w+\]|offset \w+", "", text) == re.sub(r"\[\w+\]|offset \w+", "", faster)


def test_the_health_score_s_alert_is_the_seed_s() -> None:
    (alert,) = (alert for alert in ALERTS_SHIPPED if alert.uid == "gwz-health-score-low")
    shipped = rule(alert)
    assert shipped["annotations"]["summary"].startswith("🚨 CRITICAL: System health score has fallen below 30%!")
    assert shipped["data"][-1]["model"]["conditions"] == [{"evaluator": {"type": "lt", "params": [30]}}]
    assert (shipped["for"], alert.timing.interval_s) == ("5m", 60)
    assert shipped["data"][0]["model"]["columns"][0]["selector"] == "avg_health_score"


def test_each_rule_is_in_one_group_and_a_group_has_one_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [group for document in alert_files().values() for group in document["groups"]]
    assert Counter(one["uid"] for group in groups for one in group["rules"]) == Counter(a.uid for a in ALERTS_SHIPPED)
    assert {group["folder"] for group in groups} == {"gwz-alerts"}
    odd = [ALERTS_SHIPPED[0], Alert(**{**vars(ALERTS_SHIPPED[1]), "timing": Timing(60, 60, 30)})]
    monkeypatch.setattr(alerts, "ALERTS_SHIPPED", odd)
    with pytest.raises(ValueError, match=r"gwz-gateway: a group has one interval, its rules want \[30, 60\]"):
        alert_files()


def test_durations_are_written_as_grafana_writes_them() -> None:
    assert [duration(s) for s in (0, 5, 60, 90, 300, 3600, 5400, 86400)] == [
        *("0s", "5s", "1m", "1m30s", "5m", "1h", "1h30m", "24h"),
    ]


WELL = "0+10x60"
REQUEST = {"app_name": "g", "method": "GET", "path": "/"}


def given(name: str, values: str, **labels: str) -> dict[str, str]:
    text = ", ".join(
        f'{key}="{value}"' for key, value in {"job": "gatewayz_production", "instance": "a", **labels}.items()
    )
    return {"series": f"{name}{{{text}}}", "values": values}


def _redis(used: int, policy: str, *, evicted: str = "0x60", misses: str = "0x60") -> list[dict[str, str]]:
    """Redis with so much of its memory in use, and the look-ups of an hour, half of which hit."""
    return [
        given("redis_memory_used_bytes", f"{used}x60", job="redis_exporter"),
        given("redis_memory_max_bytes", "100x60", job="redis_exporter"),
        given("redis_instance_info", "1x60", job="redis_exporter", maxmemory_policy=policy),
        given("redis_evicted_keys_total", evicted, job="redis_exporter"),
        given("redis_keyspace_hits_total", WELL, job="redis_exporter"),
        given("redis_keyspace_misses_total", misses, job="redis_exporter"),
    ]


FAULTS: dict[str, list[dict[str, str]]] = {
    "error-rate-high": [
        given("fastapi_requests_total", WELL, status_code="200", **REQUEST),
        given("fastapi_requests_total", "0+2x60", status_code="500", **REQUEST),
    ],
    "latency-high": [
        given("fastapi_requests_duration_seconds_bucket", "0+1x60", le="10.0", **REQUEST),
        given("fastapi_requests_duration_seconds_bucket", "0+9x60", le="30.0", **REQUEST),
        given("fastapi_requests_duration_seconds_bucket", "0+9x60", le="+Inf", **REQUEST),
    ],
    "availability-burn-fast": [
        given("fastapi_requests_total", WELL, status_code="200", **REQUEST),
        given("fastapi_requests_total", "0+1x60", status_code="500", **REQUEST),
    ],
    "availability-burn-slow": [
        given("fastapi_requests_total", WELL, status_code="200", **REQUEST),
        given("fastapi_requests_total", "0+1x60", status_code="500", **REQUEST),
    ],
    "provider-down": [
        given("gatewayz_provider_attempts_total", "0+1x60", provider="p", status="success"),
        given("gatewayz_provider_attempts_total", "0+2x60", provider="p", status="timeout"),
    ],
    "provider-errors": [
        given("gatewayz_provider_attempts_total", "0+2x60", provider="p", status="success"),
        given("gatewayz_provider_attempts_total", "0+1x60", provider="p", status="error"),
    ],
    "breaker-open": [given("gatewayz_circuit_breaker_state", "0x55 1x2 0x10", provider="p", state="open")],
    "first-byte-slow": [
        given("backend_ttfb_seconds_bucket", "0+1x60", provider="p", model="m", endpoint="e", le="3.0"),
        given("backend_ttfb_seconds_bucket", "0+9x60", provider="p", model="m", endpoint="e", le="5.0"),
        given("backend_ttfb_seconds_bucket", "0+9x60", provider="p", model="m", endpoint="e", le="+Inf"),
    ],
    "streams-slow": [
        given("streaming_duration_seconds_bucket", "0+1x60", provider="p", model="m", endpoint="e", le="30.0"),
        given("streaming_duration_seconds_bucket", "0+9x60", provider="p", model="m", endpoint="e", le="60.0"),
        given("streaming_duration_seconds_bucket", "0+9x60", provider="p", model="m", endpoint="e", le="+Inf"),
    ],
    "redis-down": [given("redis_up", "1x50 0x10", job="redis_exporter")],
    "redis-memory-high": _redis(95, "noeviction"),
    "event-loop-lag": [given("gatewayz_event_loop_lag_seconds", "0.7x60")],
    "cost-spike": [given("credits_used_total", "0+1x56 57+10x10", provider="p", model="m")],
    "target-not-scraped": [given("up", "0x60")],
    "no-traces": [given("fastapi_requests_total", WELL, status_code="200", **REQUEST)],
    "telemetry-lost": [given("gwz_telemetry_dropped_total", "0x55 3x10", signal="logs", reason="failed")],
}
"""The fault of each rule that asks Prometheus, as a minute's samples of an hour."""
SOUND: list[dict[str, str]] = [
    given("fastapi_requests_total", WELL, status_code="200", **REQUEST),
    given("fastapi_requests_duration_seconds_bucket", WELL, le="0.1", **REQUEST),
    given("fastapi_requests_duration_seconds_bucket", WELL, le="+Inf", **REQUEST),
    given("gatewayz_provider_attempts_total", WELL, provider="p", status="success"),
    given("gatewayz_circuit_breaker_state", "0x60", provider="p", state="open"),
    given("backend_ttfb_seconds_bucket", WELL, provider="p", model="m", endpoint="e", le="0.5"),
    given("backend_ttfb_seconds_bucket", WELL, provider="p", model="m", endpoint="e", le="+Inf"),
    given("streaming_duration_seconds_bucket", WELL, provider="p", model="m", endpoint="e", le="0.5"),
    given("streaming_duration_seconds_bucket", WELL, provider="p", model="m", endpoint="e", le="+Inf"),
    given("redis_up", "1x60", job="redis_exporter"),
    *_redis(50, "noeviction"),
    given("gatewayz_event_loop_lag_seconds", "0.01x60"),
    given("credits_used_total", "0+1x60", provider="p", model="m"),
    given("up", "1x60"),
    given("traces_spanmetrics_calls_total", WELL, service="g", span_name="s", span_kind="SPAN_KIND_SERVER"),
    given("gwz_telemetry_dropped_total", "2x60", signal="logs", reason="failed"),
]


SHORTENED = {
    "availability-burn-fast": Timing(1440, 0),
    "availability-burn-slow": Timing(1440, 0),
    "cost-spike": Timing(120, 0),
}


def is_due(promtool: Path, folder: Path, alert: Alert, samples: list[dict[str, str]]) -> bool:
    """Tell whether the rule's query and threshold say that it is time, after an hour; long windows are shortened to fit in."""
    operator, limit = alert.fires
    due = f"({expression(alert, SHORTENED.get(alert.slug))}) {'>' if operator == 'gt' else '<'} {limit}"
    return holds(promtool, folder, f"count({due}) > bool 0", samples)


def holds(promtool: Path, folder: Path, asked: str, samples: list[dict[str, str]]) -> bool:
    """Tell whether an expression answers 1 after an hour of these samples."""
    wanted = {"expr": asked, "eval_time": "60m", "exp_samples": [{"labels": "{}", "value": 1}]}
    tests: dict[str, Any] = {
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": samples, "promql_expr_test": [wanted]}],
    }
    (folder / "tests.yml").write_text(yaml.safe_dump(tests))
    command = [promtool, "test", "rules", folder / "tests.yml"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "parse error" not in found.stdout + found.stderr, found.stdout + found.stderr
    return found.returncode == 0


SILENT = [
    given("fastapi_requests_duration_seconds_bucket", "9x60", le="0.1", **REQUEST),
    given("fastapi_requests_duration_seconds_bucket", "9x60", le="+Inf", **REQUEST),
    *(
        given(f"{name}_bucket", "9x60", provider="p", model="m", endpoint="e", le=le)
        for name in ("backend_ttfb_seconds", "streaming_duration_seconds")
        for le in ("0.1", "+Inf")
    ),
]
"""A route and a provider that were asked for a while, and are not any more."""


def test_every_rule_that_asks_prometheus_has_its_fault_here() -> None:
    asking = {a.slug for a in ALERTS_SHIPPED if rule(a)["data"][0]["datasourceUid"] == "grafana_prometheus"}
    assert set(FAULTS) == asking


@pytest.mark.parametrize("alert", [a for a in ALERTS_SHIPPED if a.slug in FAULTS], ids=lambda alert: alert.uid)
def test_a_rule_is_due_with_its_fault_and_not_without(promtool: Path, tmp_path: Path, alert: Alert) -> None:
    assert is_due(promtool, tmp_path, alert, FAULTS[alert.slug])
    assert not is_due(promtool, tmp_path, alert, SOUND)


EVICTS, SPIKE = "0+5x60", "0+10x50 500+40x10"
"""Keys that make room all the time; misses that come to be four times as many as hits."""


@pytest.mark.parametrize(
    ("redis", "due"),
    [
        (_redis(95, "volatile-lru"), True),
        (_redis(100, "allkeys-lru", evicted=EVICTS, misses=SPIKE), True),
        (_redis(100, "allkeys-lru", evicted=EVICTS, misses=WELL), False),
        (_redis(100, "allkeys-lru", evicted=EVICTS), False),
        (_redis(100, "allkeys-lfu", misses=SPIKE), False),
        (_redis(100, "allkeys-lru", evicted=EVICTS)[:4], False),
        (_redis(95, "noeviction")[:2], True),
    ],
    ids=[
        *(
            "full-and-may-not-evict-all",
            "evicts-what-is-asked-for",
            "always-hit-half",
            "evicts-and-hits",
            "no-eviction",
        ),
        *("nobody-looks-up", "an-exporter-without-the-policy"),
    ],
)
def test_a_cache_that_is_full_is_well_while_its_look_ups_hit(
    promtool: Path, tmp_path: Path, redis: list[dict[str, str]], *, due: bool
) -> None:
    (alert,) = (alert for alert in ALERTS_SHIPPED if alert.slug == "redis-memory-high")
    assert is_due(promtool, tmp_path, alert, redis) is due


@pytest.mark.parametrize("alert", [a for a in ALERTS_SHIPPED if a.slug in FAULTS], ids=lambda alert: alert.uid)
def test_a_rule_answers_with_numbers_or_not_at_all(promtool: Path, tmp_path: Path, alert: Alert) -> None:
    """Seen on Grafana 11.0.0: a threshold takes what is no number, such as the quantile of nothing, for an alarm."""
    asked = expression(alert, SHORTENED.get(alert.slug))
    assert holds(promtool, tmp_path, f"(count(({asked}) != ({asked})) or vector(0)) == bool 0", SILENT)
