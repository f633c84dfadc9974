"""The commands: they read the environment, call the quiet core, and print what it tells."""
# ruff: noqa: T201 - printing is what this module is for

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from gwz_provision import access, bundle
from gwz_provision.apply import Action, apply
from gwz_provision.doctor import Question, examine
from gwz_provision.errors import EXIT_OK, Misconfigured, ProvisionError
from gwz_provision.report import Report

if TYPE_CHECKING:
    from gwz_provision.grafana import Grafana

_EPILOG = """environment:
  GRAFANA_URL                          where Grafana is
  GRAFANA_TOKEN                        a service account's token (Admin to apply, Viewer for doctor), or
  GRAFANA_USER, GRAFANA_PASSWORD       a user
  PROMETHEUS_INTERNAL_URL, LOKI_URL,   where Grafana finds its data sources (apply)
  TEMPO_INTERNAL_URL
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options, os.environ))
    except ProvisionError as error:
        print(f"gwz-provision: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gwz-provision",
        description="Makes a Grafana exactly what the bundle says, and finds out why a panel is empty.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--bundle", type=Path, metavar="DIR", help="a generated bundle (default: the shipped one)")
    shared.add_argument("--output", choices=("text", "json"), default="text", help="default: text")
    _add_apply(commands.add_parser("apply", parents=[shared], help="bring folders, data sources and dashboards"))
    _add_doctor(commands.add_parser("doctor", parents=[shared], help="ask every query and name the first broken hop"))
    return parser


def _add_apply(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_apply)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="since", default="now-15m", metavar="TIME", help="default: now-15m")
    parser.add_argument(
        "--var",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="a dashboard variable's value (default: its first)",
    )
    parser.set_defaults(run=_doctor)


def _assignment(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _apply(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    wanted = _bundle(options)
    _require([*access.problems(environ), *wanted.unset(environ)])
    done: list[Action] = []
    try:
        with _grafana(environ) as grafana:
            for action in apply(wanted.resolved(environ), grafana):
                done.append(action)
                if options.output == "text":
                    print(f"{action.action:9} {action.kind} {action.uid}", flush=True)
    finally:  # after a failure too: what was done before it is done
        _print_actions(done, options.output)
    return EXIT_OK


def _doctor(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    examined = _bundle(options)
    question = Question(options.since, dict(options.var))
    question.check(examined)
    _require(access.problems(environ))
    with _grafana(environ) as grafana:
        report = examine(examined, grafana, question)
    _print_report(report, options.output)
    return report.exit_code


def _bundle(options: argparse.Namespace) -> bundle.Bundle:
    return bundle.load(options.bundle or bundle.shipped())


def _require(problems: list[str]) -> None:
    if problems:
        raise Misconfigured(problems, "`gwz-provision --help` lists the variables.")


def _grafana(environ: Mapping[str, str]) -> "Grafana":
    from gwz_provision.grafana import Grafana  # noqa: PLC0415 - its HTTP stack takes 0.3 s; --help does not wait for it

    return Grafana(access.Access.from_environment(environ))


def _print_actions(done: list[Action], output: str) -> None:
    summary = dict.fromkeys(("create", "update", "unchanged"), 0) | Counter(action.action for action in done)
    if output == "json":
        print(json.dumps({"schema": 1, "actions": [asdict(action) for action in done], "summary": summary}, indent=2))
    else:
        print(f"{summary['create']} created, {summary['update']} updated, {summary['unchanged']} unchanged")


def _print_report(report: Report, output: str) -> None:
    if output == "json":
        print(json.dumps(report.document(), indent=2))
        return
    for check in report.checks:
        print(f"ok      {check.id}" if check.ok else f"BROKEN  {check.id}\n        {check.cause}\n        {check.cure}")
    broken = sum(1 for check in report.checks if not check.ok)
    print(f"Grafana {report.version or 'unknown'}: {len(report.checks)} checks, {broken} broken", end="")
    print(f", the first is {report.first_broken_hop}" if broken else "")
