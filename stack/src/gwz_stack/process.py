"""Starts, watches and ends processes, so that none outlives its supervisor, however that ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import httpx

from gwz_stack import groups
from gwz_stack.errors import NotReady, ServerDied, StackError, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import FrameType

    Ready = Callable[[], bool]

_POLL_S = 0.1
_TAIL_BYTES = 4096
# A process runs its program only once the guard knows it. If the supervisor ends before that, the pipe does too, and so does sh.
_WAIT_FOR_GO = 'read -r go && exec "$0" "$@" </dev/null'
_GUARD = Path(__file__).with_name("_guard.py")


@dataclass(frozen=True)
class Process:
    """A started process, the leader of its own process group."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    started: float
    grace_s: float
    may_end: bool

    @property
    def pid(self) -> int:
        """The process's id, which is its group's as well."""
        return self.popen.pid

    @property
    def resident_bytes(self) -> int:
        """The resident memory of the process and its descendants."""
        return groups.resident_bytes(self.pid)

    def go(self) -> None:
        """Let the process run its program."""
        if self.popen.stdin:
            with suppress(BrokenPipeError), self.popen.stdin as pipe:
                pipe.write(b"\n")

    def log_tail(self) -> str:
        """Return the last lines that it wrote."""
        with suppress(OSError), self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
        return ""


class Supervisor:
    """Runs named processes; leaving its context ends them all, and so does the death of this process.

    In the main thread it also turns SIGTERM and SIGHUP into SystemExit, so that the context is left. Not thread-safe.
    """

    def __init__(self, *, grace_s: float = 15.0) -> None:
        self._grace_s = grace_s
        self._processes: dict[str, Process] = {}
        self._guard: subprocess.Popen[str] | None = None
        self._handlers: dict[signal.Signals, object] = {}
        self._afterwards = ExitStack()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup has asked for that
                    self._handlers[number] = signal.signal(number, _leave)
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop_all()
        finally:
            self._dismiss_guard()
            self._afterwards.close()
            for number, handler in self._handlers.items():
                signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal() returned before

    def launch(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace_s: float | None = None,
        may_end: bool = False,
    ) -> Process:
        """Start a process without waiting for it; its output is appended to `log`. Raises StackError if it cannot run.

        `grace_s` is how long its end may take before SIGKILL, the supervisor's by default. One that `may_end` by itself
        is no concern of check(): whoever started it looks at its exit code.
        """
        if name in self._processes:
            raise ValueError(f"{name} runs already; stop it first")
        with writing(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open("ab")
        with output:
            popen = _popen(name, argv, env, cwd, output)
        grace_s = self._grace_s if grace_s is None else grace_s
        process = Process(name, popen, log, time.monotonic(), grace_s, may_end)
        self._processes[name] = process
        self._tell_guard(f"+{process.pid}")
        process.go()
        return process

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        ready: Ready,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_s: float = 60.0,
    ) -> Process:
        """Start a process and wait until it is ready; raises as launch() and wait_ready() do."""
        process = self.launch(name, argv, log=log, env=env, cwd=cwd)
        self.wait_ready({name: ready}, timeout_s=timeout_s)
        return process

    def wait_ready(self, probes: Mapping[str, Ready], *, timeout_s: float = 60.0) -> dict[str, float]:
        """Wait until every probe says True and return the seconds that each process took.

        A probe that raises OSError or an httpx error is asked again. Raises ServerDied or NotReady.
        """
        deadline = time.monotonic() + timeout_s
        seconds: dict[str, float] = {}
        while True:
            self.check()
            last = {name: _ask(probe) for name, probe in probes.items() if name not in seconds}
            now = time.monotonic()
            seconds |= {name: now - self._processes[name].started for name, answer in last.items() if answer is None}
            waiting = [name for name in probes if name not in seconds]
            if not waiting:
                return seconds
            if now > deadline:
                raise NotReady(waiting[0], seconds=timeout_s, last=last[waiting[0]] or "", log=self[waiting[0]].log)
            time.sleep(_POLL_S)

    def check(self) -> None:
        """Raise ServerDied for the first process that ended although nobody stopped it."""
        for process in self._processes.values():
            if not process.may_end and (code := process.popen.poll()) is not None:
                self._end([process])
                raise ServerDied(process.name, exit_code=code, log=process.log, log_tail=process.log_tail())

    def stop(self, *names: str) -> None:
        """End processes and their descendants, all at once: SIGTERM, and SIGKILL after the grace or at a second Ctrl-C.

        A name that does not run is no error.
        """
        self._end([self._processes[name] for name in names if name in self._processes])

    def kill(self, name: str) -> None:
        """End one process and its descendants by SIGKILL, on purpose: check() does not report it."""
        if process := self._processes.get(name):
            groups.send(process.pid, signal.SIGKILL)
            self._end([process])

    def stop_all(self) -> None:
        """End every process, as stop() does."""
        self.stop(*self._processes)

    def afterwards(self, callback: Callable[[], object]) -> None:
        """Call something when the context was left and no process runs any more."""
        self._afterwards.callback(callback)

    def resident_bytes(self, name: str) -> int:
        """Return the resident memory of a process and its descendants; 0 when it does not run."""
        process = self._processes.get(name)
        return process.resident_bytes if process else 0

    @property
    def names(self) -> list[str]:
        """What runs, in the order in which it was started."""
        return list(self._processes)

    def __getitem__(self, name: str) -> Process:
        return self._processes[name]

    def __contains__(self, name: str) -> bool:
        return name in self._processes

    def _end(self, processes: Iterable[Process]) -> None:
        left = list(processes)
        try:
            for process in left:
                groups.send(process.pid, signal.SIGTERM)
            asked = time.monotonic()
            while left := [process for process in left if not self._ended(process)]:
                for process in left:
                    if time.monotonic() - asked > process.grace_s:
                        groups.send(process.pid, signal.SIGKILL)
                time.sleep(0.05)
        finally:
            for process in left:
                groups.send(process.pid, signal.SIGKILL)
            for process in left:
                process.popen.wait()
                self._forget(process)

    def _ended(self, process: Process) -> bool:
        ended = process.popen.poll() is not None and not groups.members(process.pid)
        if ended:
            self._forget(process)
        return ended

    def _forget(self, process: Process) -> None:
        self._processes.pop(process.name, None)
        self._tell_guard(f"-{process.pid}")

    def _tell_guard(self, line: str) -> None:
        if self._guard and self._guard.stdin:
            with suppress(BrokenPipeError):
                self._guard.stdin.write(f"{line}\n")
                self._guard.stdin.flush()

    def _dismiss_guard(self) -> None:
        if self._guard and self._guard.stdin:
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None


def _popen(
    name: str, argv: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    if not shutil.which(argv[0], path=(os.environ if env is None else env).get("PATH")):
        raise StackError(
            f"{name} could not be started.",
            cause=f"{argv[0]} does not exist or is not executable.",
            cure="Correct the path.",
        )
    return subprocess.Popen(
        ["/bin/sh", "-c", _WAIT_FOR_GO, *argv],
        env=env,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _ask(probe: Ready) -> str | None:
    try:
        return None if probe() else "not yet"
    except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error) or type(error).__name__


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
