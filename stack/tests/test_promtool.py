from pathlib import Path

import pytest

from gwz_stack.errors import StackError
from gwz_stack.promtool import blocks_of_rules, blocks_of_samples


def promtool(folder: Path, *, code: int) -> Path:
    """A stand-in that writes down what it was asked and ends with a code."""
    script = folder / "promtool"
    script.write_text(f'#!/bin/sh\necho "$@" > {folder}/asked\necho "line 3: no value" >&2\nexit {code}\n')
    script.chmod(0o755)
    return script


def test_samples_and_rules_become_blocks(tmp_path):
    tool, asked = promtool(tmp_path, code=0), tmp_path / "asked"
    blocks_of_samples(tool, Path("day.om"), Path("data"))
    assert asked.read_text() == "tsdb create-blocks-from openmetrics --quiet day.om data\n"
    blocks_of_rules(tool, Path("rules.yml"), Path("data"), url="http://p", start=60, end=120, every_s=15)
    assert asked.read_text() == (
        "tsdb create-blocks-from rules --url=http://p --start=60 --end=120 --eval-interval=15s --output-dir=data rules.yml\n"
    )


def test_what_promtool_refuses_is_told_with_its_words_and_the_command(tmp_path):
    tool = promtool(tmp_path, code=1)
    with pytest.raises(StackError) as refused:
        blocks_of_samples(tool, Path("day.om"), Path("data"))
    assert str(refused.value) == (
        "promtool could not make blocks of openmetrics. It says: line 3: no value "
        f"Try the command by hand: {tool} tsdb create-blocks-from openmetrics --quiet day.om data"
    )
