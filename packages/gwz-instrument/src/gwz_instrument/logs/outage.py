"""What stderr is told of a Loki that does not answer: one line when it begins, one that says how many lines were lost."""

import contextlib
import sys
import time
from typing import Final

from gwz_instrument.redact import redact

_QUIET_S: Final = 60.0


def complain(sentence: str) -> None:
    """Write one line to stderr: a logger could lead back here."""
    with contextlib.suppress(Exception):  # stderr may be closed, or somebody else's idea of it
        sys.stderr.write(f"gwz-instrument: {sentence}\n")


class Outage:
    """Tells of troubles once, not once per attempt."""

    def __init__(self, place: str, max_bytes: int) -> None:
        self._place = place
        self._kept = f"lines are kept, up to {max_bytes / 2**20:.3g} MiB, until it answers"
        self._since: float | None = None
        self._told = False
        self._lost = 0
        self._quiet_until: dict[str, float] = {}

    def begin(self, problem: str) -> None:
        """Note a push that failed for now; the first of an outage is told, unless one was told a moment ago.

        A Loki that takes its rate and refuses the rest has outages by the second.
        """
        if self._since is None:
            self._since = time.monotonic()
            self._told = False
        if not self._told:
            self._told = self._now_and_then("away", f"Loki at {self._place} {problem}; {self._kept}")

    def lost(self, lines: int) -> None:
        """Note lines that had to be dropped."""
        self._lost += lines

    def end(self) -> None:
        """Note a push that succeeded, and tell what was lost before; within a minute of the same, the next one tells."""
        since, self._since = self._since, None
        if not self._lost:
            return
        if since is not None and self._told:
            seconds = time.monotonic() - since
            complain(
                f"Loki at {self._place} answers again after {seconds:.0f} s; {self._lost} lines were lost meanwhile"
            )
        elif not self._now_and_then(
            "slow",
            f"Loki at {self._place} is slower than the lines come; {self._lost} lines were lost: the queue was full",
        ):
            return
        self._lost = 0

    def refused(self, lines: int, status: int, text: str) -> None:
        """Tell of lines that Loki will never take, once a minute: the counter has the sum."""
        self._now_and_then("refused", f"Loki at {self._place} refused {lines} lines ({status}): {text[-500:]}")

    def fault(self, error: BaseException | None) -> None:
        """Tell of a bug of ours."""
        what = "" if error is None else f" ({type(error).__name__}: {redact(str(error))[:300]})"
        self._now_and_then("fault", f"a fault of gwz-instrument itself lost log lines{what}: please report it")

    def given_up(self, lines: int) -> None:
        """Tell of lines that were left at the end."""
        before = f"; {self._lost} more were lost before: the queue was full" if self._lost else ""
        complain(f"{lines} log lines were given up: Loki at {self._place} did not take them in time{before}")
        self._lost = 0

    def late(self) -> None:
        """Tell of lines that come when nothing is sent any more."""
        self._now_and_then(
            "late",
            "a log line came after the last delivery, at the exit of the process, and was lost: "
            "an exit hook that logs must be registered after the handler is made, as such hooks run in reverse",
        )

    def _now_and_then(self, what: str, sentence: str) -> bool:
        """Tell, if the same was not told within a minute; whether it was told now."""
        now = time.monotonic()
        if now < self._quiet_until.get(what, 0.0):
            return False
        self._quiet_until[what] = now + _QUIET_S
        complain(sentence)
        return True
