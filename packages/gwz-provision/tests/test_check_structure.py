"""What frames the queries: dashboards, alert rules, policies, rule files, and files that are none of these."""

import copy
import json
import time
from pathlib import Path

import pytest

from gwz_provision.check.findings import Finding
from gwz_provision.check.run import check
from gwz_provision.errors import Misconfigured

PROMETHEUS = {"type": "prometheus", "uid": "grafana_prometheus"}
PANEL = {
    "id": 1,
    "type": "stat",
    "title": "P",
    "datasource": PROMETHEUS,
    "gridPos": {"x": 0, "y": 0, "w": 12, "h": 8},
    "targets": [{"refId": "A", "expr": "up", "datasource": PROMETHEUS}],
}
DASHBOARD = {"uid": "d", "title": "D", "refresh": "10s", "panels": [PANEL]}
RULE = {
    "uid": "r",
    "title": "R",
    "condition": "B",
    "noDataState": "OK",
    "execErrState": "Error",
    "for": "1m",
    "data": [
        {"refId": "A", "datasourceUid": "grafana_prometheus", "relativeTimeRange": {"from": 300, "to": 0}, "model": {"expr": "up"}},
        {"refId": "B", "datasourceUid": "__expr__", "model": {"type": "threshold", "expression": "A"}},
    ],
}  # fmt: skip


