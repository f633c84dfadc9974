"""Recording rules: printed for Prometheus, and warned of by plan and apply when it has not loaded them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from proxy import Answered
from running import Command

from gwz_provision import recording
from gwz_provision.bundle import Bundle, Dashboard, load, shipped
from gwz_provision.cli import main
from gwz_provision.errors import Misconfigured, Refused
from gwz_provision.shapes import misfit

RULES = """groups:
- name: one
  rules:
  - {record: "job:a:rate", expr: "sum by (job) (rate(a[5m]))"}
  - {record: "job:b:ratio", expr: "job:a:rate / 2"}
  - {record: "job:c:rate", expr: "rate(c[5m])"}
"""


def panel(expr: str, uid: str = "p") -> dict[str, Any]:
    return {"id": 1, "targets": [{"refId": "A", "expr": expr, "datasource": {"uid": uid, "type": "prometheus"}}]}


def bundle(*exprs: str, files: tuple[tuple[str, str], ...] = (("rules/a.yml", RULES),), **more: Any) -> Bundle:
    board = Dashboard("f", {"uid": "d", "panels": [{"id": 9, "type": "row", "panels": [panel(one) for one in exprs]}]})
    return Bundle((), (), (board,), rule_files=files, **more)


class Asked:
    """A reader that answers as Prometheus with these rules loaded, and counts."""

    def __init__(self, *loaded: str, error: Exception | None = None) -> None:
        self.asked: list[str] = []
        self._loaded, self._error = loaded, error

    def within(self, seconds: float) -> Any:
        assert seconds <= 5
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def proxied(self, uid: str, address: str, params: Any, shape: Any) -> Any:
        self.asked.append(f"{uid} {address} {params}")
        if self._error:
            raise self._error
        rules = [{"name": name, "type": "recording", "record": name} for name in self._loaded]
        answer = {"status": "success", "data": {"groups": [{"rules": rules}]}}
        assert misfit(answer, shape) == ""
        return answer


def test_what_panels_and_alert_rules_read_is_needed_and_what_that_is_made_of() -> None:
    assert recording.needed(bundle("max(job:b:ratio) > 1", "up")) == {"job:b:ratio": ["p"], "job:a:rate": ["p"]}
    alert = {"rules": [{"data": [{"datasourceUid": "q", "model": {"expr": "job:c:rate"}}]}]}
    assert recording.needed(bundle(rule_groups=(alert,))) == {"job:c:rate": ["q"]}
    assert recording.needed(bundle('rate(x[$__rate_interval]) / job:c:rate{job=~"$v"}')) == {"job:c:rate": ["p"]}


def test_the_missing_ones_are_named_with_one_call() -> None:
    reader = Asked("job:b:ratio")
    words = recording.warning(bundle("job:b:ratio"), reader, ["p"])  # type: ignore[arg-type]
    assert words.startswith("recording rule job:a:rate is not loaded in the Prometheus of p")
    assert "gwz-provision rules" in words
    assert len(reader.asked) == 1
    many = recording.warning(bundle("job:b:ratio"), Asked(), ["p"])  # type: ignore[arg-type]
    assert many.startswith("2 recording rules are not loaded")


def test_nothing_is_asked_when_there_is_nothing_to_tell() -> None:
    reader: Any = Asked()
    assert recording.warning(bundle("up"), reader, ["p"]) == ""
    assert recording.warning(bundle("job:a:rate", files=()), reader, ["p"]) == ""
    assert recording.warning(bundle("job:a:rate"), reader, ["another"]) == ""
    assert reader.asked == []


def test_a_prometheus_that_cannot_be_asked_or_has_them_all_is_no_reason_to_warn() -> None:
    reader: Any = Asked(error=Refused("down", "start it"))
    assert recording.warning(bundle("job:a:rate"), reader, ["p"]) == ""
    there: Any = Asked("job:a:rate")
    assert recording.warning(bundle("job:a:rate"), there, ["p"]) == ""


def test_the_shipped_rules_are_printed_as_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# The recording rules of gwz-provision's bundle")
    names = [rule["record"] for group in yaml.safe_load(printed)["groups"] for rule in group["rules"]]
    assert names
    assert names == list(recording.expressions(load(shipped())))


@pytest.mark.parametrize("text", ["groups: {", "- a", "groups: 1"])
def test_a_rule_file_that_is_none_is_named(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"rules/bad\.yml"):
        recording.groups(bundle(files=(("rules/bad.yml", text),)))


@pytest.fixture
def with_rules(tiny: Path) -> Iterator[Path]:
    """A bundle whose first panel reads a recorded metric."""
    (tiny / "rules").mkdir()
    (tiny / "rules" / "a.yml").write_text(RULES)
    path = tiny / "boards" / "gwz-board-0.json"
    model = json.loads(path.read_text())
    model["panels"][0]["targets"][0]["expr"] = "job:c:rate"
    path.write_text(json.dumps(model))
    return tiny


def rules_asked(command: Command) -> int:
    return sum("api/v1/rules" in path for _, path in command.proxy.calls)


def test_plan_and_apply_ask_once_and_only_when_the_data_source_is_there(command: Command, with_rules: Path) -> None:
    """Nothing listens where the data source points: that is `doctor`'s to tell, and no reason to fail."""
    command.json("plan", with_rules)
    assert rules_asked(command) == 0
    command.apply(with_rules)
    assert rules_asked(command) == 1
    command.proxy.calls.clear()
    assert command.json("plan", with_rules).document["warnings"] == []
    assert rules_asked(command) == 1
    command.proxy.calls.clear()
    command.apply(with_rules)
    assert rules_asked(command) == 1


def test_an_answer_that_is_none_is_one_warning_of_an_apply_that_succeeds(command: Command, with_rules: Path) -> None:
    def tell(_method: str, path: str, _write: int) -> None:
        if "api/v1/rules" in path:
            raise Answered(200, b'{"data": 5}')

    command.proxy.before = tell
    run = command("apply", "--bundle", with_rules)
    assert (run.code, run.err.count("warning: whether the recording rules that panels read are loaded")) == (0, 1)
