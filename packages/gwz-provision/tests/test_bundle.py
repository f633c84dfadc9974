"""Loading and resolving bundles."""

import json
from pathlib import Path

import pytest

from gwz_provision.bundle import Bundle, Folder, load, shipped
from gwz_provision.errors import Misconfigured


def bend(folder: Path, name: str, **changes: object) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_bundle_is_read_as_it_is_written(small_bundle: Bundle) -> None:
    assert small_bundle.folders == (Folder("f1", "Backend"),)
    assert [source["uid"] for source in small_bundle.datasources] == ["grafana_prometheus", "grafana_loki"]
    assert [(item.uid, item.folder_uid, item.title) for item in small_bundle.dashboards] == [("d1", "f1", "Requests")]


def test_the_shipped_bundle_holds_the_first_dashboard_and_three_data_sources() -> None:
    bundle = load(shipped())
    assert [source["uid"] for source in bundle.datasources] == ["grafana_prometheus", "grafana_loki", "grafana_tempo"]
    assert "gwz-request-flow" in {item.uid for item in bundle.dashboards}


def test_the_shipped_bundle_needs_exactly_the_three_addresses() -> None:
    unset = load(shipped()).unset({})
    assert [line.split()[0] for line in unset] == ["PROMETHEUS_INTERNAL_URL", "LOKI_URL", "TEMPO_INTERNAL_URL"]


def test_all_unset_variables_are_named_with_their_data_source(small_bundle: Bundle) -> None:
    assert small_bundle.unset({"LOKI_URL": ""}) == [
        f"{name} is not set, and data source {uid} needs it: export {name}=http://host:port"
        for name, uid in (("PROMETHEUS_INTERNAL_URL", "grafana_prometheus"), ("LOKI_URL", "grafana_loki"))
    ]


def test_addresses_are_put_in_and_grafanas_own_variables_stay(
    small_bundle: Bundle, environment: dict[str, str]
) -> None:
    prometheus, loki = small_bundle.resolved(environment).datasources
    assert prometheus["url"] == "http://127.0.0.1:9"
    assert loki["url"] == "http://127.0.0.1:10"
    assert loki["jsonData"]["derivedFields"][0]["url"] == "${__value.raw}"


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"cannot read index\.json: No such file") as caught:
        load(tmp_path)
    assert str(tmp_path) in caught.value.cause
    assert "--bundle" in caught.value.cure


def test_broken_json_is_named_with_its_place(bundle_dir: Path) -> None:
    (bundle_dir / "f1" / "d1.json").write_text('{"uid": ')
    with pytest.raises(Misconfigured, match=r"f1/d1\.json is not JSON: .*line 1"):
        load(bundle_dir)


def test_a_list_in_the_place_of_an_object_is_named(bundle_dir: Path) -> None:
    (bundle_dir / "datasources.json").write_text("[]")
    with pytest.raises(Misconfigured, match=r"datasources\.json holds a list"):
        load(bundle_dir)


def test_an_entry_without_its_keys_is_named(bundle_dir: Path) -> None:
    bend(bundle_dir, "index.json", folders=[{"title": "Backend"}])
    with pytest.raises(Misconfigured, match="entry without 'uid'"):
        load(bundle_dir)


def test_a_uid_that_grafana_refuses_is_found_before_the_first_call(bundle_dir: Path) -> None:
    bend(bundle_dir, "f1/d1.json", uid="x" * 41)
    with pytest.raises(Misconfigured, match=r"dashboard uid 'x{41}' is not 1 to 40"):
        load(bundle_dir)


def test_a_title_twice_in_a_folder_is_refused(bundle_dir: Path) -> None:
    """Grafana 11.0 would overwrite one with the other and answer 200."""
    (bundle_dir / "f1" / "d2.json").write_text(json.dumps({"uid": "d2", "title": "Requests"}))
    entries = [{"folder": "f1", "file": "f1/d1.json"}, {"folder": "f1", "file": "f1/d2.json"}]
    bend(bundle_dir, "index.json", dashboards=entries)
    with pytest.raises(Misconfigured, match="folder 'f1' has 2 dashboards 'Requests'"):
        load(bundle_dir)


def test_all_problems_are_reported_at_once(bundle_dir: Path) -> None:
    entry = {"folder": "f2", "file": "f1/d1.json"}
    bend(bundle_dir, "index.json", dashboards=[entry, entry])
    bend(bundle_dir, "f1/d1.json", title=" ")
    with pytest.raises(Misconfigured) as caught:
        load(bundle_dir)
    text = caught.value.cause
    assert "dashboard uid 'd1' occurs 2 times" in text
    assert "folder 'f2', which is not declared" in text
    assert "dashboard 'd1' has no title" in text