def findings(folder: Path, **files: object) -> list[Finding]:
    for name, content in files.items():
        file = folder / name.replace("__", "/").replace("_json", ".json").replace("_yml", ".yml")
        file.parent.mkdir(exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return list(check([folder], None).findings)


def panel(**changes: object) -> dict[str, object]:
    return {**PANEL, **changes}


def test_a_sound_dashboard_and_a_sound_rule_have_no_findings(tmp_path: Path) -> None:
    files = {"d_json": DASHBOARD, "r_json": {"apiVersion": 1, "groups": [{"name": "g", "folder": "f", "interval": "1m", "rules": [RULE]}]}}  # fmt: skip
    assert findings(tmp_path, **files) == []


@pytest.mark.parametrize(
    ("changes", "id_", "words"),
    [
        ({"uid": "x" * 41}, "dashboard/uid", "is not 1 to 40"),
        ({"uid": "a/b"}, "dashboard/uid", "is not 1 to 40"),
        ({"uid": None}, "dashboard/uid", "has no uid"),
        ({"title": " "}, "dashboard/title", "has no title"),
        ({"refresh": "1s"}, "dashboard/refresh", "refresh is 1s, and Grafana's shortest is 5s."),
        ({"__inputs": [{"name": "DS_PROM"}]}, "dashboard/input", "DS_PROM"),
        ({"panels": [panel(id=None)]}, "panel/id", "has no id"),
        ({"panels": [panel(), panel(gridPos={"x": 12, "y": 0, "w": 12, "h": 8})]}, "panel/id", "2 panels have the id 1"),
        ({"panels": [panel(), panel(id=2, gridPos={"x": 11, "y": 7, "w": 12, "h": 8})]}, "dashboard/grid", "panel 1 'P' and panel 2 'P' overlap"),
        ({"panels": [panel(gridPos={"x": 13, "y": 0, "w": 12, "h": 8})]}, "dashboard/grid", "reaches from 13 to 25"),
        ({"panels": [panel(targets=[{"expr": "up"}])]}, "panel/ref", "1 of its queries have no refId"),
        ({"panels": [panel(targets=[{"refId": "A", "expr": "up"}] * 2)]}, "panel/ref", "2 of its queries have the refId A"),
        ({"panels": [panel(datasource={"type": "prometheus", "uid": "grafana_promtheus"})]}, "datasource/uid", "there is no data source grafana_promtheus"),
        ({"panels": [panel(targets=[{"refId": "A", "expr": "up", "datasource": {"type": "prometheus", "uid": "other"}}])]}, "datasource/uid", "there is no data source other"),
        ({"panels": [panel(datasource={"type": "loki", "uid": "grafana_prometheus"})]}, "datasource/type", "is a prometheus, and the panel says loki"),
        ({"panels": [panel(datasource={"type": "prometheus", "uid": "${ds}"})]}, "datasource/uid", "no variable ds"),
        ({"templating": {"list": [{"name": "v", "type": "custom"}]}}, "variable/unused", "nothing uses the variable v"),
        ({"panels": [panel(targets=[{"refId": "A", "expr": 'up{job="$v"}'}])]}, "variable/undefined", "$v would be left"),
        ({"panels": [{"id": 9, "type": "row", "panels": [panel(targets=[{"refId": "A", "expr": "up("}])]}]}, "promql/syntax", "( is never closed"),
        ({"panels": [panel(targets=[{"refId": "A", "expr": " "}])]}, "promql/empty", "the query is empty"),
        ({"annotations": {"list": [{"name": "n", "datasource": PROMETHEUS, "expr": "up by (x)"}]}}, "promql/syntax", "needs an aggregator"),
        ({"templating": {"list": [{"name": "v", "hide": 2, "type": "query", "datasource": PROMETHEUS, "query": "label_values(up{, job)"}]}}, "promql/syntax", ""),
    ],
)  # fmt: skip
def test_a_fault_of_a_dashboard_s_frame_is_found(
    tmp_path: Path, changes: dict[str, object], id_: str, words: str
) -> None:
    (found,) = findings(tmp_path, d_json={**DASHBOARD, **changes})
    assert found.id == id_
    assert words in found.sentence
    assert found.cure


@pytest.mark.parametrize(
    "changes",
    [
        {"panels": [panel(datasource={"type": "datasource", "uid": "-- Mixed --"})]},
        {"panels": [panel(datasource={"type": "prometheus", "uid": "${ds}"}, targets=[{"refId": "A", "expr": "up"}])], "templating": {"list": [{"name": "ds", "type": "datasource", "query": "prometheus"}]}},
        {"panels": [panel(datasource="Prometheus")]},
        {"panels": [panel(repeat="v")], "templating": {"list": [{"name": "v", "type": "custom"}]}},
        {"refresh": ""},
        {"refresh": "9" * 5000 + "s"},
        {"refresh": False},
    ],
)  # fmt: skip
def test_what_grafana_takes_is_not_reported(tmp_path: Path, changes: dict[str, object]) -> None:
    assert findings(tmp_path, d_json={**DASHBOARD, **changes}) == []


@pytest.mark.parametrize(
    ("panel_source", "target", "ids"),
    [
        ("-- Grafana --", {}, ["datasource/random"]),
        (None, {"datasource": {"type": "grafana", "uid": "grafana"}}, ["datasource/random"]),
        ({"type": "datasource", "uid": "-- Grafana --"}, {"queryType": "randomWalk"}, ["datasource/random"]),
        ({"type": "grafana", "uid": "grafana"}, {"queryType": "list", "path": "img"}, []),
    ],
)
def test_a_panel_that_grafana_makes_numbers_up_for_is_found(
    tmp_path: Path, panel_source: object, target: dict[str, object], ids: list[str]
) -> None:
    """Fifty of the predecessor's panels were of this kind."""
    one = panel(id=2, title="Q", gridPos={"x": 12, "y": 0, "w": 12, "h": 8}, datasource=panel_source)
    one["targets"] = [{"refId": "A", **target}]
    found = findings(tmp_path, d_json={**DASHBOARD, "panels": [PANEL, one]})
    assert [finding.id for finding in found] == ids


def test_uids_and_titles_are_compared_over_all_dashboards(tmp_path: Path) -> None:
    other = {**DASHBOARD, "title": "E"}
    found = findings(tmp_path, a__d_json=DASHBOARD, b__d_json=other)
    assert [(one.id, one.sentence) for one in found] == [("dashboard/uid", "the uid d occurs 2 times: each would overwrite the other.")] * 2  # fmt: skip
    found = findings(tmp_path, b__d_json={**DASHBOARD, "uid": "e"})
    assert found == []
    found = findings(tmp_path, a__e_json={**DASHBOARD, "uid": "f"})
    assert {one.id for one in found} == {"dashboard/title"}


def test_an_index_that_names_another_uid_is_found(tmp_path: Path) -> None:
    index = {"folders": [], "dashboards": [{"uid": "dd", "file": "d.json"}]}
    (found,) = findings(tmp_path, d_json=DASHBOARD, index_json=index)
    assert (found.id, found.sentence) == ("dashboard/index", "no dashboard has the uid dd.")


def test_the_data_sources_of_the_folder_count_before_ours(tmp_path: Path) -> None:
    sources = {"datasources": [{"uid": "mine", "name": "Mine", "type": "prometheus"}]}
    found = findings(tmp_path, d_json=DASHBOARD, datasources_json=sources)
    assert {one.sentence for one in found} == {"there is no data source grafana_prometheus."}


def test_the_queries_that_lead_from_a_trace_to_its_lines_and_metrics_are_checked(tmp_path: Path) -> None:
    settings = {
        "tracesToLogsV2": {"customQuery": True, "query": '{app=~".+"} | trace_id="${__trace.traceId}"'},
        "tracesToMetrics": {"queries": [{"query": "sum(rate(traces_spanmetrics_calls_total{$__tags}[5m]))"}]},
    }
    source = {"uid": "grafana_prometheus", "name": "P", "type": "prometheus", "jsonData": settings}
    assert findings(tmp_path, d_json=DASHBOARD, datasources_json={"datasources": [source]}) == []
    settings["tracesToLogsV2"]["query"] = '{app=~".*"} | trace_id="${__trac.traceId}"'
    settings["tracesToMetrics"]["queries"][0]["query"] = (
        "rate(traces_spanmetrics_calls_total{$__tags}[5m]) by (service)"
    )
    found = findings(tmp_path, d_json=DASHBOARD, datasources_json={"datasources": [source]})
    assert [one.id for one in found] == ["variable/undefined", "logql/syntax", "promql/syntax"]


def rule(*path: object, **changes: object) -> dict[str, object]:
    """Return the rule with one item of its data changed, or with changes at its top."""
    changed = copy.deepcopy(RULE)
    target = changed["data"][path[0]] if path else changed
    target.update(changes)
    return changed


@pytest.mark.parametrize(
    ("changed", "id_", "words"),
    [
        (rule(0, datasourceUid=""), "alert/datasource", "query A has no datasourceUid"),
        (rule(0, datasourceUid="grafana_promtheus", model={"expr": "up", "datasource": {"type": "x"}}), "datasource/uid", "grafana_promtheus"),
        (rule(0, relativeTimeRange={"from": 0, "to": 300}), "alert/range", "from 0 to 300 seconds before now"),
        (rule(0, relativeTimeRange={"from": 0, "to": 0}), "alert/range", "from 0 to 0"),
        (rule(0, relativeTimeRange=None), "alert/range", "looks from nowhere"),
        (rule(noDataState=None), "alert/state", "noDataState is missing, and Grafana answers 500"),
        (rule(noDataState="Zzz"), "alert/state", "noDataState is 'Zzz'"),
        (rule(execErrState="NoData"), "alert/state", "execErrState is 'NoData'"),
        (rule(condition="C"), "alert/condition", "the condition is 'C'"),
        (rule(data=[]), "alert/data", "no queries"),
        (rule(title=""), "alert/title", "no title"),
        (rule(severity="x"), "alert/key", "a rule has no key severity"),
        (rule(1, model={"type": "reduce", "expression": "Z"}), "alert/expression", "expression B is over 'Z'"),
        (rule(0, model={"expr": "rate(up[5m]) by (job)"}), "promql/syntax", "needs an aggregator"),
        (rule(0, model={"expr": 'up{job="$job"}'}), "variable/undefined", "$job would be left"),
        (rule(0, model={"expr": "up > $__from"}), "variable/undefined", "$__from would be left"),
    ],
)  # fmt: skip
def test_a_fault_of_an_alert_rule_is_found(tmp_path: Path, changed: dict[str, object], id_: str, words: str) -> None:
    found = findings(tmp_path, d_json=DASHBOARD, r_json={"groups": [{"name": "g", "rules": [changed]}]})
    assert [one.id for one in found] == [id_], found
    assert words in found[0].sentence


def test_rules_are_read_as_the_api_gives_them_too(tmp_path: Path) -> None:
    broken = rule(0, datasourceUid="")
    single, listed, group = broken, [broken, RULE], {"title": "g", "folderUid": "f", "interval": 60, "rules": [broken]}
    for content in (single, listed, group):
        assert [one.id for one in findings(tmp_path, d_json=DASHBOARD, r_json=content)] == ["alert/datasource"]


def test_a_policy_file_with_the_predecessor_s_keys_says_what_to_write(tmp_path: Path) -> None:
    """Its policies were never loaded: Grafana ignores keys that it does not know."""
    content = {"apiVersion": 1, "notificationPolicies": [{"receiver": "r", "groupByStr": ["a"], "routes": [{"recevier": "x"}]}]}  # fmt: skip
    found = findings(tmp_path, d_json=DASHBOARD, policies_json=content)
    assert [(one.id, one.cure) for one in found] == [
        ("alert/key", "Write policies."),
        ("alert/key", "Write group_by."),
        ("alert/key", "Did you mean receiver?"),
    ]


def test_routes_contact_points_and_rules_as_our_bundle_holds_them_are_sound(tmp_path: Path) -> None:
    files = {
        "d_json": DASHBOARD,
        "policies_json": {"schema": 1, "generated": "x", "routes": [{"receiver": "c", "object_matchers": [], "continue": True}]},
        "contactpoints_json": {"contactPoints": [CONTACT]},
        # As YAML reads `severity: 1` without quotes.
        "r_yml": json.dumps({"groups": [{"name": "g", "folder": "f", "interval": 60, "rules": [rule(labels={"severity": 1, "page": True})]}]}),
    }  # fmt: skip
    assert findings(tmp_path, **files) == []


CONTACT = {"uid": "c", "name": "c", "type": "webhook", "settings": {"url": "${URL}"}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": "pigeon"}, "the contact point has the type 'pigeon', not one of email, pagerduty, slack, webhook."),
        ({"settings": {}}, "the contact point has the type webhook and not url in its settings."),
        ({"type": "slack", "settings": {"recipient": "#a"}}, "has the type slack and not url, or token and recipient"),
        ({"type": "email", "settings": {"singleEmail": True}}, "has the type email and not addresses"),
        ({"type": "pagerduty", "settings": {"class": "x"}}, "has the type pagerduty and not integrationKey"),
    ],
)
@pytest.mark.parametrize("shape", ["bundle", "file", "api", "list"])
def test_a_contact_point_that_grafana_refuses_is_found_in_every_shape(
    tmp_path: Path, changes: dict[str, object], words: str, shape: str
) -> None:
    contact = {**CONTACT, **changes}
    content = {
        "bundle": {"contactPoints": [contact]},
        "file": {"apiVersion": 1, "contactPoints": [{"orgId": 1, "name": "c", "receivers": [contact]}]},
        "api": contact,
        "list": [contact, CONTACT],
    }[shape]
    (found,) = findings(tmp_path, d_json=DASHBOARD, contacts_json=content)
    assert (found.id, found.title) == ("alert/receiver", "c")
    assert words in found.sentence


