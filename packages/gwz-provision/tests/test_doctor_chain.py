"""The doctor's decisions, from literals: trees of queries, data sources, chains, JSON answers, receivers."""

import time
from typing import Any

import pytest

from gwz_provision.bundle import Bundle
from gwz_provision.check import contract
from gwz_provision.check.promql import Matcher, Selector
from gwz_provision.doctor import chain, infinity, receivers, sources, trees
from gwz_provision.doctor.chain import Facts, Scrapes, Target
from gwz_provision.queries import INFINITY, Query
from gwz_provision.report import Hop

CONTRACT = contract.load()


def selector(text: str) -> Selector:
    (found,) = trees.leaves(trees.of_promql(text) or pytest.fail(text), {})
    return found


def blamed(text: str, *absent: str, rules: dict[str, str] | None = None, logs: bool = False) -> list[str]:
    made = {name: trees.of_promql(expr) or pytest.fail(expr) for name, expr in (rules or {}).items()}
    tree = (trees.of_logql if logs else trees.of_promql)(text) or pytest.fail(text)
    gone = {one for one in trees.leaves(tree, made) if trees.written(one) in absent}
    assert len(gone) == len(absent)
    return [trees.written(one) for one in trees.blamed(tree, gone, made)]


# Which selector is to blame.


@pytest.mark.parametrize(
    ("text", "absent", "expected"),
    [
        ("sum(rate(a[5m]))", ["a"], ["a"]),
        ("sum(rate(a[5m]))", [], []),
        ("a / b", ["b"], ["b"]),
        ("a and b", ["b"], ["b"]),
        # One side suffices to `or`; to `unless`, the left one.
        ("a or b", ["a"], []),
        ("a or b", ["a", "b"], ["a", "b"]),
        ("a unless b", ["b"], []),
        ("a unless b", ["a"], ["a"]),
        ("(a or on() b * 0) / c", ["a", "c"], ["c"]),
        ("topk(5, a)", ["a"], ["a"]),
        ("histogram_quantile(0.9, sum by (le) (rate(a[5m])))", ["a"], ["a"]),
        ("vector(1)", [], []),
    ],
)
def test_only_what_makes_the_whole_query_empty_is_blamed(text: str, absent: list[str], expected: list[str]) -> None:
    assert blamed(text, *absent) == expected


def test_a_recorded_metric_passes_the_blame_on_to_what_makes_it() -> None:
    rules = {"job:a:rate": "sum by (job) (rate(a[5m]))", "job:b:ratio": "job:a:rate / b > 0"}
    assert blamed("max(job:a:rate)", "job:a:rate", "a", rules=rules) == ["a"]
    assert blamed("job:b:ratio", "job:b:ratio", "job:a:rate", "a", rules=rules) == ["a"]
    # All that it is made of is there: it was not evaluated yet, or its comparison lets nothing through.
    assert blamed("job:a:rate", "job:a:rate", rules=rules) == ["job:a:rate"]
    assert blamed("job:b:ratio", "job:b:ratio", rules=rules) == []


def test_log_queries_are_trees_of_the_same_kind() -> None:
    errors = 'sum(count_over_time({a="b", level="error"} [5m])) or sum(count_over_time({a="b"} [5m])) * 0'
    assert blamed(errors, '{a="b", level="error"}', logs=True) == []
    assert blamed(errors, '{a="b", level="error"}', '{a="b"}', logs=True) == ['{a="b", level="error"}', '{a="b"}']


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > 1", True),
        ("a > bool 1", False),
        ("sum(a / (b > 0))", True),
        ("a and b", True),
        ("a + b", False),
        ("sum(rate(a[5m]))", False),
    ],
)
def test_a_comparison_may_let_nothing_through(text: str, expected: object) -> None:
    assert trees.narrows(trees.of_promql(text) or pytest.fail(text), {}) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{a="b"}', False),
        ('{a="b"} |= "x"', True),
        ('{a="b"} | json | c="d"', True),
        ('sum(rate({a="b"} | json [5m]))', False),
    ],
)
def test_a_filter_of_lines_may_let_nothing_through(text: str, expected: object) -> None:
    assert trees.narrows(trees.of_logql(text) or pytest.fail(text), {}) is expected


def test_a_selector_is_written_without_what_everything_meets() -> None:
    assert trees.written(selector('up{job=~".*", a="\\"x\\"", b!~"y"} offset 5m')) == 'up{a="\\"x\\"", b!~"y"}'
    assert trees.of_promql("sum(") is None
    assert trees.of_logql("{") is None


