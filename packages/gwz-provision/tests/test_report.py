"""The report's verdict."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from gwz_provision.frames import Value
from gwz_provision.report import HOPS, Answer, Check, Hop, Report


def test_nothing_broken_is_zero() -> None:
    report = Report()
    report.well("grafana")
    assert (report.first_broken_hop, report.exit_code) == (None, 0)
    assert report.checks == [Check("grafana", ok=True)]


@pytest.mark.parametrize(
    ("kind", "subject", "code"),
    [("grafana", "", 6), ("login", "", 3), ("permission", "", 3), ("metric", "up", 8)],
)
def test_the_first_broken_hop_decides_the_exit_code(kind: str, subject: str, code: int) -> None:
    report = Report()
    hop = Hop(kind, subject, "down", "start it")
    report.fail(hop)
    assert (report.first_broken_hop, report.exit_code) == (hop.id, code)
    assert report.checks == [Check(hop.id, ok=False, cause="down", cure="start it")]


def test_hops_stand_in_the_order_in_which_they_break_whenever_they_were_found() -> None:
    report = Report()
    for kind in ("query", "metric", "datasource", "target"):
        report.fail(Hop(kind, "x", "c", "m"))
    assert [check.id for check in report.checks] == ["datasource:x", "target:x", "metric:x", "query:x"]


def test_every_kind_of_hop_has_its_place_and_its_heading_in_the_guide() -> None:
    sources = files("gwz_provision") / "doctor"
    text = "".join(source.read_text() for source in sources.iterdir() if source.name.endswith(".py"))
    used = set(re.findall(r"""(?:Hop\(|hop_of\(\w+,)\s*"([a-z-]+)\"""", text))
    assert used
    assert used | {"deadline"} <= set(HOPS)
    assert len(set(HOPS)) == len(HOPS)
    guide = Path(__file__).resolve().parents[3] / "docs" / "guides" / "doctor.md"
    headings = re.findall(r"^### `([a-z-]+)`", guide.read_text(), re.MULTILINE)
    assert headings == list(HOPS)


@pytest.mark.parametrize(
    ("waiting", "words"),
    [
        ([], "down."),
        (["query:d/1/A"], "down. 1 query waits for this."),
        (["query:d/1/A", "query:d/2/A", "variable:d/v"], "down. 2 queries and 1 variable wait for this."),
        (
            ["alert-rule:r/A", "query:d/1/A", "variable:d/v"],
            "down. 1 query, 1 variable and 1 rule wait for this.",
        ),
    ],
)
def test_what_waits_behind_a_hop_is_counted_not_repeated(waiting: list[str], words: str) -> None:
    report = Report()
    for one in [None, *waiting]:
        report.fail(Hop("metric", "x", "down.", "cure"), *([one] if one else []))
    assert [check.cause for check in report.checks] == [words]


def answer(panel: int, points: int, state: str = "ok", hop: str = "") -> Answer:
    return Answer("d", panel, "A", "p", 1, points, (), "", state, hop)  # type: ignore[arg-type]


def test_the_text_has_one_line_for_each_broken_check_and_ends_with_a_summary() -> None:
    report = Report(version="11.0.0", requests=7, seconds=0.44)
    report.answers += [answer(1, 3), answer(2, 0), answer(3, 0, "empty", "metric:x"), answer(4, 0, "waiting")]
    report.well("grafana")
    report.note("query:d/2/A", "Empty, which is an answer: none.")
    report.note("receiver", "Nobody is told.")
    report.fail(Hop("metric", "x", "Two\n lines.", "Cure."), "query:d/3/A")
    assert report.lines() == [
        "BROKEN  metric:x: Two lines. 1 query waits for this. Cure.",
        "note    receiver: Nobody is told.",
        "Grafana 11.0.0: 1 of 4 queries answered with data, 1 empty, which is an answer, 1 empty, 1 waiting; the first broken hop is metric:x. 7 requests in 0.4 s.",
    ]
    assert Report().lines() == [
        "Grafana unknown: 0 of 0 queries answered with data; every hop is whole. 0 requests in 0.0 s."
    ]


def test_the_document_is_json_with_the_promised_keys() -> None:
    report = Report(version="11.0.0", requests=5, seconds=1.234)
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
                "state": "ok",
                "hop": "",
            }
        ],
        "requests": 5,
        "seconds": 1.23,
    }
