"""Queries held against the contract: names, labels, values, types and units."""

import json
from pathlib import Path

import pytest

from gwz_provision.check import infinity, units
from gwz_provision.check.contract import Contract, Series, load
from gwz_provision.check.run import check
from gwz_provision.errors import Misconfigured

SOURCES = {
    "prometheus": {"type": "prometheus", "uid": "grafana_prometheus"},
    "loki": {"type": "loki", "uid": "grafana_loki"},
    "tempo": {"type": "tempo", "uid": "grafana_tempo"},
}
LABEL = {"name": "l", "bound": "any"}
CONTRACT = {
    "schema": 1,
    "metrics": [
        {"name": "calls_total", "type": "counter", "unit": "{call}", "labels": [{"name": "provider", "bound": ""}, {"name": "status", "bound": "", "values": ["success", "error", "timeout"]}]},
        {"name": "wait_seconds", "type": "histogram", "unit": "s", "labels": [{"name": "provider", "bound": ""}]},
        {"name": "load_ratio", "type": "gauge", "unit": "1", "labels": []},
        {"name": "state", "type": "gauge", "unit": "1", "labels": [{"name": "provider", "bound": ""}]},
        {"name": "cost_total", "type": "counter", "unit": "{USD}", "labels": []},
        {"name": "busy_seconds_total", "type": "counter", "unit": "s", "labels": []},
        {"name": "size_bytes", "type": "gauge", "unit": "By", "labels": []},
    ],
    "logs": {
        "labels": [{"name": "app", "bound": ""}, {"name": "level", "bound": "", "values": ["info", "error"]}],
        "metadata": [{"name": "trace_id", "type": "string"}],
        "fields": [
            {"name": "duration_ms", "type": "double"},
            {"name": "path", "type": "string"},
            {"name": "outcome", "type": "string", "values": ["success", "error"]},
        ],
    },
    "spans": [{"name": "x", "attributes": [{"name": "http.route", "type": "string"}, {"name": "gwz.outcome", "type": "string", "values": ["success", "error"]}]}],
    "resource": [{"name": "service.name", "type": "string"}],
    "endpoints": [
        {"method": "GET", "path": "/api/health", "many": True, "fields": [
            {"name": "[].provider", "type": "string"}, {"name": "[].error_rate", "type": "number"},
            {"name": "[].seen", "type": "number", "brief": "seconds since 1970"},
        ]},
        {"method": "GET", "path": "/api/stats/{provider}", "many": False, "parameters": [
            {"name": "hours", "type": "integer", "minimum": 1, "maximum": 168}, {"name": "sort", "type": "string", "values": ["cost", "errors"]},
        ], "fields": [
            {"name": "total", "type": "integer"}, {"name": "at", "type": "date-time"}, {"name": "series[].time", "type": "date-time"},
            {"name": "series[].p95_latency_ms", "type": "number"}, {"name": "providers.*.total_cost", "type": "number"},
        ]},
        {"method": "POST", "path": "/api/test", "many": False, "fields": [{"name": "ok", "type": "boolean"}]},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    file = tmp_path_factory.mktemp("contract") / "contract.json"
    file.write_text(json.dumps(CONTRACT))
    return load(file)


@pytest.fixture
def ask(tmp_path: Path, contract: Contract) -> object:
    """Ask one query in a panel, and return each finding as `id: sentence cure` with its column."""

    def asked(
        kind: str, query: str, unit: str | None = None, legend: str = "", **panel: object
    ) -> list[tuple[str, int | None]]:
        target = {"refId": "A", "query" if kind == "tempo" else "expr": query, "legendFormat": legend}
        config = (
            {}
            if unit is None
            else {"fieldConfig": {"defaults": {"unit": unit}, "overrides": panel.pop("overrides", [])}}
        )
        shown = "timeseries" if unit is not None else "logs"
        model = {
            "uid": "d",
            "title": "D",
            "panels": [
                {
                    "id": 1,
                    "type": shown,
                    "title": "P",
                    "description": "Counted since the process started.",
                    "datasource": SOURCES[kind],
                    "targets": [target],
                    **config,
                    **panel,
                }
            ],
        }
        model["templating"] = {"list": [{"name": "v", "type": "custom", "query": "1"}]} if "$v" in query else {}
        (tmp_path / "d.json").write_text(json.dumps(model))
        return [(f"{one.id}: {one.sentence} {one.cure}", one.column) for one in check([tmp_path], contract).findings]

    return asked


@pytest.mark.parametrize(
    ("query", "words", "column"),
    [
        ("calls_totl", "promql/metric: nothing emits calls_totl: it is not in the contract. Did you mean calls_total?", 1),
        ("rate(wait_seconds[5m])", "promql/metric: wait_seconds is a histogram, which has no series of that name. Ask for wait_seconds_bucket", 6),
        ('{__name__=~"wat_.*"}', "promql/metric: no metric of the contract has a name like wat_.*", 12),
        ('1 + calls_total{provder="a"}', "promql/label: calls_total has no label provder. Did you mean provider?", 17),
        ('calls_total{status="sucess"}', "promql/value: status of calls_total is never 'sucess'. Did you mean success?", 20),
        ('calls_total{status=~"error|timeot"}', "promql/value: status of calls_total is never 'timeot'. Did you mean timeout?", 21),
        ('calls_total{status!="sucess"}', "promql/value", 21),
        ("sum by (modl) (calls_total)", "promql/label: sum asks for the label modl, which the series below it do not have. It has instance", 9),
        ("sum by (status) (sum by (provider) (calls_total))", "promql/label: sum asks for the label status", 9),
        ("sum without (modl) (calls_total)", "promql/label", 14),
        ("calls_total / on(status) state", "promql/label: on asks for the label status", 18),
        ("calls_total / ignoring(modl) calls_total", "promql/label: ignoring asks for the label modl", 24),
        ("sum by (provider) (calls_total) * on(provider) group_left(status) state", "promql/label: group_left asks for the label status", 59),
        ('label_replace(calls_total, "a", "$1", "modl", "(.*)")', "promql/label: label_replace asks for the label modl", 39),
        ("rate(load_ratio[5m])", "promql/type: rate wants a counter, and load_ratio is a gauge.", 6),
        ("delta(calls_total[5m])", "promql/type: delta wants a gauge, and calls_total is a counter.", 7),
        ("histogram_quantile(0.9, rate(wait_seconds_sum[5m]))", "promql/histogram: histogram_quantile wants buckets, and wait_seconds_sum has none. Take wait_seconds_bucket", 30),
        ("histogram_quantile(0.9, sum by (provider) (rate(wait_seconds_bucket[5m])))", "promql/histogram: histogram_quantile needs the label le", 1),
        ("mad_over_time(load_ratio[5m])", "promql/experimental: Prometheus 3.2 refuses mad_over_time", 1),
        ("limitk(3, state)", "promql/experimental: Prometheus 3.2 refuses limitk", 1),
        ("redis_connectd_clients", "promql/metric: nothing emits redis_connectd_clients", 1),
        ("sum by (servce) (traces_spanmetrics_calls_total)", "promql/label", 9),
        ("rate(calls_total[$__auto])", "variable/undefined: $__auto would be left", 18),
        ('calls_total{provider="$w"}', "variable/undefined: $w would be left", 23),
    ],
)  # fmt: skip
def test_promql_that_parses_and_shows_nothing_is_found(ask: object, query: str, words: str, column: int) -> None:
    (found,) = ask("prometheus", query)
    assert found[0].startswith(words)
    assert found[1] == column


@pytest.mark.parametrize(
    "query",
    [
        'sum by (provider, job, instance) (rate(calls_total{status=~"err.*|timeout", provider="$v"}[$__rate_interval]))',
        'calls_total{status=~"$v"} unless on(provider) state',
        "histogram_quantile(0.9, sum by (le) (rate(wait_seconds_bucket[5m]))) or vector(0)",
        "sum(rate(wait_seconds_sum[5m])) / sum(rate(wait_seconds_count[5m]))",
        'sum by (short) (label_replace(calls_total, "short", "$1", "provider", "(.).*"))',
        'count_values("n", state) * on(n) group_left() count_values("n", state)',
        "up == 0 and on(job) ALERTS",
        "redis_allocator_active_bytes + prometheus_tsdb_head_series + go_goroutines",
        'topk($v, sum by ($v) (rate({__name__=~"calls_.*"}[$__range])))',
        'sum(rate(calls_total{status=""}[5m])) or on(provider) vector(0)',
        "absent(state{provider='a'}) or avg_over_time(load_ratio[1h:5m])",
    ],
)
def test_promql_that_shows_something_is_not_reported(ask: object, query: str) -> None:
    assert ask("prometheus", query) == []


@pytest.mark.parametrize(
    ("query", "words", "column"),
    [
        ('{ap="x"}', "logql/label: no log stream has the label ap. Did you mean app?", 2),
        ('{app="x", path="y"}', "logql/label: no log stream has the label path. It is a field of the line", 11),
        ('{app="x", level="eror"}', "logql/value: level is never 'eror'. Did you mean error?", 17),
        ('{app="x"} | path="y"', "logql/label: no line has the label path here. Parse the line before: | json.", 13),
        ('{app="x"} | json | pth="y"', "logql/label: no line has the label pth here. Did you mean path?", 20),
        ('{app="x"} | json | outcome="sucess"', "logql/value: outcome is never 'sucess'", 28),
        ('{app="x"} | json p="pth.a"', "logql/field: log lines have no field pth. Did you mean path?", 20),
        ('{app="x"} | json | label_format a=pth', "logql/label", 35),
        ('{app="x"} | json p="path" | line_format "{{ .app }} {{ .path | trim }}"', "logql/label: no line has the label path here. Parse the line", 57),
        ('{app="x"} | json pth="path"', 'logql/label: path is extracted as pth: two letters away, that is a slip. Write path="path".', 22),
        ('{app="x"} | json | label_format a="{{ .pth }}"', "logql/label: no line has the label pth here. Did you mean path?", 40),
        ('sum by (pth) (rate({app="x"} | json [5m]))', "logql/label: no line has the label pth here. Did you mean path?", 9),
        ('sum by (path) (rate({app="x"}[5m]))', "logql/label: no line has the label path here. Parse the line", 9),
        ('avg_over_time({app="x"} | json | unwrap path [5m])', "logql/type: path is a string", 41),
        ('max_over_time({app="x"} | json | unwrap durtion_ms [5m]) by (app)', "logql/label", 41),
        ('rate({app="x"}[$__foo])', "variable/undefined", 16),
    ],
)  # fmt: skip
def test_logql_that_parses_and_shows_nothing_is_found(ask: object, query: str, words: str, column: int) -> None:
    (found,) = ask("loki", query)
    assert found[0].startswith(words)
    assert found[1] == column


@pytest.mark.parametrize(
    "query",
    [
        '{app="x", service_name=~".+"} | trace_id="$v" | detected_level="error" | __error__=""',
        'sum by (path) (rate({app="$v"} | json | outcome=~"err.*" | duration_ms > 5 [$__auto]))',
        '{app="x"} | pattern "<a> <b>" | a="1" | label_format c=b | c="2"',
        'sum by (p) (count_over_time({app="x"} | json p="path" [5m]))',
        '{app="x"} | json | line_format `{{ if .path }}{{ .path | trunc 5 }}{{ end }} {{ printf "%s.foo" .outcome }} {{ $.x }}`',
        '{app="x"} | line_format "{{ with (fromJson __line__).a }}{{ .b }}{{ end }}"',
    ],
)
def test_logql_that_shows_something_is_not_reported(ask: object, query: str) -> None:
    assert ask("loki", query) == []


@pytest.mark.parametrize(
    ("query", "reported"),
    [
        ("sum by (provider) (calls_total)", True),
        ("calls_total / on(provider) state", True),
        ("max_over_time(calls_total[1h])", True),
        ("histogram_quantile(0.9, wait_seconds_bucket)", True),
        ("calls_total - load_ratio offset 5m", True),
        ("sum(rate(calls_total[5m]))", False),
        ("count(calls_total) + absent(calls_total) + resets(calls_total[1h])", False),
        ("state unless calls_total", False),
        ("(calls_total - calls_total offset 5m) unless resets(calls_total[5m]) > 0 or calls_total", False),
        ("sum(load_ratio)", False),
    ],
)
def test_a_counter_that_is_shown_as_it_is_is_found(tmp_path: Path, contract: Contract, query: str, reported: bool) -> None:  # noqa: FBT001  # fmt: skip
    """The predecessor's totals fell back to zero with every deployment."""
    panel = {"id": 1, "type": "stat", "title": "P", "datasource": SOURCES["prometheus"], "targets": [{"refId": "A", "expr": query}]}  # fmt: skip
    variable = {"name": "v", "hide": 2, "type": "query", "query": f"query_result({query})", "datasource": SOURCES["prometheus"]}  # fmt: skip
    for description, tells in (("Calls.", False), ("Calls since the last start.", True)):
        model = {"uid": "d", "title": "D", "panels": [{**panel, "description": description}], "templating": {"list": [variable]}}  # fmt: skip
        (tmp_path / "d.json").write_text(json.dumps(model))
        found = [one for one in check([tmp_path], contract).findings if one.id == "promql/counter"]
        assert bool(found) is (reported and not tells)
        assert all("only grows" in one.sentence and one.title == "P" for one in found)


@pytest.mark.parametrize(
    ("query", "words", "column"),
    [
        ('{ span.http.rout = "a" }', "traceql/attribute: no span has the attribute http.rout. Did you mean http.route?", 3),
        ('{ resource.service = "a" }', "traceql/attribute: no resource has the attribute service. Did you mean service.name?", 3),
        ('{ .http.rout = "a" }', "traceql/attribute: no span and no resource has", 3),
        ('{ span.gwz.outcome = "sucess" }', "traceql/value: gwz.outcome is never 'sucess'. Did you mean success?", 22),
        ("{ } | rate() by (resource.nam)", "traceql/attribute", 18),
        ("{ } | select(span.http.rute)", "traceql/attribute", 14),
    ],
)  # fmt: skip
def test_traceql_that_parses_and_shows_nothing_is_found(ask: object, query: str, words: str, column: int) -> None:
    (found,) = ask("tempo", query)
    assert found[0].startswith(words)
    assert found[1] == column


def test_traceql_that_shows_something_is_not_reported(ask: object) -> None:
    query = '{ .service.name = "$v" && span.gwz.outcome =~ "err.*" && event.exception.type != nil } | select(span.http.route)'
    assert ask("tempo", query) == []
    assert ask("tempo", "0123456789abcdef0123456789abcdef") == []


@pytest.mark.parametrize(
    ("kind", "query", "legend", "missing"),
    [
        ("prometheus", "sum by (provider) (calls_total)", "{{provider}} {{status}}", "status"),
        ("loki", 'sum by (level) (rate({app="x"}[5m]))', "{{app}}", "app"),
    ],
)
def test_a_legend_of_a_label_that_is_aggregated_away_is_found(ask: object, kind: str, query: str, legend: str, missing: str) -> None:  # fmt: skip
    (found,) = ask(kind, query, "short", legend)
    assert found[0].startswith(f"{'promql' if kind == 'prometheus' else 'logql'}/legend: the legend shows {missing}")


@pytest.mark.parametrize(
    ("kind", "query", "wrong", "right"),
    [
        ("prometheus", "histogram_quantile(0.9, sum by (le) (rate(wait_seconds_bucket[5m])))", "ms", "s"),
        ("prometheus", "histogram_quantile(0.9, sum by (le) (rate(wait_seconds_bucket[5m]))) * 1000", "s", "ms"),
        ("prometheus", "rate(wait_seconds_sum[5m]) / rate(wait_seconds_count[5m])", "short", "s"),
        ("prometheus", "load_ratio", "percent", "percentunit"),
        ("prometheus", "100 * load_ratio", "percentunit", "percent"),
        ("prometheus", "1 - load_ratio", "percent", "percentunit"),
        ("prometheus", 'sum(rate(calls_total{status="error"}[5m])) / sum(rate(calls_total[5m]))', "percent", "percentunit"),
        ("prometheus", "rate(busy_seconds_total[5m])", "percent", "percentunit"),
        ("prometheus", "sum(increase(cost_total[1d]))", "short", "currencyUSD"),
        ("prometheus", "sum(rate(cost_total[1h])) * 3600", "currencyEUR", "currencyUSD"),
        ("prometheus", "sum(rate(calls_total[5m]))", "opm", "reqps"),
        ("prometheus", "sum(rate(calls_total[5m])) * 60", "reqps", "cpm"),
        ("prometheus", "sum(calls_total)", "s", "short"),
        ("prometheus", "state", "s", "none"),
        ("prometheus", "size_bytes / 1024 / 1024", "bytes", "mbytes"),
        ("prometheus", "size_bytes > 5 or size_bytes", "s", "bytes"),
        ("loki", 'quantile_over_time(0.9, {app="x"} | json | unwrap duration_ms [5m]) by (app)', "s", "ms"),
        ("loki", 'sum(rate({app="x"}[5m]))', "s", "reqps"),
        ("loki", 'sum(bytes_over_time({app="x"}[5m]))', "short", "bytes"),
        ("tempo", "{ } | quantile_over_time(duration, .9)", "ms", "s"),
        ("tempo", "{ } | rate()", "percent", "reqps"),
    ],
)  # fmt: skip
def test_a_unit_that_contradicts_the_value_is_found_and_the_right_one_is_not(
    ask: object, kind: str, query: str, wrong: str, right: str
) -> None:
    (found,) = ask(kind, query, wrong)
    assert found[0].startswith("panel/unit: the value is ")
    assert found[0].endswith(f"Set the unit to {right}.")
    assert ask(kind, query, right) == []


@pytest.mark.parametrize(
    ("query", "unit"),
    [
        ("time() - max by (job) (process_start_time_seconds)", "dtdurations"),
        ("calls_total", "locale"),
        ("load_ratio", "short"),
        ("size_bytes / 1e6", "short"),
        ("size_bytes", "suffix: octets"),
        ("state == bool 1", "bool_yes_no"),
        ("stdvar(wait_seconds_sum)", "s"),
        ("exp(size_bytes)", "none"),
        ("sum(rate(calls_total[5m]))", "tokens/s"),
    ],
)
def test_a_unit_that_may_be_right_is_not_reported(ask: object, query: str, unit: str) -> None:
    assert [found for found, _ in ask("prometheus", query, unit) if found.startswith("panel/unit")] == []


@pytest.mark.parametrize(
    ("matcher", "reported"),
    [
        ({"id": "byName", "options": "p95"}, False),
        ({"id": "byName", "options": "p50"}, True),
        ({"id": "byFrameRefID", "options": "A"}, False),
        ({"id": "byRegexp", "options": "/p9.*/"}, False),
        ({"id": "byType", "options": "number"}, False),
    ],
)
def test_an_override_s_unit_counts_for_the_values_that_it_fits(ask: object, matcher: object, reported: bool) -> None:  # noqa: FBT001
    query = "rate(wait_seconds_sum[5m]) / rate(wait_seconds_count[5m])"
    overrides = [{"matcher": matcher, "properties": [{"id": "unit", "value": "s"}]}]
    assert bool(ask("prometheus", query, "ms", "p95", overrides=overrides)) is reported


def test_recording_rules_of_the_same_run_are_declared_with_their_labels_and_unit(
    tmp_path: Path, contract: Contract
) -> None:
    rules = [
        {"record": "provider:wait_seconds:mean5m", "expr": "sum by (provider) (rate(wait_seconds_sum[5m])) / sum by (provider) (rate(wait_seconds_count[5m]))"},
        {"record": "wait:max", "expr": "max(provider:wait_seconds:mean5m)", "labels": {"team": "x"}},
    ]  # fmt: skip
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    targets = [
        {"refId": "A", "expr": 'sum by (provider) (provider:wait_seconds:mean5m) / on() wait:max{team="x"}'},
        {"refId": "B", "expr": "sum by (status) (provider:wait_seconds:mean5m)"},
        {"refId": "C", "expr": "max(provider:wait_seconds:mean10m)"},
    ]
    panels = [
        {"id": 1, "type": "logs", "title": "P", "datasource": SOURCES["prometheus"], "targets": targets},
        {"id": 2, "type": "stat", "title": "Q", "datasource": SOURCES["prometheus"], "targets": [{"refId": "A", "expr": "provider:wait_seconds:mean5m"}], "fieldConfig": {"defaults": {"unit": "ms"}}},
    ]  # fmt: skip
    (tmp_path / "d.json").write_text(json.dumps({"uid": "d", "title": "D", "panels": panels}))
    outcome = check([tmp_path], contract)
    assert [(one.panel, one.ref, one.id) for one in outcome.findings] == [
        (1, "B", "promql/label"),
        (1, "C", "promql/metric"),
        (2, "A", "panel/unit"),
    ]


def json_query(**changes: object) -> dict[str, object]:
    return {
        "type": "json",
        "source": "url",
        "parser": "backend",
        "url": "/api/health",
        "root_selector": "",
        "columns": [],
        **changes,
    }


def column(selector: str, type_: str = "number") -> dict[str, str]:
    return {"selector": selector, "text": selector, "type": type_}


@pytest.mark.parametrize(
    ("changes", "id_", "cure"),
    [
        ({"parser": "simple"}, "infinity/parser", 'Set "parser": "backend".'),
        ({"parser": ""}, "infinity/parser", 'Set "parser": "backend".'),
        ({"type": "csv"}, "infinity/type", 'Set "type": "json".'),
        ({"url": "https://example.com/api/health"}, "infinity/url", "Write the path alone: /api/…"),
        ({"url": "/api/helth"}, "infinity/endpoint", "Did you mean /api/health?"),
        ({"url": "/api/test"}, "infinity/endpoint", "It is asked with POST."),
        ({"url": "/api/stats/x?hour=1"}, "infinity/parameter", "Did you mean hours?"),
        ({"url": "/api/stats/x?hours=169"}, "infinity/parameter", "Correct the value."),
        ({"url": "/api/stats/x", "url_options": {"params": [{"key": "sort", "value": "name"}]}}, "infinity/parameter", "Correct the value."),
        ({"columns": [column("eror_rate")]}, "infinity/field", "Did you mean error_rate?"),
        ({"url": "/api/stats/x", "root_selector": "seris"}, "infinity/root", "Did you mean series"),
        ({"url": "/api/stats/x", "root_selector": "series", "columns": [column("total")]}, "infinity/field", ""),
        ({"url": "/api/stats/x", "root_selector": "providers", "columns": [column("total_cost")]}, "infinity/field", ""),
        ({"url": "/api/stats/x", "root_selector": "$each(provders, function($v) {$v})", "columns": []}, "infinity/root", "Did you mean providers?"),
        ({"columns": [column("error_rate", "string")]}, "infinity/type", "Type it number."),
        ({"columns": [column("seen", "timestamp_epoch")]}, "infinity/type", "Type it timestamp_epoch_s."),
        ({"url": "/api/stats/x", "format": "timeseries", "root_selector": "series", "columns": [column("time", "string")]}, "infinity/type", "Type it timestamp."),
    ],
)  # fmt: skip
def test_a_json_query_that_shows_nothing_is_found(contract: Contract, changes: dict[str, object], id_: str, cure: str) -> None:  # fmt: skip
    _, (problem,) = infinity.examined(json_query(**changes), contract)
    assert problem.id == id_
    assert problem.cure.startswith(cure)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"columns": [column("provider", "string"), column("error_rate")]}, ["[].provider", "[].error_rate"]),
        ({"columns": [column("seen", "timestamp_epoch_s")]}, ["[].seen"]),
        ({"url": "/api/stats/${v}?hours=$v&sort=cost", "columns": [column("total")]}, ["total"]),
        ({"url": "/api/stats/x", "root_selector": "series", "columns": [column("time", "timestamp"), column("p95_latency_ms")]}, ["series[].time", "series[].p95_latency_ms"]),
        ({"url": "/api/stats/x", "root_selector": "series.#", "columns": [column("p95_latency_ms")]}, ["series[].p95_latency_ms"]),
        ({"url": "/api/stats/x", "root_selector": "providers.*", "columns": [column("total_cost")]}, ["providers.*.total_cost"]),
        ({"url": "/api/stats/x", "root_selector": "providers.${v}", "columns": [column("total_cost")]}, ["providers.*.total_cost"]),
        ({"url": "/api/stats/x", "columns": [column("providers.a.total_cost")]}, ["providers.*.total_cost"]),
        ({"url": "/api/stats/x", "root_selector": '$append([], $map($keys(providers), function($k){$merge([{"provider": $k}, $lookup(providers, $k)])}))', "columns": [column("provider", "string"), column("total_cost")]}, ["providers.*.total_cost"]),
        ({"url": "/api/test", "url_options": {"method": "POST"}, "columns": [column("ok", "boolean")]}, ["ok"]),
        ({"source": "inline", "parser": "simple"}, []),
    ],
)  # fmt: skip
def test_a_json_query_that_shows_something_is_not_reported(contract: Contract, changes: dict[str, object], fields: list[str]) -> None:  # fmt: skip
    columns, problems = infinity.examined(json_query(**changes), contract)
    assert problems == []
    assert [one.field.name for one in columns] == fields


