"""contract.json and the reference page: complete, and as committed."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from gwz_instrument import _generate, semconv
from gwz_instrument._page import contract_page
from gwz_instrument.contract import contract, contract_json
from gwz_instrument.faults import Fault
from gwz_instrument.semconv import logs, spans

REPOSITORY = Path(__file__).resolve().parents[3]


def metric(name):
    return next(entry for entry in contract()["metrics"] if entry["name"] == name)


def test_a_counter_in_the_document():
    assert metric("gwz_telemetry_dropped_total") == {
        "name": "gwz_telemetry_dropped_total",
        "type": "counter",
        "unit": "{item}",
        "labels": [
            {"name": "signal", "bound": "the three signals", "values": ["metrics", "logs", "traces"]},
            {
                "name": "reason",
                "bound": "a closed set",
                "values": ["failed", "fault", "invalid", "queue_full", "rejected", "shutdown"],
            },
        ],
        "buckets": [],
        "emitted_by": "gwz_instrument.metrics",
        "group": "core",
        "brief": "Log lines, spans and scrapes that were given up, by the reason.",
    }


def test_a_histogram_in_the_document():
    entry = metric("frontend_processing_seconds")
    assert entry["type"] == "histogram"
    assert entry["group"] == "domain"
    assert entry["buckets"] == [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5]
    assert [label["name"] for label in entry["labels"]] == ["endpoint"]
    assert "values" not in entry["labels"][0]


def test_the_document_has_every_entry():
    document = contract()
    assert list(document) == ["schema", "metrics", "logs", "spans", "resource", "endpoints"]
    assert document["schema"] == 1
    assert [entry["name"] for entry in document["metrics"]] == [entry.name for entry in semconv.METRICS]
    assert [label["name"] for label in document["logs"]["labels"]] == ["app", "env", "service", "level"]
    assert [key["name"] for key in document["logs"]["metadata"]] == ["trace_id", "span_id", "request_id"]
    assert [field["name"] for field in document["logs"]["fields"]] == [
        field.name for field in (*logs.LINE_FIELDS, *logs.RARE, *logs.DOMAIN_FIELDS)
    ]
    assert [(entry["name"], entry["kind"]) for entry in document["spans"]] == [(e.name, e.kind) for e in spans.SPANS]


def test_a_span_in_the_document():
    server = contract()["spans"][0]
    assert (server["name"], server["kind"], server["group"]) == ("{method} {route}", "server", "core")
    kept = next(attribute for attribute in server["attributes"] if attribute["name"] == "gwz.kept")
    assert kept["type"] == "boolean"
    assert not kept["required"]
    assert next(a for a in server["attributes"] if a["name"] == "url.path")["required"]


def test_the_text_is_the_document():
    assert json.loads(contract_json()) == contract()
    assert contract_json().endswith("}\n")


def test_the_committed_files_have_not_drifted():
    """`nox -s generate` writes them."""
    assert _generate.drifted(_generate.rendered(REPOSITORY)) == []


def test_the_document_lies_in_the_package():
    assert files("gwz_instrument").joinpath("contract.json").read_text(encoding="utf-8") == contract_json()


@pytest.mark.parametrize("text", [None, "something else"])
def test_a_file_that_is_missing_or_differs_has_drifted(tmp_path, text):
    path = tmp_path / "contract.json"
    if text is not None:
        path.write_text(text)
    assert _generate.drifted({path: contract_json()}) == [path]
    path.write_text(contract_json(), encoding="utf-8")
    assert _generate.drifted({path: contract_json()}) == []


def test_a_check_writes_nothing_and_tells_what_has_drifted(tmp_path, monkeypatch, capsys):
    page = tmp_path / "docs" / "contract.md"
    monkeypatch.setattr(_generate, "rendered", lambda _repository: {page: "text\n"})
    assert _generate.main(["--check"]) == 1
    assert not page.exists()
    assert str(page) in capsys.readouterr().err
    assert _generate.main([]) == 0
    assert page.read_text() == "text\n"
    assert _generate.main(["--check"]) == 0
    assert capsys.readouterr().err == f"written: {page}\n"


def test_the_page_names_everything():
    page = contract_page()
    names = {entry.name for entry in semconv.METRICS}
    names |= {field.name for field in (*logs.STREAM_LABELS, *logs.STRUCTURED_METADATA, *logs.LINE_FIELDS)}
    names |= {attribute.name for entry in spans.SPANS for attribute in entry.attributes}
    assert sorted(name for name in names if f"`{name}`" not in page) == []
    for fault in Fault:
        assert f"| {fault} | " in page


def test_nothing_on_the_page_is_taken_for_markup():
    """`<unmatched>` would vanish as a tag."""
    prose = re.sub(r"`[^`]*`|<!--.*?-->", "", contract_page())
    assert r"\<unmatched\>" in prose
    assert re.findall(r"(?<!\\)[<>*]|(?<!\\)_", prose) == []


def test_every_row_of_a_table_has_its_columns():
    width = 0
    for line in contract_page().splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        width = width or cells
        assert cells == width, line
