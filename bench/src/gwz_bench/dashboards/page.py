"""Keeps the report of a run on a day of data, and writes its section of docs/benchmark.md."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gwz_bench.dashboards.options import OUT
from gwz_bench.page import DASHBOARDS, PAGE, with_dashboards
from gwz_bench.report import Report


def main(arguments: Sequence[str]) -> int:
    """Keep the report and write the section; a report in which something is wrong is refused."""
    parser = argparse.ArgumentParser(
        prog="nox -s bench -- dashboards page", description=f"Keep a report in {DASHBOARDS} and tell it in {PAGE}."
    )
    parser.add_argument("--report", type=Path, default=OUT / "report.json", help="default %(default)s")
    given = parser.parse_args(arguments)
    try:
        report = Report.read(given.report)
    except FileNotFoundError:
        sys.stderr.write(f"{given.report} does not exist: run `nox -s bench -- dashboards` first\n")
        return 2
    if report.failed:
        wrong = ", ".join(f"{row.variant} ({row.note})" for row in report.failed)
        sys.stderr.write(f"{given.report} is of a run that failed: {wrong}\n")
        return 2
    DASHBOARDS.parent.mkdir(parents=True, exist_ok=True)
    DASHBOARDS.write_text(given.report.read_text(encoding="utf-8"), encoding="utf-8")
    PAGE.write_text(with_dashboards(PAGE.read_text(encoding="utf-8"), report), encoding="utf-8")
    return 0
