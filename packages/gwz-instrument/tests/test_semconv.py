"""The declarations themselves: complete, consistent, and cheap to import."""

import importlib.util
import re
import subprocess
import sys
from collections import Counter

import pytest

from gwz_instrument import semconv
from gwz_instrument.semconv import logs, spans

NAMES = {entry.name: entry for entry in semconv.METRICS}
BASE_UNITS = {"s": ("_seconds",), "By": ("_bytes",)}


def test_importing_the_names_loads_the_standard_library_only():
    """Dashboards and checks import them; they pay for no exporter and no framework."""
    before, after = loaded("import sys"), loaded("import sys, gwz_instrument.semconv")
    # Editable installs and coverage load things of their own when the interpreter starts.
    assert after - before - set(sys.stdlib_module_names) == {"gwz_instrument"}


def loaded(statement):
    code = f"{statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_a_name_is_declared_once():
    for names in (
        [entry.name for entry in semconv.METRICS],
        [entry.family for entry in semconv.METRICS],
        [field.name for field in (*logs.LINE_FIELDS, *logs.RARE, *logs.DOMAIN_FIELDS)],
        [entry.name for entry in spans.SPANS],
    ):
        assert [name for name, number in Counter(names).items() if number > 1] == []


def test_an_attribute_is_declared_once_per_span():
    for entry in spans.SPANS:
        names = [attribute.name for attribute in entry.attributes]
        assert len(set(names)) == len(names), entry.name


@pytest.mark.parametrize("entry", semconv.METRICS, ids=lambda entry: entry.name)
def test_a_metric_says_what_it_is(entry):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", entry.name)
    assert entry.brief.endswith(".")
    assert entry.unit
    assert (entry.kind == "histogram") == bool(entry.buckets)
    assert list(entry.buckets) == sorted(set(entry.buckets))
    assert (entry.kind == "counter") == entry.name.endswith("_total")
    for label in entry.labels:
        assert label.bound, f"{label.name} says nothing of what bounds it"
        assert label.name not in {"le", "quantile", "user", "user_id", "api_key", "trace_id", "request_id"}
    for suffix in BASE_UNITS.get(entry.unit, ()):
        assert suffix in entry.name


@pytest.mark.parametrize("module", sorted({entry.emitted_by for entry in (*semconv.CORE, *spans.CORE)}))
def test_what_is_emitted_today_names_a_module_that_exists(module):
    assert importlib.util.find_spec(module) is not None


def test_every_metric_is_of_the_core_or_of_the_domain():
    assert set(semconv.CORE) | set(semconv.DOMAIN) == set(semconv.METRICS)
    assert not set(semconv.CORE) & set(semconv.DOMAIN)


def test_health_metrics_describe_a_process_and_not_an_application():
    assert [e.name for e in semconv.health.METRICS if "app_name" in e.label_names] == []