def test_a_json_field_s_unit_is_held_against_the_panel_s(tmp_path: Path, contract: Contract) -> None:
    source = {"type": "yesoreyeram-infinity-datasource", "uid": "api"}
    (tmp_path / "datasources.json").write_text(json.dumps({"datasources": [{**source, "name": "API"}]}))
    target = json_query(refId="A", url="/api/stats/x", root_selector="series", columns=[column("p95_latency_ms")])
    panel = {"id": 1, "type": "stat", "title": "P", "datasource": source, "targets": [target]}
    for unit, ids in (("s", ["panel/unit"]), ("ms", [])):
        model = {"uid": "d", "title": "D", "panels": [{**panel, "fieldConfig": {"defaults": {"unit": unit}}}]}
        (tmp_path / "d.json").write_text(json.dumps(model))
        assert [one.id for one in check([tmp_path], contract).findings] == ids


@pytest.mark.parametrize(
    ("name", "unit"),
    [("p95_latency_ms", "ms"), ("window_s", "s"), ("total_cost", "currencyUSD"), ("error_rate", "percentunit"), ("health_score", "percent")],
)  # fmt: skip
def test_a_field_s_name_tells_its_unit(name: str, unit: str) -> None:
    value = units.of_field(name)
    assert value is not None
    assert units.contradiction(value, unit) is None
    assert units.contradiction(value, "dthms" if unit != "s" else "ms") is not None


@pytest.mark.parametrize(("name", "wrong"), [("total_requests", "s"), ("tokens_input", "percent")])
def test_a_whole_number_counts_unless_it_is_named_for_a_time(name: str, wrong: str) -> None:
    value = units.of_field(name, counts=True)
    assert value is not None
    assert units.contradiction(value, wrong) is not None
    assert units.contradiction(value, "locale") is None
    assert units.of_field("hours", counts=True) is None


def test_the_servers_own_metrics_pass_unless_they_are_a_slip(contract: Contract) -> None:
    assert contract.find("redis_allocator_active_bytes") == Series("redis_allocator_active_bytes", "", "", None)
    assert contract.find("redis_connected_client") is None
    assert contract.find("myapp_calls") is None


@pytest.mark.parametrize(("text", "words"), [("{", "is not a contract"), ("{}", "is not a contract: it has no metrics"), ("[]", "is not a contract: it is \\[\\], not an object"), ("[" * 100_000, "nested too deeply"), (None, "cannot read the contract")])  # fmt: skip
def test_a_contract_that_cannot_be_used_is_named_with_its_cure(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "contract.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Misconfigured, match=words) as caught:
        load(file)
    assert str(file) in caught.value.cause
    assert "--no-contract" in caught.value.cure
