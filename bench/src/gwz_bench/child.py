"""Processes that take orders: one line of JSON in, one line of JSON out.

Each variant lives in a process of its own, as OpenTelemetry and prometheus_client have global state that
must not mix, and waits there until it is its turn.
"""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Order = dict[str, Any]
Answer = dict[str, Any]

_STRANGERS = ("OTEL_", "GWZ_", "LOKI_", "TEMPO_", "PROMETHEUS_", "RAILWAY_")
"""What the person who runs the benchmark may have set for a backend of theirs."""
_END_S = 10.0


class ChildError(Exception):
    """A process of ours did not do what it was told; the message has its last words."""


class Child:
    """A process that answers orders until it is closed."""

    def __init__(self, program: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.name = " ".join((program, *arguments))
        self._process = subprocess.Popen(
            command(program, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(env),
            text=True,
        )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def ask(self, do: str, *, timeout_s: float = 120.0, **details: Any) -> Answer:
        """Give an order and wait for its answer; ChildError if there is none in time."""
        assert self._process.stdin  # noqa: S101  # we asked for a pipe
        try:
            self._process.stdin.write(json.dumps({"do": do, **details}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ChildError(f"{self.name} has ended with code {self._process.wait(_END_S)}, before {do!r}") from error
        line = self._read_line(do, timeout_s)
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise ChildError(f"{self.name}, {do}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process: by the end of its orders, and by force if that does not help."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_END_S)
        if self._process.stdout:
            self._process.stdout.close()

    def _read_line(self, do: str, timeout_s: float) -> str:
        stdout = self._process.stdout
        assert stdout  # noqa: S101  # we asked for a pipe
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            if not selector.select(timeout_s):
                self._process.kill()
                raise ChildError(f"{self.name} has not answered {do!r} within {timeout_s:g} s")
        line = stdout.readline()
        if not line:
            raise ChildError(f"{self.name} has ended with code {self._process.wait(_END_S)} during {do!r}")
        return line


@contextmanager
def child(program: str, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Child]:
    """A process that ends with the block."""
    started = Child(program, *arguments, env=env)
    try:
        yield started
    finally:
        started.close()


def command(program: str, *arguments: str) -> list[str]:
    """The command line of one of this package's programs."""
    return [sys.executable, "-m", f"gwz_bench.programs.{program}", *arguments]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what would steer telemetry or bend loopback addresses, and with `more`."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_STRANGERS) and not name.lower().endswith("_proxy")
    }
    return {**own, "PYTHONHASHSEED": "0", **(more or {})}


def serve(answer: Callable[[Order], Answer]) -> None:
    """Answer the orders on standard input until it ends; what anybody prints goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # noqa: BLE001  # the other side raises it
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def run(program: str, *arguments: str, timeout_s: float, env: Mapping[str, str] | None = None) -> tuple[Answer, float]:
    """Run a program that prints one line of JSON at its end; its answer, and how long it took to leave after that.

    The answer's `left_at` is the program's reading of the monotonic clock, which all processes share.
    """
    started = subprocess.run(
        command(program, *arguments),
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=timeout_s,
        check=False,
        text=True,
    )
    gone = time.monotonic()
    if started.returncode:
        raise ChildError(f"{program} has ended with code {started.returncode}")
    answer: Answer = json.loads(started.stdout)
    return answer, gone - float(answer.get("left_at", gone))