@pytest.mark.parametrize(
    ("operator", "value", "given", "expected"),
    [
        ("=", "a", "a", True),
        ("=", "a", "ab", False),
        ("!=", "a", "b", True),
        ("=~", "a|b", "b", True),
        ("=~", "a", "ab", False),
        ("=~", ".+", "", False),
        ("!~", "a.*", "ab", False),
        # What only RE2 takes, or would keep Python busy for years, is for the server to judge.
        ("=~", r"\pL+", "1", True),
        ("=~", "(a+)+$", "a" * 60 + "!", True),
        ("!~", "(a+)+$", "a" * 60 + "!", True),
    ],
)
def test_conditions(operator: Any, value: str, given: str, expected: object) -> None:
    assert trees.meets(Matcher("l", operator, value), given) is expected


# Data sources.


def source(url: str, kind: str = "prometheus") -> dict[str, Any]:
    return {"uid": "p", "type": kind, "url": url}


@pytest.mark.parametrize(
    "url",
    ["", "/", ":9090", "prom:9090", "http://", "http://${HOST}:9090", "ftp://host", "http://[::1", "http://h:99999999"],
)
def test_an_address_that_no_server_can_have(url: str) -> None:
    hop = sources.address(source(url), ours=False) or pytest.fail(url)
    assert (hop.id, "PROMETHEUS_INTERNAL_URL" in hop.cure) == ("host:p", True)
    assert f"has the URL {url!r}" in hop.cause


def test_an_address_with_a_password_keeps_it() -> None:
    hop = sources.unwell(source("http://me:secret@host:9090"), "what?")
    assert "secret" not in hop.cause
    assert "http://***@host:9090" in hop.cause
    assert sources.address(source("http://me:secret@host:9090"), ours=True) is None


def test_an_address_is_missed_only_where_one_is_needed() -> None:
    """The queries of an Infinity that is not ours may have whole addresses; what only makes up data has none."""
    assert sources.address(source("", "grafana-testdata-datasource"), ours=True) is None
    assert sources.address(source("", INFINITY), ours=False) is None
    assert sources.address(source("", INFINITY), ours=True) is not None


@pytest.mark.parametrize("url", ["http://[::1", "http://h:99999999"])
def test_a_broken_link_at_an_address_that_is_none_is_told_all_the_same(url: str) -> None:
    assert sources.unwell(source(url), "connect: connection refused").id == "host:p"


@pytest.mark.parametrize(
    ("named", "reached"),
    [
        ({"uid": "p"}, {"uid": "p", "type": "prometheus"}),
        ({"uid": "p", "type": "loki"}, {"uid": "p", "type": "loki"}),
        ({"uid": "Logs"}, {"uid": "l", "type": "loki"}),
        ({}, {"uid": "l", "type": "loki"}),
        ({"uid": "default", "type": "loki"}, {"uid": "l", "type": "loki"}),
        ({"uid": "gone", "type": "loki"}, {"uid": "gone", "type": "loki"}),
    ],
)
def test_a_data_source_is_found_as_grafana_finds_it(named: Any, reached: Any) -> None:
    """By its uid, else by its name, and by none as the default."""
    live = {
        "p": {"uid": "p", "name": "Metrics", "type": "prometheus", "isDefault": False},
        "l": {"uid": "l", "name": "Logs", "type": "loki", "isDefault": True},
    }
    assert sources.found(live, named) == reached


@pytest.mark.parametrize(
    ("url", "words", "id_", "said"),
    [
        ("http://h:1", 'Post "http://h:1": dial tcp: lookup h on 1.1.1.1:53: no such host', "host:p", "h does not resolve"),
        ("http://h:1", "dial tcp 1.2.3.4:1: connect: connection refused", "host:p", "nothing listens on port 1"),
        ("http://h", "dial tcp 1.2.3.4:80: connect: connection refused", "host:p", "the URL names no port"),
        ("https://h", "dial tcp 1.2.3.4:443: connect: connection refused", "host:p", "on port 443"),
        ("http://p.railway.internal:9090", "connect: connection refused", "host:p", "listen on [::]"),
        ("https://h:1", "http: server gave HTTP response to HTTPS client", "host:p", "speaks http, and"),
        ("https://h:1", "tls: first record does not look like a TLS handshake", "host:p", "speaks http, and"),
        ("http://h:1", "Client sent an HTTP request to an HTTPS server.", "host:p", "speaks https, and"),
        ("https://h:1", "x509: certificate signed by unknown authority", "host:p", "does not trust"),
        ("http://h:1", "dial tcp 1.2.3.4:1: i/o timeout", "host:p", "nothing answers"),
        ("http://h:1", 'Get "h:1": unsupported protocol scheme "h"', "host:p", "no scheme"),
        ("http://h:1", "no org id\n", "tenant:p", "X-Scope-OrgID"),
        ("http://h:1", "401 Unauthorized", "token:p", "refuses Grafana's credentials"),
        ("http://h:1", "Authentication to data source failed", "token:p", "refuses Grafana's credentials"),
        ("http://h:1", "Plugin not registered", "plugin:prometheus", "not installed"),
        ("http://h:1", "404 page not found", "health:p", "is no prometheus"),
        ("http://h:1", "database is locked", "health:p", "database is locked"),
    ],
)  # fmt: skip
def test_the_words_of_a_failure_name_the_hop(url: str, words: str, id_: str, said: str) -> None:
    hop = sources.unwell(source(url), words)
    assert hop.id == id_
    assert said in f"{hop.cause} {hop.cure}"


