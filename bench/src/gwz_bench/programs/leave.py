"""Writes lines and ends at once, its queue still full: `python -m gwz_bench.programs.leave SINK FIRST LINES`."""

import json
import logging
import sys
import time

from gwz_bench.programs.logs import ours


def main(sink: str, first: int, lines: int) -> None:
    """Write `lines` lines, numbered from `first`, and say when the program was over."""
    handler = ours(sink).handler
    logger = logging.getLogger("gwz_bench.leave")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    for number in range(first, first + lines):
        logger.info("line %d of the last words", number)
    sys.stdout.write(json.dumps({"left_at": time.monotonic()}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
