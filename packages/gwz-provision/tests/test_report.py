"""The report's verdict."""

import json

import pytest

from gwz_provision.errors import NoData, NotAllowed, ProvisionError, Unreachable
from gwz_provision.frames import Value
from gwz_provision.report import Answer, Check, Report


def failed(report: Report, name: str, error: Exception) -> None:
    with report.check(name):
        raise error


def test_nothing_broken_is_zero() -> None:
    report = Report()
    with report.check("grafana"):
        pass
    assert (report.first_broken_hop, report.exit_code) == (None, 0)
    assert report.checks == [Check("grafana", ok=True)]


@pytest.mark.parametrize(
    ("name", "error", "code"),
    [
        ("grafana", Unreachable("down", "start it"), 6),
        ("login", NotAllowed("no", "look"), 3),
        ("query:d/1/A", NoData("none", "emit"), 8),
    ],
)
def test_the_first_broken_hop_decides_the_exit_code(name: str, error: ProvisionError, code: int) -> None:
    report = Report()
    failed(report, name, error)
    failed(report, "later", NoData("none", "emit"))
    assert (report.first_broken_hop, report.exit_code) == (name, code)
    assert report.checks[0] == Check(name, ok=False, cause=error.cause, cure=error.cure)


def test_a_fault_of_ours_is_not_taken_for_a_finding() -> None:
    with pytest.raises(ZeroDivisionError):
        failed(Report(), "x", ZeroDivisionError())


def test_the_document_is_json_with_the_promised_keys() -> None:
    report = Report(version="11.0.0")
    report.answers.append(Answer("d", 1, "A", "p", 1, 2, (Value({"a": "b"}, 3.0),), ""))
    document = json.loads(json.dumps(report.document()))
    assert document == {
        "schema": 1,
        "grafana": {"version": "11.0.0"},
        "first_broken_hop": None,
        "checks": [],
        "queries": [
            {
                "dashboard": "d",
                "panel": 1,
                "ref": "A",
                "datasource": "p",
                "frames": 1,
                "points": 2,
                "values": [{"labels": {"a": "b"}, "value": 3.0}],
                "error": "",
            }
        ],
    }