def test_a_refused_query_is_no_fault_of_the_way() -> None:
    assert sources.unreachable(source("http://h:1"), "bad_data: parse error: unclosed left parenthesis") is None


# The chain behind Prometheus.


UP = Target("gatewayz_a", "a:1", "http://a:1/metrics", up=True)
DOWN = Target("gatewayz_b", "b:1", "http://b:1/metrics", up=False, error="server returned HTTP status 401 Unauthorized")
REDIS = Target("redis_exporter", "r:1", "http://r:1/metrics", up=False, error="connection refused")
NODE = Target("node", "n:1", "http://n:1/metrics", up=False, error="connection refused")
WATCHED = ((Matcher("job", "=~", "gatewayz_.+"),), (Matcher("job", "=", "redis_exporter"),))


def scrapes(*targets: Target, rules: dict[str, str] | None = None, declared: dict[str, str] | None = None) -> Scrapes:
    return Scrapes("p", "15d", targets, WATCHED, rules or {}, declared or {})


def judged(text: str, facts: Facts, at: Scrapes) -> Hop:
    return chain.metric(selector(text), facts, at, CONTRACT)


def test_a_rule_that_is_not_loaded_comes_before_its_targets() -> None:
    declared = {"job:a:rate": "rate(a[5m])", "job:b:rate": "rate(b[5m])"}
    alone = judged("job:a:rate", Facts(), scrapes(DOWN, declared=declared))
    assert (alone.id, "nor is any other of the bundle's 2" in alone.cause) == ("rule:p", True)
    beside = judged("job:a:rate", Facts(), scrapes(DOWN, declared=declared, rules={"job:b:rate": ""}))
    assert beside.id == "rule:job:a:rate"
    failing = judged("job:a:rate", Facts(), scrapes(UP, declared=declared, rules={"job:a:rate": "many-to-many"}))
    assert "its evaluation fails: many-to-many" in failing.cause
    young = judged("job:a:rate", Facts(ever=False), scrapes(UP, declared=declared, rules={"job:a:rate": ""}))
    assert "has recorded nothing yet" in young.cause


def test_the_target_that_a_metric_came_from_is_named() -> None:
    hop = judged("requests_total", Facts(jobs=("gatewayz_b",)), scrapes(UP, DOWN, REDIS))
    assert (hop.id, "401 Unauthorized" in hop.cause, "GWZ_METRICS_TOKEN" in hop.cure) == (
        "target:gatewayz_b/b:1",
        True,
        True,
    )
    gone = judged("requests_total", Facts(jobs=("gatewayz_old",)), scrapes(UP))
    assert (gone.id, "no target of the job gatewayz_old any more" in gone.cause) == ("target:gatewayz_old", True)


def test_a_metric_never_seen_is_laid_at_the_target_that_would_emit_it_and_at_no_other() -> None:
    never = Facts(ever=False)
    assert judged("redis_up", never, scrapes(UP, DOWN, REDIS, NODE)).id == "target:redis_exporter/r:1"
    assert judged("fastapi_requests_total", never, scrapes(UP, DOWN, REDIS)).id == "target:gatewayz_b/b:1"
    assert judged("fastapi_requests_total", never, scrapes(UP, REDIS, NODE)).id == "metric:fastapi_requests_total"
    assert (
        judged('fastapi_requests_total{job="gatewayz_a"}', never, scrapes(UP, DOWN)).id
        == "metric:fastapi_requests_total"
    )
    assert judged("redis_up", never, scrapes(UP)).id == 'target:up{job="redis_exporter"}'
    assert judged("traces_spanmetrics_calls_total", never, scrapes(DOWN)).id == "metric:traces_spanmetrics_calls_total"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fastapi_requests_total", "the application emits it"),
        ("traces_spanmetrics_calls_total", "Tempo's metrics generator"),
        ("redis_up", "redis_exporter emits it"),
        ("nowhere_total", "nothing that we know emits it"),
    ],
)
def test_a_metric_never_seen_is_told_with_who_emits_it(name: str, words: str) -> None:
    redis = Target("redis_exporter", "r:1", "http://r:1", up=True)
    hop = judged(name, Facts(ever=False), scrapes(UP, redis))
    assert (hop.id, words in hop.cause) == (f"metric:{name}", True)


