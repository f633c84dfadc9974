"""The whole stack as it is shipped, and the workers that log into it."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from gwz_e2e.limits.lanes import Patience
from gwz_e2e.limits.writer import Plan, Written
from gwz_e2e.scene import neutral_environment
from gwz_e2e.stage import Stage
from gwz_stack import Process, StackError


@dataclass(frozen=True)
class Ground:
    """A stack without a setting that is not the shipped one."""

    stage: Stage
    patience: Patience
    tell: Callable[[str], None]

    @property
    def out(self) -> Path:
        """The run's folder."""
        return self.stage.place.out

    @contextmanager
    def workers(self, plans: Sequence[Plan]) -> Iterator["Workers"]:
        """Start one worker per plan; none runs when the context is left."""
        supervisor = self.stage.supervisor
        processes: list[Process] = []
        results = [self.out.resolve() / "data" / f"{plan.app}-{plan.first}.json" for plan in plans]
        try:
            for plan, result in zip(plans, results, strict=True):
                name = f"worker {plan.app} {plan.first}"
                command = [sys.executable, "-m", "gwz_e2e.limits.writer", json.dumps(asdict(plan)), str(result)]
                log = self.out / "logs" / f"{plan.app}.log"
                processes.append(
                    supervisor.launch(name, command, log=log, env=neutral_environment(), cwd=self.out, may_end=True)
                )
            yield Workers(processes, results, self.patience)
        finally:
            supervisor.stop(*(process.name for process in processes))

    def write(self, plans: Sequence[Plan], within_s: float) -> list[Written]:
        """Let workers write, all at once, and return what became of their lines."""
        with self.workers(plans) as workers:
            return workers.wait(within_s)


class Workers:
    """Workers that run."""

    def __init__(self, processes: Sequence[Process], results: Sequence[Path], patience: Patience) -> None:
        self._processes = processes
        self._results = results
        self._patience = patience

    def wait(self, within_s: float) -> list[Written]:
        """What became of each worker's lines; StackError for one that failed or was not done in time."""
        self._patience.until(lambda: all(one.popen.poll() is not None for one in self._processes), within_s)
        for process in self._processes:
            if process.popen.poll() != 0:
                raise StackError(
                    f"{process.name} did not do its work.",
                    cause=f"It ended with {process.popen.poll()} within {within_s:.0f} s (None: it still ran).",
                    cure=f"Read {process.log}.",
                )
        return [Written(**json.loads(result.read_text(encoding="utf-8"))) for result in self._results]
