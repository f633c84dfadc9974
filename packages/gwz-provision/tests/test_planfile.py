"""A plan on disk that somebody has written, cut or exchanged."""

import json
from pathlib import Path

import pytest

from gwz_provision import planfile
from gwz_provision.errors import Misconfigured
from gwz_provision.plan import Options, Plan

WHOLE = planfile.document(Plan(()), Options(prune=False, adopt=True), "http://h")


def test_a_plan_is_read_as_it_was_saved(tmp_path: Path) -> None:
    planfile.save(tmp_path / "p.json", WHOLE)
    found = planfile.load(tmp_path / "p.json")
    assert (found, planfile.options(found)) == (WHOLE, Options(prune=False, adopt=True))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read: it is not JSON"),
        ("[" * 100_000, "cannot be read: it is nested too deeply"),
        ("[]", "is no plan: it is [], not an object"),
        ('{"schema": 1, "actions": [1]}', "is no plan: it has no grafana"),
        (json.dumps({**WHOLE, "options": None}), "is no plan: it has no options"),
        (json.dumps({**WHOLE, "actions": [{"kind": "folder", "uid": 5}]}), "actions[0].uid is 5, not a text"),
        (json.dumps({**WHOLE, "schema": 2}), "is no plan: it is of schema 2, not 1"),
    ],
    ids=["cut", "deep", "list", "bare", "null", "number", "newer"],
)
def test_what_is_no_plan_is_told(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(Misconfigured) as caught:
        planfile.load(tmp_path / "p.json")
    assert any(words in problem for problem in caught.value.problems), caught.value.problems
