"""What a command prints where nobody reads, where there is no room, and before a terminal of another kind; and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from replying import Reply, answer, hanging, replying
from running import Command

from gwz_provision.console import Console
from gwz_provision.redaction import Redactor

RULES = 'groups: [{name: g, rules: [{record: "a:b:c", expr: up, labels: {team: "Größe"}}]}]'
MODULE = (sys.executable, "-X", "dev", "-m", "gwz_provision")


@pytest.fixture
def with_rules(bundle_dir: Path) -> Path:
    """A bundle whose rules hold a letter that not every terminal has."""
    (bundle_dir / "rules").mkdir()
    (bundle_dir / "rules" / "r.yml").write_text(RULES, encoding="utf-8")
    return bundle_dir


def unread() -> int:
    """The end to write at of a pipe whose reader has gone."""
    read, write = os.pipe()
    os.close(read)
    return write


def run(*command: str | Path, stdout: int, **environment: str) -> tuple[int, str]:
    ended = subprocess.run(
        list(map(str, command)),
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
        timeout=120,
        check=False,
    )
    os.close(stdout)
    return ended.returncode, ended.stderr.decode()


@pytest.mark.parametrize(
    ("stdout", "code", "words"),
    [
        (unread, 141, ""),
        (lambda: os.open("/dev/full", os.O_WRONLY), 1, "could not be written to standard output: No space left on device."),
        (lambda: os.open(os.devnull, os.O_RDONLY), 1, "could not be written to standard output: Bad file descriptor."),
    ],
    ids=["nobody reads", "no room", "not to be written"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["rules", "validate"])
def test_results_that_cannot_be_written_are_no_traceback(
    with_rules: Path, name: str, stdout: Callable[[], int], code: int, words: str
) -> None:
    where = ("--bundle", with_rules) if name == "rules" else ("--no-contract", with_rules)
    ended, err = run(*MODULE, name, *where, stdout=stdout())
    assert ended == code
    assert words in err
    assert len(err.splitlines()) == (2 if words else 0), err


def test_without_standard_output_or_standard_error_nothing_breaks(with_rules: Path) -> None:
    for closed, words in (("1>&-", "Bad file descriptor"), ("2>&-", ""), ("0<&- 1>&- 2>&-", "")):
        shell = ("sh", "-c", f'exec "$@" {closed}', "sh")
        ended, err = run(*shell, *MODULE, "rules", "--bundle", with_rules, stdout=os.open(os.devnull, os.O_WRONLY))
        assert (ended, words in err) == (0 if closed == "2>&-" else 1, True)


def test_an_apply_goes_on_when_nobody_reads_it(command: Command, tiny: Path) -> None:
    """Half of it would be worse than all of it untold."""
    ended, err = run(*MODULE, "apply", "--bundle", tiny, stdout=unread())
    assert (ended, err) == (141, "")
    assert command.json("plan", tiny).actions == {}


def test_letters_that_the_terminal_has_not_are_replaced(with_rules: Path, tmp_path: Path) -> None:
    out = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    assert run(*MODULE, "rules", "--bundle", with_rules, stdout=out, PYTHONIOENCODING="ascii") == (0, "")
    assert "team: Gr??e" in (tmp_path / "out").read_text()


def test_a_server_s_words_move_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(Redactor())
    console.out("one\x1b[2J\ttwo\nthree\x9b")
    console.say("four\r\x00")
    out, err = capsys.readouterr()
    assert (out, err) == ("one\ufffd[2J\ttwo\nthree\ufffd\n", "four\ufffd\ufffd\n")


KNOWN: dict[str, Reply] = {
    "/api/health": answer('{"database": "ok", "version": "11.0.0"}'),
    "/api/user": answer('{"id": 1}'),
    "/api/access-control/user/permissions": answer('{"datasources:read": [], "datasources:query": []}'),
    "/api/v1/provisioning/policies": answer('{"receiver": "grafana-default-email"}'),
}
# As in a shell's foreground, whatever the tests were started by.
INTERRUPTIBLE = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from gwz_provision.cli import main; sys.exit(main())"


@pytest.mark.parametrize(
    ("name", "hangs", "words"),
    [
        ("doctor", "/api/health", "interrupted."),
        ("doctor", "/api/datasources", "interrupted."),
        ("plan", "/api/search", "Interrupted before the first write.\n  Run it again: nothing has changed."),
        ("apply", "/api/v1/provisioning/policies", "Interrupted before the first write.\n  Run it again: nothing has changed."),
    ],
)  # fmt: skip
def test_ctrl_c_waits_for_no_answer(
    bundle_dir: Path, environment: dict[str, str], name: str, hangs: str, words: str
) -> None:
    reached = threading.Event()

    def choose(path: str) -> Reply:
        if path.partition("?")[0] != hangs:
            return KNOWN.get(path, answer("[]"))
        reached.set()
        return hanging

    with (
        replying(choose) as server,
        subprocess.Popen(
            [sys.executable, "-c", INTERRUPTIBLE, name, "--bundle", str(bundle_dir), "--output", "json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**environment, "GRAFANA_URL": server.url, "GRAFANA_TOKEN": "t"},
            text=True,
        ) as process,
    ):
        try:
            assert reached.wait(60), server.asked
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
            assert time.monotonic() - began < 5
        finally:
            process.kill()
    assert (process.returncode, err) == (5, f"gwz-provision: {words}\n")
    if name != "doctor":
        assert json.loads(out)["error"]["cause"] == "Interrupted before the first write."
