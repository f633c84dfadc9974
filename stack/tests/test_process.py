"""No process outlives its supervisor, whichever way that ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gwz_stack import groups
from gwz_stack.errors import NotReady, ServerDied, StackError
from gwz_stack.process import Supervisor

FAMILY = ["sh", "-c", "sleep 60 & echo $! > grandchild; wait"]


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor(grace_s=2) as supervisor:
        yield supervisor


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def check_forever(supervisor: Supervisor) -> None:
    while True:
        supervisor.check()
        time.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def number_in(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().strip())
    return int(path.read_text())


def test_leaving_the_context_ends_children_and_grandchildren(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        child = supervisor.launch("family", FAMILY, log=tmp_path / "log", cwd=tmp_path).pid
        grandchild = number_in(tmp_path / "grandchild")
        assert runs(child)
        assert runs(grandchild)
    assert not runs(child)
    assert not runs(grandchild)


def test_an_exception_ends_them_too(tmp_path: Path) -> None:
    children: list[int] = []

    def fail() -> None:
        with Supervisor() as supervisor:
            children.append(supervisor.launch("child", ["sleep", "60"], log=tmp_path / "log").pid)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not runs(children[0])


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    with Supervisor(grace_s=0.3) as supervisor:
        stubborn = ["sh", "-c", "trap '' TERM; touch ready; while :; do sleep 0.1; done"]
        process = supervisor.start(
            "stubborn", stubborn, log=tmp_path / "log", cwd=tmp_path, ready=(tmp_path / "ready").exists
        )
        started = time.monotonic()
        supervisor.stop("stubborn")
        assert 0.3 <= time.monotonic() - started < 3
        assert not runs(process.pid)


def test_all_are_ended_at_once(tmp_path: Path) -> None:
    """Three that take 0.4 s each are gone before one after the other would be."""
    slow = (
        "import signal, time; signal.signal(15, lambda *_: (time.sleep(0.4), exit())); open({!r}, 'w'); signal.pause()"
    )
    with Supervisor() as supervisor:
        for name in "abc":
            supervisor.launch(name, [sys.executable, "-c", slow.format(str(tmp_path / name))], log=tmp_path / "log")
        until(lambda: all((tmp_path / name).exists() for name in "abc"))
        started = time.monotonic()
        supervisor.stop_all()
    assert time.monotonic() - started < 1.1


def test_a_leftover_of_a_dead_leader_is_ended(tmp_path: Path) -> None:
    """As Grafana leaves its plugin behind when it dies on a bad file."""
    with Supervisor() as supervisor:
        supervisor.launch(
            "dying", ["sh", "-c", "sleep 60 & echo $! > grandchild; exit 3"], log=tmp_path / "log", cwd=tmp_path
        )
        grandchild = number_in(tmp_path / "grandchild")
        until(lambda: supervisor["dying"].popen.poll() is not None)
        with pytest.raises(ServerDied, match="dying ended with exit code 3"):
            supervisor.check()
        assert not runs(grandchild)


def test_an_unasked_end_is_reported_within_a_second_with_the_last_words(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.launch("loki", ["sh", "-c", "echo open wal: permission denied; exec sleep 60"], log=tmp_path / "log")
    until((tmp_path / "log").read_text)
    os.kill(supervisor["loki"].pid, signal.SIGABRT)
    killed = time.monotonic()
    with pytest.raises(
        ServerDied, match=r"loki was killed by signal 6\. Its last words: open wal: permission denied\."
    ) as caught:
        check_forever(supervisor)
    assert time.monotonic() - killed < 1
    assert (caught.value.server, caught.value.exit_code) == ("loki", -6)
    assert "loki" not in supervisor


def test_an_end_that_was_asked_for_is_not_reported(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.launch("a", ["sleep", "60"], log=tmp_path / "log")
    supervisor.launch("b", ["sleep", "60"], log=tmp_path / "log")
    supervisor.stop("a")
    supervisor.kill("b")
    supervisor.check()
    supervisor.stop("a", "never started")


def test_a_name_can_be_used_again_after_its_end(supervisor: Supervisor, tmp_path: Path) -> None:
    first = supervisor.launch("a", ["sleep", "60"], log=tmp_path / "log").pid
    with pytest.raises(ValueError, match="a runs already"):
        supervisor.launch("a", ["sleep", "60"], log=tmp_path / "log")
    supervisor.stop("a")
    assert supervisor.launch("a", ["sleep", "60"], log=tmp_path / "log").pid != first


def test_readiness_is_waited_for_and_timed(supervisor: Supervisor, tmp_path: Path) -> None:
    def ready() -> bool:
        if not (tmp_path / "ready").exists():
            raise ConnectionRefusedError
        return True

    supervisor.launch("a", ["sh", "-c", "sleep 0.3; touch ready; exec sleep 60"], log=tmp_path / "log", cwd=tmp_path)
    assert 0.3 <= supervisor.wait_ready({"a": ready})["a"] < 3


def test_death_while_starting_is_reported_at_once(supervisor: Supervisor, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ServerDied, match=r"a ended with exit code 7\. Its last words: bad configuration"):
        supervisor.start("a", ["sh", "-c", "echo bad configuration; exit 7"], log=tmp_path / "log", ready=lambda: False)
    assert time.monotonic() - started < 5


def test_what_never_gets_ready_is_named_with_its_last_answer(supervisor: Supervisor, tmp_path: Path) -> None:
    def refused() -> bool:
        raise OSError("connection refused")

    with pytest.raises(NotReady, match=r"a was not ready after 0 s\. Its last answer: connection refused\."):
        supervisor.start("a", ["sleep", "60"], log=tmp_path / "log", ready=refused, timeout_s=0.2)


def test_a_file_that_does_not_run_is_an_error_with_a_cure(supervisor: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"a could not be started\. /nowhere does not exist or is not executable\."):
        supervisor.launch("a", ["/nowhere"], log=tmp_path / "log")


def test_memory_counts_the_whole_group(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.launch("family", FAMILY, log=tmp_path / "log", cwd=tmp_path)
    number_in(tmp_path / "grandchild")
    assert len(groups.members(supervisor["family"].pid)) == 2
    assert supervisor.resident_bytes("family") > 100_000
    assert supervisor.resident_bytes("nobody") == 0


PARENT = """
import sys, time
from pathlib import Path
from gwz_stack import Supervisor
with Supervisor() as supervisor:
    folder = Path(sys.argv[1])
    supervisor.launch("family", ["sh", "-c", "sleep 60 & echo $! > grandchild; echo $$ > child; wait"], log=folder / "log", cwd=folder)
    while True:
        time.sleep(0.05)
"""


def heed_signals() -> None:
    """A shell's background jobs and nohup's, this suite among them, may have been told to ignore them."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left_of_a_program_that_a_signal_ends(tmp_path: Path, number: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stderr=subprocess.DEVNULL, preexec_fn=heed_signals
    )
    child, grandchild = number_in(tmp_path / "child"), number_in(tmp_path / "grandchild")
    parent.send_signal(number)
    assert parent.wait(10) == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: -2, signal.SIGHUP: 129}[number]
    until(lambda: not runs(child) and not runs(grandchild))


def test_signal_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Supervisor():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
