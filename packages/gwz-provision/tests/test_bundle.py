"""Loading and resolving bundles."""

import errno
import json
from pathlib import Path

import pytest

from gwz_provision.bundle import Bundle, Folder, load, shipped
from gwz_provision.check.run import check
from gwz_provision.errors import Misconfigured
from gwz_provision.manifest import build, problems


def bend(folder: Path, name: str, **changes: object) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_bundle_is_read_as_it_is_written(small_bundle: Bundle) -> None:
    assert small_bundle.folders == (Folder("gwz-f1", "Backend"),)
    assert [source["uid"] for source in small_bundle.datasources] == ["grafana_prometheus", "grafana_loki"]
    assert [(item.uid, item.folder_uid, item.title) for item in small_bundle.dashboards] == [
        ("gwz-d1", "gwz-f1", "Requests")
    ]


def test_the_shipped_bundle_lacks_nothing_but_what_only_an_operator_knows() -> None:
    lines = problems(load(shipped()), {})
    assert {line.split()[0] for line in lines} == {
        "PROMETHEUS_INTERNAL_URL",
        "LOKI_URL",
        "TEMPO_INTERNAL_URL",
        "GWZ_API_URL",
        "GWZ_API_TOKEN",
    }


def test_the_shipped_receivers_are_there_one_by_one() -> None:
    known = dict.fromkeys(("PROMETHEUS_INTERNAL_URL", "LOKI_URL", "TEMPO_INTERNAL_URL", "GWZ_API_URL", "GWZ_API_TOKEN"), "http://h")  # fmt: skip
    receivers = {
        "GWZ_ALERT_WEBHOOK_URL": "gwz-webhook",
        "GWZ_ALERT_SLACK_URL": "gwz-slack",
        "GWZ_ALERT_EMAIL": "gwz-email",
        "GWZ_ALERT_PAGERDUTY_KEY": "gwz-pagerduty",
    }
    for variable, uid in receivers.items():
        built = build(load(shipped()), {**known, variable: "x"})
        assert [key.uid for key in sorted(built.keys, key=str) if key.kind == "contact-point"] == [uid]
        assert [key.uid for key in built.keys if key.kind == "policy"] == ["gwz-provision"]
    assert not [key for key in build(load(shipped()), known).keys if key.kind in {"contact-point", "policy"}]


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({}, "https://github.com/Alpaca-Network/gatewayz-observability/blob/main/docs/runbooks"),
        ({"GWZ_RUNBOOKS_URL": "https://wiki.internal/pages"}, "https://wiki.internal/pages"),
    ],
    ids=["the-project-s", "one-s-own"],
)
def test_alerts_lead_to_the_runbooks_wherever_they_are(environ: dict[str, str], folder: str) -> None:
    rules = [item for item in build(load(shipped()), environ).resources if item.key.kind == "alert-rule"]
    assert {rule.form["annotations"]["runbook_url"] for rule in rules} == {
        f"{folder}/{rule.key.uid}.md" for rule in rules
    }


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"cannot read index\.json: No such file") as caught:
        load(tmp_path)
    assert str(tmp_path) in caught.value.cause
    assert "--bundle" in caught.value.cure


def test_broken_json_is_named_with_its_place(bundle_dir: Path) -> None:
    (bundle_dir / "f1" / "d1.json").write_text('{"uid": ')
    with pytest.raises(Misconfigured, match=r"f1/d1\.json: it is not JSON: .*line 1"):
        load(bundle_dir)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "it is nested too deeply"),
        ('{"uid": "a", "uid": "b"}', "an object has the name 'uid' twice"),
        ('{"uid": "a", "version": NaN}', "NaN is no number of JSON"),
        (" " * 11_000_000, "it has 11000000 bytes, more than 10485760"),
        ('{"uid": "a", "title": "\\udc00"}', "it holds half of a character"),
    ],
    ids=["deep", "twice", "nan", "large", "surrogate"],
)
def test_what_readers_of_json_differ_on_is_refused(bundle_dir: Path, text: str, words: str) -> None:
    (bundle_dir / "f1" / "d1.json").write_text(text)
    with pytest.raises(Misconfigured) as caught:
        load(bundle_dir)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{bundle_dir}: f1/d1.json: {words}")