@pytest.mark.parametrize(
    ("named", "words", "cure"),
    [
        ({"policies_json": {"routes": [{"receiver": "c", "routes": [{"receiver": "x"}, {"receiver": "oncall"}]}]}}, "there is no contact point x.", "There are c, grafana-default-email, oncall."),
        ({"policies_json": {"receiver": "oncal"}}, "there is no contact point oncal.", "Did you mean oncall?"),
        ({"policies_json": {"policies": [{"receiver": "c", "routes": [{"receiver": "c", "mute_time_intervals": ["nigths"]}]}]}}, "there is no mute timing nigths.", "Did you mean nights?"),
        ({"policies_json": {"receiver": "c", "routes": [{"active_time_intervals": ["days"]}]}}, "there is no mute timing days.", "There are nights."),
        ({"r_json": {"groups": [{"name": "g", "rules": [{**RULE, "notification_settings": {"receiver": "x"}}]}]}}, "there is no contact point x.", "There are c, grafana-default-email, oncall."),
        ({"r_json": {"groups": [{"name": "g", "rules": [{**RULE, "notification_settings": {"receiver": "c", "mute_time_intervals": ["x"]}}]}]}}, "there is no mute timing x.", "There are nights."),
    ],
)  # fmt: skip
def test_a_receiver_or_a_mute_timing_that_is_not_there_is_found(
    tmp_path: Path, named: dict[str, object], words: str, cure: str
) -> None:
    contacts = {"contactPoints": [CONTACT, {**CONTACT, "uid": "o", "name": "oncall"}]}
    timings = {"muteTimes": [{"orgId": 1, "name": "nights", "time_intervals": []}]}
    found = findings(tmp_path, d_json=DASHBOARD, contacts_json=contacts, timings_json=timings, **named)
    assert [(one.id, one.sentence, one.cure) for one in found] == [("alert/receiver", words, cure)]


