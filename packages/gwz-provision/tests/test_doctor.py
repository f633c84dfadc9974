"""The doctor at the door: what it asks with, offline; what it does when it gets no further than Grafana."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_grafana import FakeGrafana, served
from raw import Place
from running import Command

from gwz_provision.access import Access
from gwz_provision.bundle import Bundle
from gwz_provision.doctor.examine import examine
from gwz_provision.doctor.question import Question, builtins, edges, resolution
from gwz_provision.errors import Misconfigured
from gwz_provision.grafana import Grafana
from gwz_provision.report import Report


def ask(**values: str) -> Question:
    return Question("now-15m", values)


def broken(report: Report) -> dict[str, str]:
    return {check.id: check.cause for check in report.checks if not check.ok}


@pytest.fixture
def fake() -> Iterator[str]:
    with served(FakeGrafana()) as url:
        yield url


def test_a_value_for_a_variable_that_no_dashboard_has_is_refused(small_bundle: Bundle) -> None:
    with pytest.raises(Misconfigured, match="--var ap: no dashboard has a variable of that name") as caught:
        ask(ap="gw").check(small_bundle)
    assert "variables are: app" in caught.value.cure


def test_the_range_ends_now() -> None:
    found = edges("now-15m")
    assert found["end"] - found["start"] == 900
    since, until = (int(builtins("now-15m")[name].values[0]) for name in ("__from", "__to"))
    assert until - since == 900_000


@pytest.mark.parametrize(("since", "step"), [("now-15m", 15_000), ("now-6h", 30_000), ("now-24h", 120_000)])
def test_the_step_grows_with_the_range_as_in_a_browser(since: str, step: int) -> None:
    assert resolution(since) == {"intervalMs": step, "maxDataPoints": 720}


def test_an_unreachable_grafana_is_the_only_check(small_bundle: Bundle) -> None:
    with Grafana(Access("http://127.0.0.1:9", "t")) as grafana:
        report = examine(small_bundle, grafana.reader, ask())
    assert list(broken(report)) == ["grafana"]
    assert (report.exit_code, report.requests) == (6, 1)


def test_a_refused_login_ends_the_checks(small_bundle: Bundle, place: Place) -> None:
    with Grafana(Access(place.url, ("admin", "wrong"))) as grafana:
        report = examine(small_bundle, grafana.reader, ask())
    assert [(check.id, check.ok) for check in report.checks] == [("grafana", True), ("login", False)]
    assert report.exit_code == 3
    assert report.version


def test_a_login_that_may_not_ask_data_sources_ends_the_checks(small_bundle: Bundle, fake: str) -> None:
    """The fake grants nobody a query."""
    with Grafana(Access(fake, ("admin", "admin"))) as grafana:
        report = examine(small_bundle, grafana.reader, ask())
    assert list(broken(report)) == ["permission"]
    assert "datasources:read and datasources:query" in broken(report)["permission"]
    assert report.exit_code == 3


def test_what_apply_has_not_brought_is_named_with_the_command(small_bundle: Bundle, grafana: Grafana) -> None:
    foreign = replace(small_bundle, datasources=({"uid": "never_there", "type": "loki"},))
    report = examine(foreign, grafana.reader, ask(app="gw"))
    checks = {check.id: check for check in report.checks}
    assert "gwz-provision apply" in checks["datasource:never_there"].cure


def test_doctor_after_apply(command: Command, bundle_dir: Path, environment: dict[str, str]) -> None:
    """The real one only: the fake has no data sources behind it."""
    if not command.place.real:
        return
    assert command("apply", "--bundle", bundle_dir, **environment).code == 0
    run = command("doctor", "--bundle", bundle_dir)
    assert run.code == 8
    lines = run.out.splitlines()
    assert lines[0].startswith(
        "BROKEN  host:grafana_prometheus: Data source grafana_prometheus at http://127.0.0.1:9: "
    )
    assert "1 query and 1 variable wait for this." in lines[0]
    assert lines[1].startswith("BROKEN  host:grafana_loki: ")
    assert "the first broken hop is host:grafana_prometheus" in lines[-1]
    document = command.json("doctor", bundle_dir).document
    assert document["first_broken_hop"] == "host:grafana_prometheus"
    assert [set(check) for check in document["checks"]] == [{"id", "ok", "cause", "cure"}] * len(document["checks"])
    assert [(query["panel"], query["state"], query["hop"]) for query in document["queries"]] == [
        (3, "waiting", "host:grafana_prometheus")
    ]
    assert command("doctor", "--bundle", bundle_dir, GRAFANA_PASSWORD="wrong").code == 3


@pytest.mark.parametrize("time", ["soon", "0s", "-1s", "1e30", "inf", "nan", "2d", "9" * 18 + "d"])
def test_a_deadline_is_a_time(command: Command, time: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command("doctor", f"--deadline={time}")
    assert caught.value.code == 2
    assert f"{time!r} is not a time such as 60s" in capsys.readouterr().err
