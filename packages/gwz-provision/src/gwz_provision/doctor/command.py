"""`gwz-provision doctor` and `gwz-provision rules`: their options, and what they print."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gwz_provision import access, bundle
from gwz_provision.connecting import connected, require, seconds
from gwz_provision.console import Console
from gwz_provision.doctor.question import DEADLINE_SECONDS
from gwz_provision.environment import Environment
from gwz_provision.errors import EXIT_OK

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names its type in no other way


def add_doctor(subparsers: "Subparsers", shared: argparse.ArgumentParser) -> None:
    """Register `doctor`."""
    parser = subparsers.add_parser("doctor", parents=[shared], help="ask every query and name the first broken hop")
    parser.add_argument(
        "--from", dest="since", metavar="TIME", help="ask for this range, such as now-15m (default: each panel's own)"
    )
    parser.add_argument(
        "--var",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="a dashboard variable's value (default: what the browser would choose)",
    )
    given = f"{DEADLINE_SECONDS:.0f}s"
    parser.add_argument(
        "--deadline",
        type=_some_seconds,
        default=given,
        metavar="TIME",
        help=f"for all questions together (default: {given})",
    )
    parser.add_argument("--debug", action="store_true", help="tell every call on standard error")
    parser.set_defaults(run=_doctor)


def add_rules(subparsers: "Subparsers") -> None:
    """Register `rules`."""
    parser = subparsers.add_parser("rules", help="print the bundle's recording rules as a rule file of Prometheus")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="a generated bundle (default: the shipped one)")
    parser.set_defaults(run=_rules)


def _assignment(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _some_seconds(text: str) -> float:
    found = seconds(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 60s or 2m: nothing can be asked in it")
    return found


def _doctor(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from gwz_provision.doctor.examine import examine  # noqa: PLC0415 - --help does not wait for the parsers
    from gwz_provision.doctor.question import Question  # noqa: PLC0415

    environ = Environment(environ)
    console: Console = options.console
    examined = bundle.load(options.bundle or bundle.shipped())
    question = Question(options.since, dict(options.var), options.deadline)
    question.check(examined)
    require(access.problems(environ))
    with connected(options, environ) as grafana:
        report = examine(examined, grafana.reader, question)
    console.out(json.dumps(report.document(), indent=2) if options.output == "json" else "\n".join(report.lines()))
    return report.exit_code


def _rules(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    from gwz_provision import recording  # noqa: PLC0415 - --help does not wait for the parsers

    console: Console = options.console
    console.out(recording.document(bundle.load(options.bundle or bundle.shipped())).rstrip("\n"))
    return EXIT_OK
