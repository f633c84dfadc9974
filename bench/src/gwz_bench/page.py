"""docs/benchmark.md, written from the report of a run."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gwz_bench.options import OUT
from gwz_bench.report import HEADINGS, Report, Row, cells, quantities
from gwz_bench.rows import ROWS

PAGE = Path("docs/benchmark.md")
_INTRODUCTION = """\
<!-- Written by `nox -s bench -- page` from build/bench/report.json: do not edit. -->
# Benchmark

What `gwz-instrument` costs beside its peers, measured by `{command}` on one machine, in one run.
Ratios travel to other machines, microseconds do not.

## How it is measured

- Each variant lives in a process of its own, and they take turns: round after round, one at a time.
- A request's cost is what it adds to the plain application: slices of requests alternate, plain, variant, plain, and each slice is compared with its two neighbours.
- A figure is the median of the rounds; IQR is the distance between their quartiles. *Plain app against itself* is the error of the method.
- Each slice starts after a collection of garbage, and the applications themselves are frozen: else the rare large collections would fall into the same slices of every round.
- Applications are driven through ASGI inside the process: no sockets, no server, so that nothing else is measured.
- Where spans or lines are delivered, there are three clocks: *until the answer* stops at the last response of a slice, while exporters are at work and want the interpreter too; *CPU of the thread that answers* is what that thread itself spends until then; *until everything is delivered* stops when the last span and line is at a sink in another process.
  Queues are large enough that no variant drops any.
- CPU is the processor time of all threads of the process, deliveries included, that a request adds.
- After each variant the requests made are compared with the next scrape of `/metrics`, and spans and lines with what the sink has.
"""


def main(arguments: Sequence[str]) -> int:
    """Write the page; a report that lacks rows is refused."""
    parser = argparse.ArgumentParser(prog="nox -s bench -- page", description=f"Write {PAGE} from a report.")
    parser.add_argument("--report", type=Path, default=OUT / "report.json", help=f"default {OUT / 'report.json'}")
    parser.add_argument("--to", type=Path, default=PAGE, help=f"default {PAGE}")
    given = parser.parse_args(arguments)
    try:
        report = Report.read(given.report)
    except FileNotFoundError:
        sys.stderr.write(f"{given.report} does not exist: run `nox -s bench` first\n")
        return 2
    if absent := [name for name in ROWS if name not in report.ran]:
        sys.stderr.write(f"{given.report} lacks {', '.join(absent)}: the page needs a run without --only\n")
        return 2
    given.to.write_text(page(report), encoding="utf-8")
    return 0


def page(report: Report) -> str:
    """The page of a report."""
    parts = [_INTRODUCTION.format(command=report.command), "## Where\n", _list(report.machine), _list(report.versions)]
    parts += ["## Figures\n", *(_section(quantity, rows) for quantity, rows in quantities(report.rows).items())]
    return "\n".join(parts)


def _section(quantity: str, rows: Sequence[Row]) -> str:
    lines = [_cells(HEADINGS), "| --- | ---: | ---: | ---: | ---: | --- | --- | --- |"]
    return "\n".join((f"### {quantity}\n", *lines, *(_cells(cells(row)) for row in rows), ""))


def _cells(texts: Sequence[str]) -> str:
    return f"| {' | '.join(text.replace('|', '&#124;') for text in texts)} |"


def _list(facts: dict[str, object] | dict[str, str]) -> str:
    return "\n".join((*(f"- {name.replace('_', ' ')}: {value}" for name, value in facts.items()), ""))
