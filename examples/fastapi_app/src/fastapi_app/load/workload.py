"""How requests come in and how large they are: from a distribution, or from a recorded trace."""

import csv
import itertools
import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_MOST_TOKENS = 1_000_000


@dataclass(frozen=True)
class Sample:
    """One request of a workload."""

    gap_s: float
    """Time since the request before."""
    input_tokens: int
    output_tokens: int


class Quantiles:
    """A distribution given by some of its quantiles, linear in between."""

    def __init__(self, *points: tuple[float, float]) -> None:
        self._shares = [share for share, _ in points]
        self._values = [value for _, value in points]

    def draw(self, rng: random.Random) -> float:
        """Draw one value."""
        share = rng.random()
        right = bisect_right(self._shares, share)
        low, high = self._shares[right - 1], self._shares[right]
        below, above = self._values[right - 1], self._values[right]
        return below + (above - below) * (share - low) / (high - low)


# Quantiles of the conversation trace "AzureLLMInferenceTrace_conv" (CC BY 4.0; Patel et al., Splitwise, ISCA 2024).
GAP_S = Quantiles(
    (0, 0), (0.1, 0.016), (0.25, 0.048), (0.4, 0.087), (0.5, 0.118), (0.6, 0.159), (0.75, 0.247), (0.85, 0.346),
    (0.9, 0.421), (0.95, 0.565), (0.98, 0.749), (0.99, 0.891), (0.999, 1.431), (0.9999, 3.128), (1, 4.315),
)  # fmt: skip
INPUT_TOKENS = Quantiles(
    (0, 2), (0.01, 29), (0.05, 181), (0.2, 387), (0.3, 403), (0.4, 703), (0.5, 1020), (0.7, 1130), (0.8, 1315),
    (0.85, 1877), (0.9, 2735), (0.95, 4083), (0.99, 4142), (0.999, 6212), (0.9999, 7930), (1, 14050),
)  # fmt: skip
OUTPUT_TOKENS = Quantiles(
    (0, 7), (0.05, 41), (0.25, 85), (0.4, 103), (0.5, 129), (0.6, 177), (0.65, 217), (0.7, 384), (0.75, 395),
    (0.9, 424), (0.95, 451), (0.99, 601), (0.999, 954), (1, 1000),
)  # fmt: skip


def built_in(seed: int) -> Iterator[Sample]:
    """Draw samples without end; the same seed draws the same."""
    rng = random.Random(f"workload {seed}")
    while True:
        yield Sample(GAP_S.draw(rng), round(INPUT_TOKENS.draw(rng)), round(OUTPUT_TOKENS.draw(rng)))


def from_csv(path: Path) -> Iterator[Sample]:
    """Repeat a recorded trace without end; ValueError says which line of the file is wrong."""
    return itertools.cycle(_read(path))


def _read(path: Path) -> list[Sample]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            samples = list(_samples(csv.DictReader(file), path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as CSV ({error}); give a text file that starts {_header()}") from error
    if not samples:
        raise ValueError(f"{path}, line 2 is missing: the file holds no request; give one with at least one row")
    return samples


def _samples(rows: "csv.DictReader[str]", path: Path) -> Iterator[Sample]:
    missing = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        raise ValueError(
            f"{path}, line 1 is {','.join(rows.fieldnames or ())[:80]!r} and lacks {', '.join(missing)}; it must be {_header()}"
        )
    before: datetime | None = None
    for row in rows:
        place = f"{path}, line {rows.line_num}"
        at = _timestamp(row["TIMESTAMP"], before, place)
        gap_s = (at - (before or at)).total_seconds()
        yield Sample(gap_s, _tokens(row, "ContextTokens", place), _tokens(row, "GeneratedTokens", place))
        before = at


def _timestamp(text: str | None, before: datetime | None, place: str) -> datetime:
    try:
        at = datetime.fromisoformat(text or "")
        in_order = before is None or at >= before
    except (TypeError, ValueError) as error:  # TypeError: one with a time zone, one without
        raise ValueError(
            f"{place}: TIMESTAMP is {text!r}, not a time like the others; write it like 2023-11-16 18:15:46.680590"
        ) from error
    if not in_order:
        raise ValueError(f"{place}: TIMESTAMP {text!r} is earlier than the line before; sort the file by TIMESTAMP")
    return at


def _tokens(row: dict[str, str], column: str, place: str) -> int:
    text = row[column] or ""
    if text.isdecimal() and len(text) <= 7 and int(text) <= _MOST_TOKENS:
        return int(text)
    raise ValueError(f"{place}: {column} is {text!r}, but must be a whole number from 0 to {_MOST_TOKENS}; correct it")


def _header() -> str:
    return ",".join(_COLUMNS)
