"""The ledger as a file, and what can be told from it."""

import json
from pathlib import Path

import pytest

from fastapi_app.load import ledger
from fastapi_app.load.ledger import Entry, Outcome

CHAT = Entry(
    id="load-1-0",
    method="POST",
    route="/v1/chat/completions",
    status=200,
    outcome=Outcome.SUCCESS,
    provider="near",
    model="Qwen/Qwen3-32B",
    input_tokens=1020,
    output_tokens=129,
    cost_usd=0.0001407,
    stream=True,
    planned_delay_s=0.175,
    trace_id="0af7651916cd43dd8448eb211c80319c",
)
PLAIN = Entry("load-1-1", "GET", "<unmatched>", 404, Outcome.ERROR, None, None, None, None, None, False, 0.0, None)


def test_entries_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with path.open("w") as file:
        ledger.write(file, CHAT)
        ledger.write(file, PLAIN)

        assert ledger.read(path) == [CHAT, PLAIN]  # before the file is closed


def test_line_has_exactly_the_agreed_keys(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with path.open("w") as file:
        ledger.write(file, CHAT)

    assert list(json.loads(path.read_text())) == [
        "id", "method", "route", "status", "outcome", "provider", "model", "input_tokens", "output_tokens", "cost_usd",
        "stream", "planned_delay_s", "trace_id", "api_key", "failed_first", "estimated",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line", ['{"id": "load-1-0", "outc', "[]", "{}", '{"outcome": "fine"}', '{"outcome": "error"}']
)
def test_reading_names_the_line_that_is_no_entry(tmp_path: Path, line: str) -> None:
    path = tmp_path / "ledger.jsonl"
    with path.open("w") as file:
        ledger.write(file, CHAT)
        file.write(line)

    with pytest.raises(ValueError, match=r"ledger\.jsonl, line 2 is .*, not a ledger entry .* run the load again"):
        ledger.read(path)


@pytest.mark.parametrize(
    ("status", "answered"),
    [(200, True), (429, True), (500, True), (502, True), (499, False), (503, False), (504, False)],
)
def test_status_tells_whether_the_provider_answered(status: int, *, answered: bool) -> None:
    entry = Entry(**{**vars(CHAT), "status": status})

    assert ledger.provider_answered(entry) is answered


def test_no_provider_answers_a_request_outside_the_chat() -> None:
    assert not ledger.provider_answered(PLAIN)
