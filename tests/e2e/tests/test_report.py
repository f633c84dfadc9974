import io
import json
import subprocess
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from gwz_e2e.hops import Result
from gwz_e2e.report import BreakResult, NotProved, PageProof, PanelProof, Report, ServerUsed, checked_out


def hop(name, ok):
    return Result(name, ok, f"{name} was looked at", 0.0)


def report(*hops, **more):
    return Report(required=("tempo",), hops=[hop(name, ok) for name, ok in hops], **more)


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (report(("a", True)), "proved"),
        (report(("a", True), ("b", False)), "failed"),
        (report(("a", True), ("b", None)), "incomplete"),
        (report(), "incomplete"),
        (report(("a", True), fault="Interrupted."), "incomplete"),
        (report(("a", False), fault="tempo died"), "failed"),
        (report(("a", True), not_proved=[NotProved("grafana", "not there")]), "proved"),
        (report(("a", True), not_proved=[NotProved("tempo", "not there")]), "incomplete"),
        (report(("a", True), breaks=[BreakResult("x", True, "", ())]), "proved"),
        (report(("a", True), breaks=[BreakResult("x", False, "", ())]), "failed"),
    ],
)
def test_the_verdict_is_proved_only_if_all_that_was_required_was(made, verdict):
    assert made.verdict == verdict


def test_the_report_is_written_as_json_junit_and_html(tmp_path):
    made = report(
        ("a", True), ("b", False), ("c", None),
        servers=[ServerUsed("tempo", "2.8.0-pre", "2.7.1", "PATH")],
        not_proved=[NotProved("grafana", "no binary")],
        breaks=[BreakResult("loki-url", True, "logs: 0 lines", (hop("logs", False),))],
        freshness_s={"logs": 0.5},
    )  # fmt: skip
    made.write(tmp_path)
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["schema"] == 1
    assert data["verdict"] == "failed"
    assert data["servers"] == [{"name": "tempo", "version": "2.8.0-pre", "pinned": "2.7.1", "source": "PATH"}]
    assert data["proved"] == ["a", "break loki-url"]
    assert data["not_proved"] == [{"what": "grafana", "why": "no binary"}]
    assert data["hops"][1] == {"id": "b", "ok": False, "sentence": "b was looked at"}
    assert data["hops"][2]["ok"] is None
    assert data["freshness_s"] == {"logs": 0.5}
    suite = ET.fromstring((tmp_path / "junit.xml").read_text())  # noqa: S314  # our own
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "1", "2")
    html = (tmp_path / "report.html").read_text()
    assert "b was looked at" in html
    assert "2.8.0-pre (pinned 2.7.1)" in html


def test_a_report_says_of_which_commit_it_is_and_whether_files_differ_from_it(tmp_path):
    def git(*arguments):
        who = ("-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    assert checked_out(tmp_path) is None
    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "--message", "one")
    commit = git("rev-parse", "HEAD").strip()
    assert checked_out(tmp_path) == commit
    (tmp_path / "file").write_text("two")
    assert checked_out(tmp_path) == f"{commit}-dirty"
    report(("a", True), commit=commit).write(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["commit"] == commit


def test_words_of_a_server_are_not_taken_for_markup():
    made = report(("a", False), fault="said [/bold] and [nonsense")
    said = io.StringIO()
    made.print(Console(file=said, width=80))
    assert "said [/bold] and [nonsense" in said.getvalue()


def test_control_characters_in_a_servers_last_words_leave_the_junit_file_well_formed(tmp_path):
    report(("a", False), fault="said \x1b[31m and \x00").write(tmp_path)
    ET.fromstring((tmp_path / "junit.xml").read_text())  # noqa: S314  # our own


def test_each_panels_number_stands_beside_the_ledgers(tmp_path):
    panel = PanelProof("Request Flow", 1, "Requests", "A", "Total", "150", "149", ok=False)
    report(("a", True), panels=[panel]).write(tmp_path)
    (shown,) = json.loads((tmp_path / "report.json").read_text())["panels"]
    assert (shown["dashboard"], shown["title"], shown["expected"], shown["got"]) == (
        "Request Flow",
        "Requests",
        "150",
        "149",
    )
    assert shown["ok"] is False
    html = (tmp_path / "report.html").read_text()
    assert "Request Flow" in html
    assert "149" in html


def test_each_page_that_was_looked_at_stands_with_its_faults_and_its_picture(tmp_path):
    page = PageProof("x", "Executive Overview", 1366, "dark", 10, ("browser_titles: cut",), "pictures/x-1366-dark.png")
    report(("a", True), browser=[page]).write(tmp_path)
    (shown,) = json.loads((tmp_path / "report.json").read_text())["browser"]
    assert shown == {
        "uid": "x",
        "dashboard": "Executive Overview",
        "width": 1366,
        "theme": "dark",
        "panels": 10,
        "faults": ["browser_titles: cut"],
        "picture": "pictures/x-1366-dark.png",
    }
    assert "pictures/x-1366-dark.png" in (tmp_path / "report.html").read_text()
