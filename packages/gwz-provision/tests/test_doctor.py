"""The doctor: what it asks with, offline; what it finds, on a real Grafana."""

from dataclasses import replace

import pytest

from gwz_provision.access import Access
from gwz_provision.bundle import Bundle
from gwz_provision.doctor import Question, examine
from gwz_provision.errors import Misconfigured
from gwz_provision.grafana import Grafana
from gwz_provision.manifest import build
from gwz_provision.plan import Options
from gwz_provision.reconcile import do, look_and_plan


def ask(**values: str) -> Question:
    return Question("now-15m", values)


def test_a_value_for_a_variable_that_no_dashboard_has_is_refused(small_bundle: Bundle) -> None:
    with pytest.raises(Misconfigured, match="--var ap: no dashboard has a variable of that name") as caught:
        ask(ap="gw").check(small_bundle)
    assert "variables are: app" in caught.value.cure


def test_the_range_ends_now() -> None:
    seconds = ask().seconds()
    assert seconds["end"] - seconds["start"] == 900


def test_an_unreachable_grafana_is_the_only_check(small_bundle: Bundle) -> None:
    with Grafana(Access("http://127.0.0.1:9", "t")) as grafana:
        report = examine(small_bundle, grafana.reader, ask())
    assert [(check.id, check.ok) for check in report.checks] == [("grafana", False)]
    assert report.exit_code == 6


def test_a_refused_login_ends_the_checks(small_bundle: Bundle, grafana_access: Access) -> None:
    with Grafana(Access(grafana_access.url, ("admin", "wrong"))) as grafana:
        report = examine(small_bundle, grafana.reader, ask())
    assert [(check.id, check.ok) for check in report.checks] == [("grafana", True), ("login", False)]
    assert report.exit_code == 3
    assert report.version


def test_what_apply_has_not_brought_is_named_with_the_command(small_bundle: Bundle, grafana: Grafana) -> None:
    foreign = replace(small_bundle, datasources=({"uid": "never_there", "type": "loki"},))
    report = examine(foreign, grafana.reader, ask(app="gw"))
    assert report.first_broken_hop == "datasource:never_there"
    (check,) = [check for check in report.checks if check.id == "datasource:never_there"]
    assert "gwz-provision apply" in check.cure


def test_a_dead_data_source_is_the_first_broken_hop_and_its_queries_are_not_asked(
    small_bundle: Bundle, environment: dict[str, str], grafana: Grafana
) -> None:
    _, plan = look_and_plan(grafana.reader, build(small_bundle, environment), Options())
    list(do(plan, grafana))
    report = examine(small_bundle, grafana.reader, ask(app="gw"))
    broken = {check.id: check.cause for check in report.checks if not check.ok}
    assert list(broken) == ["datasource:grafana_prometheus", "datasource:grafana_loki", "query:gwz-d1/3/A"]
    assert "grafana_prometheus at 127.0.0.1:9 is not well" in broken["datasource:grafana_prometheus"]
    assert broken["query:gwz-d1/3/A"] == "Not asked: data source grafana_prometheus is not well."
    assert (report.first_broken_hop, report.exit_code) == ("datasource:grafana_prometheus", 8)
    assert [(answer.panel, answer.points, answer.error) for answer in report.answers] == [
        (3, 0, "Not asked: data source grafana_prometheus is not well.")
    ]


def test_a_variable_that_cannot_be_resolved_is_a_check_of_its_own(
    small_bundle: Bundle, environment: dict[str, str], grafana: Grafana
) -> None:
    _, plan = look_and_plan(grafana.reader, build(small_bundle, environment), Options())
    list(do(plan, grafana))
    report = examine(small_bundle, grafana.reader, ask())
    assert "variable:gwz-d1/app" in [check.id for check in report.checks if not check.ok]