def test_who_does_not_tell_its_targets_is_not_judged_by_them() -> None:
    mute = Scrapes("p", "15d", None, WATCHED, {}, {})
    assert judged("redis_up", Facts(ever=False), mute).id == "metric:redis_up"


def test_labels_values_and_ranges_follow_in_that_order() -> None:
    facts: dict[str, Any] = {"jobs": ("gatewayz_a",)}
    text = 'requests_total{path="/a", status=~"5.."}'
    assert judged(text, Facts(values={"path": ()}, **facts), scrapes(UP)).id == "label:requests_total.path"
    value = judged(text, Facts(values={"path": ("/a",), "status": ("200", "404")}, **facts), scrapes(UP))
    assert (value.id, "there are 200, 404" in value.cause) == ('value:requests_total{status=~"5.."}', True)
    met = {"path": ("/a",), "status": ("200", "500")}
    apart = judged(text, Facts(values=met, together=False, **facts), scrapes(UP))
    assert (apart.id, "nothing meets all of them" in apart.cause) == (f"value:{text}", True)
    foreign = 'requests_total{path="/a", status=~"(5+)+"}'
    unjudged = judged(foreign, Facts(values=met, together=False, **facts), scrapes(UP))
    assert unjudged.cause.endswith('; what {status=~"(5+)+"} matches, only the server can tell.')
    old = judged(text, Facts(values=met, last=time.time() - 7200, **facts), scrapes(UP))
    assert (old.id, "was 2 h ago" in old.cause) == (f"range:{text}", True)
    assert "long ago" in judged(text, Facts(values=met, **facts), scrapes(UP)).cause


def test_a_label_that_may_be_missing_is_not_missed() -> None:
    there = Facts(jobs=("gatewayz_a",), values={"a": (), "b": ()}, last=time.time())
    assert judged('x_total{a!="1", b=~"|2"}', there, scrapes(UP)).kind == "range"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("server returned HTTP status 403 Forbidden", "GWZ_METRICS_TOKEN"),
        ("server returned HTTP status 404 Not Found", "metrics_path"),
        ("connect: connection refused", "Start it"),
        ("unexpected end of input", "/targets of Prometheus"),
    ],
)
def test_the_error_of_a_scrape_decides_its_cure(error: str, words: str) -> None:
    assert words in chain.down(Target("j", "i", "u", up=False, error=error)).cure


@pytest.mark.parametrize(
    ("seconds", "words"), [(-3, "0 s"), (30, "30 s"), (600, "10 min"), (7200, "2 h"), (300_000, "3 d")]
)
def test_how_long_ago(seconds: float, words: str) -> None:
    assert chain.ago(seconds) == words


# JSON.


LIVE = {"uid": "api", "type": INFINITY, "url": "http://app"}


def asked(path: str, *columns: str, root: str = "") -> Query:
    listed = [{"selector": one, "text": one.title(), "type": "number"} for one in columns]
    return Query("d", 1, "A", "api", INFINITY, {"url": path, "root_selector": root, "columns": listed})


def answered(body: Any, **columns: list[Any]) -> dict[str, Any]:
    fields = [{"name": name, "type": "string" if name == "Provider" else "number"} for name in columns]
    schema = {"fields": fields, "meta": {"custom": {"data": body}}}
    return {"frames": [{"schema": schema, "data": {"values": list(columns.values())}}]}


REALTIME, HEALTH = "/api/monitoring/stats/realtime", "/api/monitoring/health"


def test_a_null_is_held_against_the_contract_field_by_field() -> None:
    null = answered({"avg_health_score": None}, Avg_Health_Score=[None])
    verdict = infinity.judged(asked(REALTIME, "avg_health_score"), LIVE, null, CONTRACT)
    assert isinstance(verdict, str)
    assert "says null, which it may" in verdict
    refused = infinity.judged(asked(REALTIME, "hours"), LIVE, answered({"hours": None}, Hours=[None]), CONTRACT)
    assert isinstance(refused, Hop)
    assert (refused.kind, "null for Hours" in refused.cause) == ("column", True)