def test_without_contact_points_among_the_files_nobody_knows_which_there_are(tmp_path: Path) -> None:
    named = {"receiver": "of somebody else", "routes": [{"mute_time_intervals": ["theirs"]}]}
    assert findings(tmp_path, d_json=DASHBOARD, policies_json=named) == []


@pytest.mark.parametrize(
    ("text", "id_", "words"),
    [
        ("groups: [{name: g, rules: [{record: a, expr: 'up by (job)'}]}]", "promql/syntax", "needs an aggregator"),
        ("groups: [{name: g, rules: [{record: a, expr: 'rate(up[$__rate_interval])'}]}]", "variable/undefined", "nobody else replaces it"),
        ("groups: [{name: g, rules: [{alert: a, exp: up}]}]", "alert/key", "a rule has no key exp"),
        ("groups: [{name: g, rules: [{alert: a, record: a, expr: up}]}]", "rule/name", "either record or alert"),
        ("groups: [{name: g, rules: []}, {name: g, rules: [{alert: a, expr: up}]}]", "rule/group", "2 groups have the name 'g'"),
        ("groups: [{name: g, intervall: 1m, rules: [{alert: a, expr: up}]}]", "alert/key", "Did you mean interval?"),
        ("note: n\ngroups: [{name: g, rules: [{alert: a, expr: up}]}]", "alert/key", "a rule file has no key note"),
        ("groups: [", "file/unreadable", "it is not YAML"),
        ('groups: [{name: g, limit: !!int ""}]', "file/unreadable", "it is not YAML"),
        ("groups: [{name: g, limit: !!bool x}]", "file/unreadable", "it is not YAML"),
        ("groups: [{name: g, limit: !!timestamp x}]", "file/unreadable", "it is not YAML"),
        ("groups: [{name: g, name: h, rules: [{record: a, expr: up}]}]", "file/unreadable", "the name 'name' twice"),
        ("groups: &a [{name: g, rules: *a}]", "file/unreadable", "nested too deeply"),
    ],
)  # fmt: skip
def test_a_fault_of_a_rule_file_is_found(tmp_path: Path, text: str, id_: str, words: str) -> None:
    found = findings(tmp_path, d_json=DASHBOARD, rules_yml=text)
    assert any(one.id.startswith(id_) and words in one.sentence + one.cure for one in found), found


