"""The commands of docs/guides/provisioning.md, run from top to bottom, say what the page shows."""

import re
import shlex
from pathlib import Path

import generated
import pytest
from running import Command

PAGE = Path(__file__).resolve().parents[3] / "docs/guides/provisioning.md"


def shown() -> list[tuple[list[str], str]]:
    """Each command of gwz-provision on the page, with what is shown below it."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    calls = [call for block in blocks for call in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)]
    # What the doctor says has a guide of its own.
    ours = ((line.partition(" > ")[0], said) for line, said in calls if re.match("gwz-provision (?!doctor)", line))
    return [(shlex.split(line)[1:], said) for line, said in ours]


def variables() -> list[str]:
    """What the page sets."""
    (block,) = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return re.findall(r"^export (\w+)=", block, re.MULTILINE)


def pattern(said: str) -> str:
    """What is shown as a regular expression: a line of … is any lines, … in a line is anything in it."""
    lines = (r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r"\n" for line in said.splitlines())
    return "".join(lines)


def test_the_page_says_what_happens(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in generated.VARIABLES:
        monkeypatch.delenv(name)
    for name in variables():
        if not name.startswith("GRAFANA_"):  # which are set: those of this Grafana
            monkeypatch.setenv(name, "http://127.0.0.1:9")
    calls = shown()
    assert [name for (name, *_), _ in calls] == [
        *("plan", "apply", "apply", "rules", "validate", "plan", "apply", "status", "export", "destroy")
    ]
    for arguments, said in calls:
        run = command(*arguments)
        assert run.code == 0, (arguments, run.err)
        assert not said or re.fullmatch(pattern(said), run.out), (arguments, run.out)
