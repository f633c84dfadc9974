"""A run: one row's function after the other, the table at the end."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from gwz_bench.child import ChildError
from gwz_bench.machine import machine, missing, versions
from gwz_bench.options import Options, parse
from gwz_bench.report import Report, Row, table
from gwz_bench.rows import ROWS


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for: 0 when every row ran and none is wrong or far from its reach, 1 otherwise."""
    options = parse(arguments, tuple(ROWS))
    if absent := missing():
        sys.stderr.write(f"not installed: {', '.join(absent)}; `nox -s bench` installs them\n")
        return 2
    report = Report(" ".join(("nox -s bench", *(["--", *arguments] if arguments else []))), machine(), versions())
    for name in options.only:
        _measure(name, options, report)
        report.write(options.out)
    sys.stdout.write(f"\n{table(report.rows)}\n\n{_words(report.machine)}\n{options.out / 'report.json'}\n")
    for row in report.failed:
        sys.stdout.write(f"failed: {row.quantity}, {row.variant}: {row.note or row.reach}\n")
    return 1 if report.failed else 0


def _measure(name: str, options: Options, report: Report) -> None:
    """Add the rows of one function; one that could not measure leaves a row that says so, and counts as not run."""
    began = time.monotonic()
    sys.stderr.write(f"{name} … ")
    sys.stderr.flush()
    try:
        report.rows += ROWS[name](options)
    except (ChildError, OSError, ValueError, subprocess.SubprocessError) as error:
        report.rows.append(Row(quantity=name, variant="not measured", exact=False, note=str(error)))
    else:
        report.ran.append(name)
    sys.stderr.write(f"{time.monotonic() - began:.0f} s\n")


def _words(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