@pytest.mark.parametrize(
    ("text", "id_", "words"),
    [
        ('{"name": "x", "version": 1}', "file/unknown", "it has the keys name, version"),
        ("[1, 2]", "file/unknown", "a list at its top"),
        ('{"folders": [], "dashboards": null}', "file/unknown", "dashboards, folders"),
        ('{"groups": [{"rules": 5}]}', "file/shape", "groups[0].rules is 5, not a list."),
        ("{", "file/unreadable", "cannot be read"),
        ("[" * 100_000, "file/unreadable", "nested too deeply"),
        ('{"a":' * 200 + "1" + "}" * 200, "file/unreadable", "nested too deeply: more than 100 levels"),
        ('{"uid": "x", "uid": "y", "panels": []}', "file/unreadable", "the name 'uid' twice"),
        ('{"uid": "x", "panels": [], "version": NaN}', "file/unreadable", "NaN is no number"),
        ('{"uid": "x", "panels": [], "version": 1e999}', "file/unreadable", "1e999 is no number"),
        ('{"uid": "x", "panels": [], "title": "\\ud83d"}', "file/unreadable", "half of a character"),
        ("[" + "0," * 1_100_000 + "0]", "file/unreadable", "holds more than 1000000 values"),
        ('{"panels": 5, "title": "x", "uid": "x"}', "file/shape", "panels is 5, not a list."),
        ('{"panels": [null, {"panels": ["x"]}], "title": "x", "uid": "x"}', "file/shape", 'panels[1].panels[0] is "x", not an object.'),
        ('{"panels": [{"id": 1, "targets": {"a": 1}, "gridPos": 7}], "title": "x", "uid": "x"}', "file/shape", "panels[0].targets is an object, not a list."),
        (json.dumps({**DASHBOARD, "uid": "z", "templating": [1]}), "file/shape", "templating is [1], not an object."),
        (json.dumps({**DASHBOARD, "uid": "z", "templating": {"list": [{"type": "custom"}]}}), "file/shape", "templating.list[0] has no name."),
        (json.dumps({**DASHBOARD, "uid": "z", "templating": {"list": [{"name": "v", "current": "x"}]}}), "file/shape", 'templating.list[0].current is "x", not an object.'),
        ('{"contactPoints": 5}', "file/shape", "contactPoints is 5, not a list."),
        ('{"contactPoints": [null]}', "file/shape", "contactPoints[0] is null, not an object."),
        ('{"contactPoints": [{"uid": "c", "type": "webhook", "settings": {"url": "x"}}]}', "alert/receiver", "the contact point has no name."),
        ('{"routes": ["x"]}', "file/shape", 'routes[0] is "x", not an object.'),
        ('{"routes": [{"receiver": "r", "object_matchers": [["a", "="]]}]}', "file/shape", 'routes[0].object_matchers[0] is ["a", "="], not a list of 3.'),
        ('{"routes": [{"receiver": "r", "object_matchers": [["a", "==", "b"]]}]}', "file/shape", 'object_matchers[0][1] is "==", not one of =, !=, =~, !~.'),
    ],
)  # fmt: skip
def test_a_file_that_is_no_dashboard_is_named_and_the_rest_is_checked(
    tmp_path: Path, text: str, id_: str, words: str
) -> None:
    found = findings(tmp_path, d_json={**DASHBOARD, "title": "Other", "refresh": "1s"}, x_json=text)
    named = [one for one in found if one.file.endswith("x.json") and id_ == one.id and words in one.sentence]
    assert named or not id_, found
    assert any(one.id == "dashboard/refresh" for one in found)


