"""docs/benchmark.md, written from the report of a run."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gwz_bench.options import OUT
from gwz_bench.report import HEADINGS, Report, Row, cells, quantities
from gwz_bench.rows import ROWS

PAGE = Path("docs/benchmark.md")
DASHBOARDS = Path("docs/proof/dashboards.json")
"""The report of the dashboards that the page tells of, kept by `nox -s bench -- dashboards page`."""
_INTRODUCTION = """\
<!-- Written by `nox -s bench -- page` from build/bench/report.json: do not edit. -->
# Benchmark

What `gwz-instrument` costs beside its peers, measured by `{command}` on one machine, in one run.
Ratios travel to other machines, microseconds do not.

## How it is measured

- Each variant lives in a process of its own, and they take turns: round after round, one at a time.
- A request's cost is what it adds to the same application without the variant, of which everything inside the middlewares is the same object: slices of requests alternate, plain, variant, plain, and each slice is compared with its two neighbours.
- A figure is the median of the rounds; IQR is the distance between their quartiles. *Plain app against itself* is the error of the method.
- Behind much code of others everything is dearer, as it has left the processor's caches; how much is told by `gwz-instrument` itself where it is told its route and looks at none. And of two processes with the same in them, one there is often some 10 µs faster than the other, of 600: so there each round has processes of its own.
- Each slice starts after a collection of garbage, and the applications themselves are frozen: else the rare large collections would fall into the same slices of every round.
- Applications are driven through ASGI inside the process: no sockets, no server, so that nothing else is measured.
- Where spans or lines are delivered, there are three clocks: *until the answer* stops at the last response of a slice, while exporters are at work and want the interpreter too; *CPU of the thread that answers* is what that thread itself spends until then; *until everything is delivered* stops when the last span and line is at a sink in another process.
  Queues are large enough that no variant drops any.
- CPU is the processor time of all threads of the process, deliveries included, that a request adds.
- After each variant the requests made are compared with the next scrape of `/metrics`, and spans and lines with what the sink has.
"""

_DASHBOARDS = """\
<!-- From here on written by `nox -s bench -- dashboards page` from docs/proof/dashboards.json: do not edit. -->
## Dashboards on a day of data

How long the queries of each dashboard take together, measured by `{command}`.

- Blocks of a day are made from the contract, with every label value of the size below, and imported by `promtool`; what recording rules would have written is made by `promtool` as well; Loki has a line for each request.
- The servers are those of the stack, as they are shipped; the application answers the JSON endpoints from Prometheus.
- A dashboard is loaded as a browser 2560 pixels wide does, over six connections: the values of its variables first, all of them chosen, then the queries of all panels, visible or not.
- A figure is the median of the rounds; IQR is the distance between their quartiles; the ratio is to a cheap query that was asked in the same rounds; CPU is what Prometheus alone spent.
- Series are those that the selectors of a query match within the day; the queries that the JSON endpoints put to Prometheus are among them.
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
    text = page(report)
    if DASHBOARDS.exists():
        text = with_dashboards(text, Report.read(DASHBOARDS))
    given.to.write_text(text, encoding="utf-8")
    return 0


def page(report: Report) -> str:
    """The page of a report."""
    parts = [_INTRODUCTION.format(command=report.command), "## Where\n", _list(report.machine), _list(report.versions)]
    return "\n".join([*parts, "## Figures\n", *_sections(report)])


def with_dashboards(text: str, report: Report) -> str:
    """The page with the section of the dashboards' report, instead of the one that it may have."""
    begin, _, _ = _DASHBOARDS.partition("\n")
    before, _, _ = text.partition(begin)
    parts = [_DASHBOARDS.format(command=report.command), _list(report.machine), _list(report.versions)]
    return before.rstrip("\n") + "\n\n" + "\n".join([*parts, *_sections(report)])


def _sections(report: Report) -> list[str]:
    return [_section(quantity, rows) for quantity, rows in quantities(report.rows).items()]


def _section(quantity: str, rows: Sequence[Row]) -> str:
    lines = [_cells(HEADINGS), "| --- | ---: | ---: | ---: | ---: | --- | --- | --- |"]
    return "\n".join((f"### {quantity}\n", *lines, *(_cells(cells(row)) for row in rows), ""))


def _cells(texts: Sequence[str]) -> str:
    return f"| {' | '.join(text.replace('|', '&#124;') for text in texts)} |"


def _list(facts: dict[str, object] | dict[str, str]) -> str:
    return "\n".join((*(f"- {name.replace('_', ' ')}: {value}" for name, value in facts.items()), ""))
