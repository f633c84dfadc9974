"""Forks while it logs: `python -m gwz_bench.programs.forks SINK FORKS LINES`.

The parent's second thread writes without a pause, so that its sender is at work at each fork; each child
writes lines of its own and ends as a process does that reaches its end.
"""

import json
import logging
import os
import sys
import threading
import time

from gwz_bench.programs.logs import ours

_CHILD_S = 20.0
_BLOCK = 1_000_000
"""The lines of a child are numbered from its own multiple of this."""


def main(sink: str, forks: int, lines: int) -> None:
    """Fork, and print how many lines parent and children have written, and how many children hung."""
    handler = ours(sink).handler
    logger = logging.getLogger("gwz_bench.forks")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    over = threading.Event()
    written = [0]

    def write() -> None:
        while not over.is_set():
            logger.info("line %d of the parent", written[0])
            written[0] += 1
            if written[0] % 50 == 0:
                time.sleep(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    children = []
    for child in range(1, forks + 1):
        time.sleep(0.05)  # the sender gets to work again
        pid = os.fork()
        if not pid:
            for number in range(child * _BLOCK, child * _BLOCK + lines):
                logger.info("line %d of a child", number)
            return
        children.append(pid)
    ended = [_ended(pid) for pid in children]
    over.set()
    writer.join()
    report = {"written": written[0] + forks * lines, "hung": ended.count(None), "failed": sum(1 for e in ended if e)}
    sys.stdout.write(json.dumps({**report, "left_at": time.monotonic()}) + "\n")


def _ended(pid: int) -> int | None:
    """The exit status of a child; None for one that had to be killed."""
    deadline = time.monotonic() + _CHILD_S
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return None


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