def test_a_comment_of_a_panel_counts_for_each_of_its_queries(tmp_path: Path) -> None:
    targets = [
        {"refId": ref, "expr": text, "datasource": PROMETHEUS} for ref, text in (("A", "up"), ("B", "up by (x)"))
    ]
    changed = panel(description="gwz-ignore promql/syntax: shown to be wrong", targets=targets)
    assert findings(tmp_path, d_json={**DASHBOARD, "panels": [changed]}) == []


def test_the_largest_files_are_answered_within_a_second(tmp_path: Path) -> None:
    """One that is too large, one that is nested too deeply, and a query that would kill the parser."""
    deep = panel(targets=[{"refId": "A", "expr": "(" * 60_000, "datasource": PROMETHEUS}])
    files = {"large_json": json.dumps(DASHBOARD) + " " * 10_500_000, "deep_json": "[" * 1_000_000, "d_json": {**DASHBOARD, "panels": [deep]}}  # fmt: skip
    began = time.process_time()
    found = findings(tmp_path, **files)
    assert time.process_time() - began < 1
    assert sorted(one.id for one in found) == ["file/unreadable", "file/unreadable", "promql/size"]


def test_a_file_of_more_than_10_megabytes_is_refused(tmp_path: Path) -> None:
    (found, _) = findings(tmp_path, d_json=json.dumps(DASHBOARD) + " " * 10_500_000)
    assert (found.id, "more than 10485760" in found.sentence) == ("file/unreadable", True)


def test_a_root_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nowhere does not exist"):
        check([tmp_path / "nowhere"], None)


def test_nothing_to_check_is_a_failure(tmp_path: Path) -> None:
    """The predecessor's CI validated a pattern that matched no file, and was green."""
    (found,) = findings(tmp_path)
    assert found.id == "run/nothing"
    assert found.sentence.startswith("0 files and 0 queries were found in")
    (found,) = findings(tmp_path, datasources_json={"datasources": []})
    assert found.sentence.startswith("1 files and 0 queries")


@pytest.mark.parametrize(
    ("expr", "description", "ids"),
    [
        ("up by (x) # gwz-ignore promql/syntax: shown to be wrong", "", []),
        ("up by (x)", "<!-- gwz-ignore promql/syntax: shown to be wrong -->", []),
        ("up", "<!-- gwz-ignore promql/syntax: it was wrong once -->", ["run/ignore"]),
        ("up by (x)", "<!-- gwz-ignore promql/label: another -->", ["promql/syntax", "run/ignore"]),
        ("up by (x) # gwz-ignore promql/syntax:", "", ["promql/syntax", "run/ignore"]),
        ("up # gwz-ignore promql/syntax: it was wrong once", "", ["run/ignore"]),
        ("up by (x) # gwz-ignore promql/label: another", "", ["promql/syntax", "run/ignore"]),
    ],
)
def test_a_finding_is_left_out_where_a_comment_says_why(tmp_path: Path, expr: str, description: str, ids: list[str]) -> None:  # fmt: skip
    changed = panel(description=description, targets=[{"refId": "A", "expr": expr}])
    assert sorted(one.id for one in findings(tmp_path, d_json={**DASHBOARD, "panels": [changed]})) == ids