def test_every_place_of_another_form_is_named_at_once(bundle_dir: Path) -> None:
    bend(bundle_dir, "f1/d1.json", panels=[{"id": "1", "targets": [None]}], time="now-1h")
    bend(bundle_dir, "datasources.json", datasources=[{"uid": "p", "name": "P", "secureJsonData": {"pin": 4711}}])
    (bundle_dir / "policies.json").write_text('{"routes": [{"receiver": "r", "object_matchers": [["a", "~", "b"]]}]}')
    contact = {"uid": "c", "name": "C", "type": "slack", "settings": "https://hooks/canary"}
    (bundle_dir / "contact-points.json").write_text(json.dumps({"contactPoints": [contact]}))
    with pytest.raises(Misconfigured) as caught:
        load(bundle_dir)
    assert [problem.partition(": ")[2] for problem in caught.value.problems] == [
        "datasources.json: datasources[0] has no type",
        "datasources.json: datasources[0].secureJsonData.pin is something else, not a text",
        'f1/d1.json: time is "now-1h", not an object',
        'f1/d1.json: panels[0].id is "1", not a whole number',
        "f1/d1.json: panels[0].targets[0] is null, not an object",
        "contact-points.json: contactPoints[0].settings is something else, not an object",
        'policies.json: routes[0].object_matchers[0][1] is "~", not one of =, !=, =~, !~',
    ]


def test_a_folder_that_may_not_be_read_is_named(bundle_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    (bundle_dir / "alerts").mkdir()
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(Misconfigured, match="cannot read alerts: Permission denied"):
        load(bundle_dir)
    with pytest.raises(Misconfigured, match="bundle cannot be read: Permission denied"):
        check([bundle_dir], None)


def test_null_counts_as_left_out(bundle_dir: Path) -> None:
    bend(bundle_dir, "f1/d1.json", templating=None, panels=[{"id": 1, "datasource": None, "targets": None}])
    assert load(bundle_dir).dashboards[0].model["panels"] == [{"id": 1}]


def test_a_list_in_the_place_of_an_object_is_named(bundle_dir: Path) -> None:
    (bundle_dir / "datasources.json").write_text("[]")
    with pytest.raises(Misconfigured, match=r"datasources\.json: it is \[\], not an object"):
        load(bundle_dir)


def test_an_entry_without_its_keys_is_named(bundle_dir: Path) -> None:
    bend(bundle_dir, "index.json", folders=[{"title": "Backend"}])
    with pytest.raises(Misconfigured, match=r"index\.json: folders\[0\] has no uid"):
        load(bundle_dir)


def test_a_uid_that_grafana_refuses_is_found_before_the_first_call(bundle_dir: Path) -> None:
    bend(bundle_dir, "f1/d1.json", uid="x" * 41)
    with pytest.raises(Misconfigured, match=r"dashboard uid 'x{41}' is not 1 to 40"):
        load(bundle_dir)


def test_a_title_twice_in_a_folder_is_refused(bundle_dir: Path) -> None:
    """Grafana 11.0 would overwrite one with the other and answer 200."""
    (bundle_dir / "f1" / "d2.json").write_text(json.dumps({"uid": "d2", "title": "Requests"}))
    entries = [{"folder": "gwz-f1", "file": "f1/d1.json"}, {"folder": "gwz-f1", "file": "f1/d2.json"}]
    bend(bundle_dir, "index.json", dashboards=entries)
    with pytest.raises(Misconfigured, match="folder 'gwz-f1' has 2 dashboards 'Requests'"):
        load(bundle_dir)


def test_all_problems_are_reported_at_once(bundle_dir: Path) -> None:
    entry = {"folder": "f2", "file": "f1/d1.json"}
    bend(bundle_dir, "index.json", dashboards=[entry, entry])
    bend(bundle_dir, "f1/d1.json", title=" ")
    with pytest.raises(Misconfigured) as caught:
        load(bundle_dir)
    text = caught.value.cause
    assert "dashboard uid 'gwz-d1' occurs 2 times" in text
    assert "folder 'f2', which is not declared" in text
    assert "dashboard 'gwz-d1' has no title" in text
