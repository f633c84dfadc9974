"""The command line, as a user has it."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gwz_instrument import cli
from gwz_instrument.contract import contract, contract_json


def run(*arguments, stdout=subprocess.PIPE):
    return subprocess.run(
        [sys.executable, "-m", "gwz_instrument.cli", *arguments],
        stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_contract_prints_the_document_and_nothing_else():
    done = run("contract")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == contract()


def test_the_command_is_installed_under_its_name():
    project = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"gwz-instrument": "gwz_instrument.cli:main"}
    assert EntryPoint("gwz-instrument", project["scripts"]["gwz-instrument"], "console_scripts").load() is cli.main


@pytest.mark.parametrize(
    "arguments", [(), ("contracts",), ("contract", "--yaml"), ("check",), ("check", "a", "b"), ("endpoints",)]
)
def test_wrong_arguments_are_two_and_say_so_on_stderr(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "usage: gwz-instrument" in done.stderr


def test_help_names_every_command_and_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert "print every declared metric" in shown
    assert "hold a live /metrics against the contract" in shown
    assert "call every JSON endpoint of a live application" in shown
    words = " ".join(shown.split())
    assert "Exit codes: 0 done, 2 wrong arguments, 6 nothing to check could be had, 8 the check has findings." in words


def test_a_reader_that_leaves_early_gets_no_traceback():
    """`gwz-instrument contract | head -1` is how people look at it."""
    writer = subprocess.Popen(
        [sys.executable, "-m", "gwz_instrument.cli", "contract"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    writer.stdout.close()
    stderr = writer.stderr.read()
    writer.stderr.close()
    assert writer.wait(timeout=60) == 0
    assert stderr == ""


def test_main_returns_its_exit_code(capsys):
    assert cli.main(["contract"]) == 0
    assert capsys.readouterr().out == contract_json()


def test_the_contract_command_loads_no_network():
    """It is what the build calls, where there may be none."""
    script = """
import sys
from gwz_instrument import cli
cli.main(["contract"])
print({"urllib.request", "prometheus_client", "gwz_instrument.check", "gwz_instrument.endpoints_check"} & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "set()"
