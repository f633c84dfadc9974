"""`gwz-provision validate`: its options, and what it prints."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gwz_provision.console import Console
from gwz_provision.errors import EXIT_FINDINGS, EXIT_OK, ProvisionError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names its type in no other way


def add_validate(subparsers: "Subparsers") -> None:
    """Register `validate`."""
    parser = subparsers.add_parser("validate", help="check dashboards and rules offline against the contract")
    parser.set_defaults(run=_validate)
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="folders or files (default: the shipped bundle)"
    )
    contract = parser.add_mutually_exclusive_group()
    contract.add_argument(
        "--contract", type=Path, metavar="FILE", help="what `gwz-instrument contract` prints (default: the shipped one)"
    )
    contract.add_argument("--no-contract", action="store_true", help="check syntax and structure alone")
    parser.add_argument(
        "--orphans",
        action="store_true",
        help="list the contract's metrics that nothing shows too; they are no findings",
    )
    parser.add_argument("--output", choices=("text", "json", "junit"), default="text", help="default: text")


def _validate(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    from gwz_provision.check import contract, output, run  # noqa: PLC0415 - --help does not wait for the parsers

    console: Console = options.console
    try:
        known = None if options.no_contract else contract.load(options.contract)
        outcome = run.check(options.paths, known)
    except ProvisionError as error:
        if options.output == "json":
            console.out(output.failure(error))
        raise
    match options.output:
        case "json":
            console.out(output.document(outcome))
        case "junit":
            console.out(output.junit(outcome))
        case _:
            console.out(output.text(outcome, orphans=options.orphans))
    return EXIT_FINDINGS if outcome.findings else EXIT_OK
