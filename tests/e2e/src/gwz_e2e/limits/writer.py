"""A worker that logs through our handler as an application does: `python -m gwz_e2e.limits.writer PLAN RESULT`."""

import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from gwz_instrument.logs import PUSH_PATH, LokiHandler
from gwz_instrument.semconv import health

MIB = 2**20
_FRAME_BYTES = 128
"""What a line has besides its message, at least."""
_TEXTS = 64
_AHEAD_S = 0.005
_DELIVERY_S = 90.0


@dataclass(frozen=True)
class Plan:
    """What a worker does: each of its handlers gets `lines` lines of at least `line_bytes`, numbered from 0."""

    loki: str
    app: str
    lines: int
    line_bytes: int
    first: int = 0
    """The number of its first handler, which each line names."""
    handlers: int = 1
    lines_per_s: float | None = None
    """By each handler; as fast as it can where there is none."""
    queue_bytes: int = 16 * MIB
    """The handler's own default."""


@dataclass(frozen=True)
class Written:
    """What became of a worker's lines, as its handlers count them, and how long it took from the first call on."""

    delivered: int
    lost: int
    logged_s: float
    delivered_s: float


def main(arguments: Sequence[str]) -> int:
    """Do what the plan says and write down how it went."""
    plan, result = arguments
    Path(result).write_text(json.dumps(asdict(write(Plan(**json.loads(plan))))), encoding="utf-8")
    return 0


def write(plan: Plan) -> Written:
    """Log all lines and wait until they are delivered."""
    counts = [Counter[str]() for _ in range(plan.handlers)]
    handlers = [_handler(plan, count) for count in counts]
    loggers = [_logger(plan.first + index, handler) for index, handler in enumerate(handlers)]
    texts = texts_of(plan)
    began = time.monotonic()
    for number in range(plan.lines):
        if plan.lines_per_s:
            _keep_pace(began + number / plan.lines_per_s)
        for index, logger in enumerate(loggers):
            logger.info(texts[number % _TEXTS], extra={"writer": plan.first + index, "number": number})
    logged = time.monotonic()
    for handler in handlers:
        handler.drain(_DELIVERY_S)
    delivered = sum(count[health.DELIVERED] for count in counts)
    lost = sum(count.total() for count in counts) - delivered
    return Written(delivered, lost, logged - began, time.monotonic() - began)


def texts_of(plan: Plan) -> list[str]:
    """Messages of words and numbers, as logs have them; the same for each plan of that size."""
    draw = random.Random(plan.line_bytes)
    words = ["request", "provider", "answered", "tokens", "latency", "retry", "cache", "model"]
    words += [str(draw.randrange(10**6)) for _ in range(100)]
    size = plan.line_bytes - _FRAME_BYTES
    times = size // len(" ".join(words)) + 1
    return [" ".join(draw.sample(words, len(words)) * times)[:size] for _ in range(_TEXTS)]


def _handler(plan: Plan, counts: Counter[str]) -> LokiHandler:
    def count(_signal: str, word: str, number: int) -> None:
        counts[word] += number

    return LokiHandler(f"{plan.loki}{PUSH_PATH}", tags={"app": plan.app}, count=count, max_queue_bytes=plan.queue_bytes)


def _logger(writer: int, handler: LokiHandler) -> logging.Logger:
    logger = logging.getLogger(f"gwz_e2e.limits.{writer}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    return logger


def _keep_pace(due: float) -> None:
    ahead = due - time.monotonic()
    if ahead > _AHEAD_S:
        time.sleep(ahead)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
