"""The figures of the sizing page: kept in docs/proof/limits.json, told in a table of docs/guides/sizing.md."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path("docs/guides/sizing.md")
KEPT = Path("docs/proof/limits.json")
BEGIN = "<!-- Written by `nox -s limits -- page` from docs/proof/limits.json: do not edit. -->\n"
END = "<!-- End of what is written. -->\n"


def main(arguments: Sequence[str]) -> int:
    """Keep the report of a run and write its table into the page; a report that is not green is refused."""
    parser = argparse.ArgumentParser(prog="nox -s limits -- page", description=f"Write the table of {PAGE}.")
    parser.add_argument("--report", type=Path, default=Path("build/limits/report.json"), help="default %(default)s")
    given = parser.parse_args(arguments)
    try:
        text = given.report.read_text(encoding="utf-8")
    except FileNotFoundError:
        sys.stderr.write(f"{given.report} does not exist: run `nox -s limits` first\n")
        return 2
    report = json.loads(text)
    if not report["ok"]:
        sys.stderr.write(f"{given.report} has a proof that does not hold: the page needs a run that is green\n")
        return 2
    KEPT.write_text(text, encoding="utf-8")
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), report), encoding="utf-8")
    return 0


def with_table(page: str, report: Mapping[str, Any]) -> str:
    """The page with the table of that report; ValueError for a page without a place for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(
            f"{PAGE} has no place for the table: put the lines {BEGIN.strip()!r} and {END.strip()!r} there"
        )
    return f"{before}{BEGIN}\n{table(report)}{END}{after}"


def table(report: Mapping[str, Any]) -> str:
    """What is kept, what is taken and what a request costs, in Markdown."""
    of = {proof["id"]: proof["figures"] for proof in report["proofs"]}
    rate, burst, cost = of["throughput"], of["burst"], of["bytes_per_request"]
    scrapes = (
        f"{cost['scrape_wire_bytes']} compressed bytes for {cost['scrape_samples']} samples each "
        f"{cost['scrape_interval_s']:.0f} s, at {cost['requests_per_s']:.0f} requests a second"
    )
    kept = [("Kept", "Days")]
    kept += [
        (what, f"{of[proof]['retention_days']:.0f}")
        for what, proof in (
            ("Log lines", "loki_retention"),
            ("Traces", "tempo_retention"),
            ("Metrics", "prometheus_retention"),
        )
    ]
    taken = [
        ("Log lines taken", "Limit", "What was sent through it"),
        (
            "MB a second",
            f"{rate['limit_mb_per_s']}",
            f"{rate['mb_per_s']} for {rate['seconds']:.0f} s by {rate['handlers']} workers, none lost",
        ),
        (
            "MB at once",
            f"{burst['limit_mb']}",
            f"{burst['mb_at_once']}: {burst['refused_pushes']} pushes were answered 429, none lost",
        ),
    ]
    idle = dict(of["idle_memory"])
    together, most = idle.pop("together_mib"), idle.pop("most_mib")
    share = ", ".join(f"{name.removesuffix('_mib')} {number}" for name, number in idle.items())
    held = [
        ("Held without work", "MiB", "Resident, at most in a minute"),
        ("All servers", f"{together}", f"{share}; {most} are allowed"),
    ]
    costs = [
        ("A request of the example", "Bytes", "How they were counted"),
        ("Log lines", f"{cost['log_line_bytes']}", f"{cost['log_lines']} lines, as Loki holds them against its limits"),
        ("Pushes", f"{cost['log_push_bytes']}", "the same lines on their way, compressed"),
        ("Spans", f"{cost['span_bytes']}", f"{cost['spans']} spans, as Tempo receives them"),
        ("Scrapes", f"{cost['metrics_wire_bytes']}", scrapes),
    ]
    return "\n".join(_markdown(rows) for rows in (kept, taken, held, costs))


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([head, f"| --- | ---: |{' --- |' * (len(rows[0]) - 2)}", *body, ""])
