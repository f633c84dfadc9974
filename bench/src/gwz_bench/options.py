"""What a run is asked to do."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 7
QUICK_ROUNDS = 3
OUT = Path("build/bench")


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `nox -s bench`."""

    only: tuple[str, ...]
    rounds: int = ROUNDS
    quick: bool = False
    out: Path = OUT

    def sized(self, full: int, quick: int) -> int:
        """How much of something: less of it in a quick run."""
        return quick if self.quick else full


def parse(arguments: Sequence[str], rows: Sequence[str]) -> Options:
    """Options from the command line; a wrong one ends the program with a sentence and exit code 2."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description="Measure gwz-instrument beside its peers.")
    parser.add_argument(
        "--only", action="append", choices=rows, metavar="ROW", help=f"one of {', '.join(rows)}; may be repeated"
    )
    parser.add_argument("--rounds", type=at_least_one, help=f"default {ROUNDS}, or {QUICK_ROUNDS} with --quick")
    parser.add_argument("--quick", action="store_true", help="few rounds of few requests: to try it, not to publish it")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"default {OUT}")
    given = parser.parse_args(arguments)
    return Options(
        only=tuple(row for row in rows if row in (given.only or rows)),
        rounds=given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS),
        quick=given.quick,
        out=given.out,
    )


def at_least_one(text: str) -> int:
    """A whole number from 1, of an argument."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is too few; ask for 1 or more")
    return int(text)