# fmt: off
LABELS = {
    "fastapi_app_info": "app_name",
    "fastapi_requests_total": "app_name method path status_code",
    "fastapi_requests_duration_seconds": "app_name method path",
    "fastapi_requests_in_progress": "app_name method path",
    "fastapi_request_size_bytes": "app_name method path",
    "fastapi_response_size_bytes": "app_name method path",
    "fastapi_exceptions_total": "app_name exception_type",
    "gwz_telemetry_items_total": "signal outcome",
    "gwz_telemetry_dropped_total": "signal reason",
    "gwz_label_values_refused_total": "metric label",
    "gatewayz_event_loop_lag_seconds": "",
    "gatewayz_cpu_utilization_ratio": "",
    "gatewayz_memory_utilization_ratio": "",
    "model_inference_requests_total": "provider model status",
    "model_inference_duration_seconds": "provider model",
    "tokens_used_total": "provider model token_type",
    "credits_used_total": "provider model",
    "gatewayz_cost_by_provider_total": "provider",
    "backend_ttfb_seconds": "provider model endpoint",
    "time_to_first_chunk_seconds": "provider model",
    "streaming_duration_seconds": "provider model endpoint",
    "provider_response_time_seconds": "provider",
    "gatewayz_provider_attempts_total": "provider status",
    "gatewayz_provider_answer_seconds_total": "provider",
    "gatewayz_provider_answer_worth_total": "provider",
    "provider_availability": "provider",
    "provider_error_rate": "provider",
    "gatewayz_provider_health_score": "provider",
    "gatewayz_circuit_breaker_state": "provider state",
    "gatewayz_model_uptime_24h": "model",
    "gatewayz_token_efficiency": "model",
    "gatewayz_detected_anomalies_total": "type",
    "database_queries_total": "table operation",
    "database_query_duration_seconds": "table",
    "cache_hits_total": "cache_name",
    "cache_misses_total": "cache_name",
    "cache_size_bytes": "cache_name",
    "gatewayz_redis_operations_total": "operation status",
    "gatewayz_redis_operation_duration_seconds": "operation",
    "gatewayz_redis_pool_connections": "state",
    "frontend_processing_seconds": "endpoint",
    "request_stage_duration_seconds": "stage endpoint",
    "api_key_usage_total": "status",
    "rate_limited_requests_total": "limit_type",
    "active_api_keys": "status",
    "subscription_count": "plan_type billing_cycle",
    "trial_active": "status",
    "user_credit_balance": "plan_type",
    "active_connections": "connection_type",
    "queue_size": "queue_name",
    "current_rate_limit": "limit_type",
    "gwz_monitoring_requests_total": "endpoint status_code",
}
PREDECESSOR_BUCKETS = {
    "fastapi_requests_duration_seconds": (.01, .025, .05, .1, .25, .5, 1, 2.5, 5),
    "model_inference_duration_seconds": (.1, .5, 1, 2.5, 5, 10, 25, 60),
    "backend_ttfb_seconds": (.1, .5, 1, 1.5, 2, 2.5, 3, 5, 10),
    "streaming_duration_seconds": (.1, .5, 1, 1.5, 2, 2.5, 3, 5, 10),
    "time_to_first_chunk_seconds": (.1, .25, .5, 1, 1.5, 2, 3, 5, 8, 10, 15),
    "provider_response_time_seconds": (.1, .5, 1, 2.5, 5, 10),
}
# fmt: on


def test_the_metrics_and_their_labels_are_those_that_dashboards_were_promised():
    """A label that goes or comes breaks every query that names it."""
    ours = {e.name: " ".join(e.label_names) for e in semconv.METRICS if e not in semconv.process.METRICS}
    assert ours == LABELS


@pytest.mark.parametrize("name", sorted(PREDECESSOR_BUCKETS))
def test_the_predecessors_buckets_stay_and_minutes_are_added_above_them(name):
    before = PREDECESSOR_BUCKETS[name]
    above = tuple(bound for bound in (10, 30, 60, 120) if bound > before[-1])
    assert NAMES[name].buckets == (*before, *above)


def test_what_stays_below_a_second_keeps_the_predecessors_buckets():
    assert NAMES["frontend_processing_seconds"].buckets == (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)
    assert NAMES["request_stage_duration_seconds"].buckets[-3:] == (1, 2, 5)


@pytest.mark.parametrize(
    "name", ["http_requests_total", "http_request_duration_seconds", "stage_percentage", "redis_up"]
)
def test_what_others_emit_is_left_to_them(name):
    """The backend's own twins, and what Redis's exporter says."""
    assert name not in NAMES


def test_attributes_have_opentelemetrys_names_where_it_has_one():
    names = pytest.importorskip("opentelemetry.semconv._incubating.attributes", reason="no names to compare with")
    known = set()
    for group in ("gen_ai", "db", "http", "url", "server", "error", "service", "deployment", "cloud"):
        module = importlib.import_module(f"{names.__name__}.{group}_attributes")
        known |= {value for name, value in vars(module).items() if name.isupper()}
    if "gen_ai.response.time_to_first_chunk" not in known:
        pytest.skip("an older list of names")
    declared = {a.name for entry in spans.SPANS for a in entry.attributes} | {a.name for a in spans.RESOURCE}
    ours = {name for name in declared if name.startswith("gwz.")}
    # peer.service is what Tempo's service graph reads; OpenTelemetry has since renamed it.
    assert declared - ours - {"peer.service"} <= known