def test_a_name_beside_a_null_is_not_held_against_it() -> None:
    body = [{"provider": "a", "health_score": None}]
    rows = answered(body, Provider=["a"], Health_Score=[None])
    verdict = infinity.judged(asked(HEALTH, "provider", "health_score"), LIVE, rows, CONTRACT)
    assert isinstance(verdict, str)


def test_a_column_that_no_row_has_is_missed_even_beside_data() -> None:
    rows = answered({"data": [{"a": 1}]}, A=[1], B=[None])
    hop = infinity.judged(asked("/x", "a", "b", root="data"), LIVE, rows, CONTRACT)
    assert isinstance(hop, Hop)
    assert (hop.id, "there are a" in hop.cause) == ("column:api/x#b", True)
    assert infinity.judged(asked("/x", "a.b"), LIVE, answered({"a": {"b": 1}}, A=[1]), CONTRACT) is None


def test_a_root_that_is_calculated_is_not_followed() -> None:
    rows = answered({"providers": {}}, Provider=["a"], Cost=[1])
    assert (
        infinity.judged(asked("/x", "provider", "cost", root="$map($keys(providers), f)"), LIVE, rows, CONTRACT) is None
    )


def refusal(words: str) -> dict[str, Any]:
    return {"error": f"error while performing the infinity query. {words}"}


@pytest.mark.parametrize(
    ("words", "id_"),
    [
        ("unsuccessful HTTP response. 401 Unauthorized", "token:api"),
        ("unsuccessful HTTP response. 403 Forbidden", "token:api"),
        ("unsuccessful HTTP response. 404 Not Found", "endpoint:api/x"),
        ("unsuccessful HTTP response. 503 Service Unavailable", "endpoint:api/x"),
        ("error evaluating JSONata expression\nno results found", "column:api/x#rows"),
        ("unable to parse response body as JSON. invalid character '<'", "endpoint:api/x"),
        ("dial tcp: lookup app: no such host", "host:api"),
        ("something new", "endpoint:api/x"),
    ],
)
def test_the_error_of_a_json_query_names_the_hop(words: str, id_: str) -> None:
    assert infinity.refused(asked("/x?a=b", "a", root="rows"), LIVE, refusal(words)).id == id_


def test_the_words_of_a_failing_endpoint_are_passed_on_or_how_to_hear_them() -> None:
    busy = refusal("unsuccessful HTTP response. 503 Service Unavailable")
    assert infinity.status_of(busy) == 503
    assert "Redis is away" in infinity.refused(asked("/x"), LIVE, busy, "Redis is away").cause
    assert "ask it yourself" in infinity.refused(asked("/x"), LIVE, busy).cause


def test_one_hop_stands_for_all_paths_only_if_none_is_there() -> None:
    hops = [infinity.refused(asked(path), LIVE, refusal("unsuccessful HTTP response. 404 Not Found")) for path in "ab"]
    assert infinity.unmounted("api", 3, hops) is None
    common = infinity.unmounted("api", 2, hops) or pytest.fail("none")
    assert (common.id, "none of the 2 paths" in common.cause) == ("endpoint:api", True)


# Receivers.


def told(*there: str, optional: bool = False) -> tuple[list[str], str]:
    rules = (
        {"uid": "a", "title": "A", "labels": {"severity": "critical"}},
        {"uid": "b", "title": "B", "labels": {"severity": "warning"}, "notification_settings": {"receiver": "Own"}},
        {"uid": "c", "title": "C"},
    )
    routes = (
        {"receiver": "On call", "object_matchers": [["severity", "=", "critical"]], "continue": True},
        {"receiver": "All"},
        {"receiver": "Never"},
    )
    points = tuple(
        {
            "uid": name,
            "name": name,
            "type": "webhook",
            "settings": {"url": f"${{{name.upper()}_HOOK}}"},
            "optional": optional,
        }
        for name in ("All", "Own")
    )
    bundle = Bundle((), (), (), rule_groups=({"rules": list(rules)},), routes=routes, contact_points=points)
    hops, note = receivers.judged(bundle, there)
    return [hop.id for hop in hops], note


def test_alerts_are_followed_down_the_routes() -> None:
    assert told() == (["receiver:On call", "receiver:All", "receiver:Own"], "")
    assert told("On call", "All") == (["receiver:Own"], "")
    assert told("On call", "All", "Own") == ([], "")


def test_receivers_that_nobody_set_are_told_of() -> None:
    ids, note = told("On call", optional=True)
    assert ids == []
    assert "2 alert rules tell nobody" in note
    assert "ALL_HOOK, OWN_HOOK" in note
    assert told("On call", "All", "Own", optional=True) == ([], "")
