"""Proofs in lanes: those of a lane come one after the other, the lanes run side by side."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import httpx

from gwz_e2e.hops import Aborted, Finding, Result
from gwz_stack import StackError, Supervisor

_POLL_S = 0.25

Tell = Callable[[Result], None]


@dataclass(frozen=True)
class Proof:
    """One thing that is claimed of the stack, and how it is tried."""

    id: str
    prove: Callable[[], Finding]


class Patience:
    """Waits for what one lane's servers will do, as long as they live and the run is not given up."""

    def __init__(self, supervisor: Supervisor, stop: threading.Event) -> None:
        self._supervisor = supervisor
        self._stop = stop

    def watch(self) -> None:
        """Raise ServerDied when a process ended unasked, Aborted when the run was given up."""
        self._supervisor.check()
        if self._stop.is_set():
            raise Aborted

    def until(self, so: Callable[[], bool], within_s: float) -> bool:
        """Whether it became so in time; a question that the server does not answer is asked again."""
        deadline = time.monotonic() + within_s
        while True:
            self.watch()
            with suppress(httpx.HTTPError):
                if so():
                    return True
            if time.monotonic() >= deadline:
                return False
            self._stop.wait(_POLL_S)


def run(lanes: Sequence[Sequence[Proof]], stop: threading.Event, tell: Tell) -> list[Result]:
    """Run all lanes to their ends and return what was found; `stop` is set when that is interrupted."""
    with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
        futures = [pool.submit(_lane, lane, tell) for lane in lanes]
        try:
            return [result for future in futures for result in future.result()]
        except BaseException:
            stop.set()
            raise


def _lane(proofs: Sequence[Proof], tell: Tell) -> list[Result]:
    results = []
    for proof in proofs:
        finding = _try(proof)
        results.append(Result(proof.id, finding.ok, finding.sentence, time.time(), finding.figures))
        tell(results[-1])
    return results


def _try(proof: Proof) -> Finding:
    try:
        return proof.prove()
    except StackError as error:
        return Finding(ok=False, sentence=str(error))
    except Aborted:
        raise
    except Exception as error:  # noqa: BLE001  # a server that answers nonsense costs its proof, not the others
        return Finding(ok=False, sentence=f"the proof itself failed: {type(error).__name__}: {error}")
