"""The commands: they read the environment, call the quiet core, and print what it tells."""
# ruff: noqa: T201 - printing is what this module is for

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gwz_provision import access, bundle, commands
from gwz_provision.check.command import add_validate
from gwz_provision.console import Console
from gwz_provision.doctor import Question, examine
from gwz_provision.environment import Environment
from gwz_provision.errors import EXIT_CANCELLED, Misconfigured, ProvisionError
from gwz_provision.redaction import Redactor
from gwz_provision.report import Report

if TYPE_CHECKING:
    from gwz_provision.grafana import Grafana

_EPILOG = """environment:
  GRAFANA_URL                          where Grafana is
  GRAFANA_TOKEN                        a service account's token (Admin to apply, Viewer for doctor), or
  GRAFANA_USER, GRAFANA_PASSWORD       a user
  PROMETHEUS_INTERNAL_URL, LOKI_URL,   where Grafana finds its data sources (plan, apply)
  TEMPO_INTERNAL_URL, GWZ_API_URL, GWZ_API_TOKEN
  GWZ_ALERT_WEBHOOK_URL, GWZ_ALERT_SLACK_URL, GWZ_ALERT_EMAIL, GWZ_ALERT_PAGERDUTY_KEY
                                       where alerts go; each receiver is there if its variable is set
  NAME_FILE                            a file that holds the value of NAME, for each of them

exit codes:
  0 done, or no changes    1 failure               2 wrong use             3 login or permission
  4 done in part           5 interrupted           6 no Grafana, or one of an unknown version
  7 changes (plan --detailed-exitcode)             8 findings              9 the plan is stale
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(argv)
    options.console = Console(Redactor())
    try:
        return int(options.run(options, os.environ))
    except ProvisionError as error:
        options.console.say(f"gwz-provision: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        options.console.say("gwz-provision: interrupted before the first write.")
        return EXIT_CANCELLED


def parser() -> argparse.ArgumentParser:
    """Describe the command line: each sub-command is registered by one function."""
    whole = argparse.ArgumentParser(
        prog="gwz-provision",
        description="Makes a Grafana exactly what the bundle says, and finds out why a panel is empty.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = whole.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--bundle", type=Path, metavar="DIR", help="a generated bundle (default: the shipped one)")
    shared.add_argument("--output", choices=("text", "json"), default="text", help="default: text")
    add_validate(subparsers)
    commands.add_plan(subparsers, shared)
    commands.add_apply(subparsers, shared)
    commands.add_status(subparsers, shared)
    commands.add_destroy(subparsers)
    commands.add_export(subparsers, shared)
    _add_doctor(subparsers.add_parser("doctor", parents=[shared], help="ask every query and name the first broken hop"))
    return whole


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


def _doctor(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    environ = Environment(environ)
    examined = _bundle(options)
    question = Question(options.since, dict(options.var))
    question.check(examined)
    _require(access.problems(environ))
    with _grafana(environ) as grafana:
        report = examine(examined, grafana.reader, question)
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


def _print_report(report: Report, output: str) -> None:
    if output == "json":
        print(json.dumps(report.document(), indent=2))
        return
    for check in report.checks:
        print(f"ok      {check.id}" if check.ok else f"BROKEN  {check.id}\n        {check.cause}\n        {check.cure}")
    broken = sum(1 for check in report.checks if not check.ok)
    print(f"Grafana {report.version or 'unknown'}: {len(report.checks)} checks, {broken} broken", end="")
    print(f", the first is {report.first_broken_hop}" if broken else "")
