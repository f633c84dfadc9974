"""The bundle's recording rules: what is printed of them, and what is told of those that Prometheus has loaded."""

import json
import subprocess
from pathlib import Path
from typing import Any

import backends
import pytest
from replying import answer, replying

from gwz_provision import bundle, recording
from gwz_provision.access import Access
from gwz_provision.cli import main
from gwz_provision.grafana import Grafana

UIDS = ["grafana_prometheus"]


def warning(said: Any) -> str:
    """What is told when Prometheus, asked for its rules, answers so."""
    reply = answer(json.dumps(said))
    with replying(lambda _: reply) as server, Grafana(Access(server.url, "t")) as grafana:
        return recording.warning(bundle.load(bundle.shipped()), grafana.reader, UIDS)


def test_rules_that_are_not_loaded_are_told_and_loaded_ones_are_not() -> None:
    names = [{"name": name} for name in recording.expressions(bundle.load(bundle.shipped()))]
    assert warning({"data": {"groups": [{"rules": names}]}}) == ""
    for said in ({"data": {"groups": []}}, {"data": {"groups": None}}, {"data": {"groups": [{"rules": None}]}}):
        assert "recording rules are not loaded in the Prometheus of grafana_prometheus" in warning(said)


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        5,
        {"status": "error"},
        {"data": None},
        {"data": 5},
        {"data": [1]},
        {"data": {"groups": 5}},
        {"data": {"groups": [None]}},
        {"data": {"groups": [{"rules": [None]}]}},
        {"data": {"groups": [{"rules": [{"name": 5}]}]}},
    ],
)
def test_an_answer_that_cannot_be_read_is_one_warning(said: Any) -> None:
    """It is no list without rules, and no reason to end an apply."""
    told = warning(said)
    assert told.startswith("whether the recording rules that panels read are loaded is not known: ")
    assert len(told.splitlines()) == 1


def test_a_prometheus_that_is_not_well_is_the_doctor_s() -> None:
    with replying(lambda _: answer("{}", "502 Bad Gateway")) as server, Grafana(Access(server.url, "t")) as grafana:
        assert recording.warning(bundle.load(bundle.shipped()), grafana.reader, UIDS) == ""


def of_rule(**rule: Any) -> Any:
    return {"groups": [{"name": "g", "rules": [{"record": "a:b", "expr": "up", **rule}]}]}


REFUSED = [
    ({"groups": [{}]}, "1 groups have the name ''"),
    ({"groups": [{"name": "g"}, {"name": "g"}]}, "2 groups have the name 'g'"),
    ({"groups": {"a": 1}}, "groups is an object, not a list"),
    ({"groups": [{"name": "g", "rules": {"a": 1}}]}, "groups[0].rules is an object, not a list"),
    ({"groups": [{"name": "g", "interval": 5}]}, "interval is 5, not a duration"),
    ({"groups": [{"name": "g", "interval": "5s1m"}]}, "interval is '5s1m', not a duration"),
    ({"groups": [{"name": "g", "limit": "x"}]}, "the limit is 'x', not a whole number"),
    ({"groups": [{"name": "g", "limit": True}]}, "the limit is True, not a whole number"),
    ({"groups": [{"name": "g", "intervall": "1m"}]}, "a group has no key intervall"),
    (of_rule(labels={"__name__": "x"}), "the labels are not names with a text each"),
    (of_rule(labels=[1]), "the labels are not names with a text each"),
    (of_rule(labels={"a": [1]}), "the labels are not names with a text each"),
    (of_rule(alert="x"), "a rule has either record or alert"),
    (of_rule(record="a{b='c'}"), "\"a{b='c'}\" is no name of a metric"),
    (of_rule(record=""), "'' is no name of a metric"),
    (of_rule(expr=""), "the rule has no expr"),
    (of_rule(expr=["up"]), "groups[0].rules[0].expr is "),
    (of_rule(expr="sum("), "( is never closed"),
    (of_rule(**{"for": "5m"}), "a recording rule has no for"),
    (of_rule(annotations={"x": "y"}), "a recording rule has no annotations"),
    (of_rule(expression="up"), "a rule has no key expression"),
]
TAKEN = [
    {"groups": []},
    {"groups": [{"name": "g", "interval": "1m30s", "limit": 5, "query_offset": "0s", "labels": {"a": "b"}}]},
    of_rule(expr=1, labels={"a": 5, "b": None}),
    {"groups": [{"name": "g", "rules": [{"alert": "x", "expr": "up", "for": "5m", "annotations": {"a": "b"}}]}]},
]


@pytest.fixture
def written(bundle_dir: Path) -> Path:
    """The file of rules in a bundle."""
    (bundle_dir / "rules").mkdir()
    return bundle_dir / "rules" / "r.yml"


@pytest.mark.parametrize(("content", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_prometheus_refuses_is_not_printed(
    written: Path, capsys: pytest.CaptureFixture[str], content: Any, words: str
) -> None:
    written.write_text(json.dumps(content))
    assert main(["rules", "--bundle", str(written.parent.parent)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err


def test_groups_of_two_files_with_one_name_are_refused(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file alone is one that Prometheus loads; what is printed is all of them in one."""
    for name in ("r.yml", "s.yaml"):
        written.with_name(name).write_text(json.dumps(of_rule()))
    assert main(["rules", "--bundle", str(written.parent.parent)]) == 2
    assert "2 groups have the name 'g'" in capsys.readouterr().err


def test_promtool_judges_them_alike(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check = (backends.binary("promtool"), "check", "rules", "--lint=none")
    for content, words in REFUSED:
        written.write_text(json.dumps(content))
        assert subprocess.run([*check, written], capture_output=True, check=False).returncode == 1, words
    for content in TAKEN:
        written.write_text(json.dumps(content))
        assert main(["rules", "--bundle", str(written.parent.parent)]) == 0
        written.write_text(capsys.readouterr().out)
        ended = subprocess.run([*check, written], capture_output=True, check=False)
        assert ended.returncode == 0, ended.stderr
