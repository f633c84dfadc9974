"""What a run on a day of data is asked to do."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gwz_bench.dashboards.day import Size
from gwz_bench.options import at_least_one

ROUNDS = 5
OUT = Path("build/bench-dashboards")


@dataclass(frozen=True)
class Options:
    """The arguments of `nox -s bench -- dashboards`."""

    size: Size
    rounds: int
    merge: bool
    """Whether to wait until Prometheus has merged the blocks, as it has those of a day that it scraped itself."""
    out: Path


def parse(arguments: Sequence[str]) -> Options:
    """Options from the command line; a wrong one ends the program with a sentence and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="nox -s bench -- dashboards", description="Measure each dashboard's queries on a day of data."
    )
    parser.add_argument("--rounds", type=at_least_one, default=ROUNDS, help="default %(default)s")
    parser.add_argument(
        "--interval",
        type=at_least_one,
        default=Size.interval_s,
        metavar="SECONDS",
        help="of scrapes, default %(default)s",
    )
    parser.add_argument(
        "--quick", action="store_true", help="ten minutes of two providers, one round: to try it, not to publish it"
    )
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="default %(default)s")
    given = parser.parse_args(arguments)
    whole = Size(interval_s=given.interval)
    if not given.quick:
        return Options(whole, given.rounds, merge=True, out=given.out)
    small = Size(whole.providers[:2], whole.models[:2], given.interval, span_s=600)
    return Options(small, 1, merge=False, out=given.out)
