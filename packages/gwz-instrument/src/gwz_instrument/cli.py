"""The command `gwz-instrument`: what the library knows, printed."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from .contract import committed

_DESCRIPTION = "Metrics, log lines and traces of a GatewayZ backend."
_EPILOG = (
    "Exit codes: 0 done, 2 wrong arguments, 6 nothing to check could be had, 8 the check has findings. "
    "Results go to stdout, diagnostics to stderr."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name and return its exit code."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except BrokenPipeError:  # the reader has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or its last flush fails and says so
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gwz-instrument", description=_DESCRIPTION, epilog=_EPILOG)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    contract = commands.add_parser(
        "contract",
        help="print every declared metric, log field and span as JSON",
        description="Print every declared metric, log field and span as JSON: what contract.json in the wheel holds.",
    )
    contract.set_defaults(command=_print_contract)
    check = commands.add_parser(
        "check",
        help="hold a live /metrics against the contract",
        description="Hold a live /metrics against the contract; what the application emits under names of its own is not judged.",
        epilog=_EPILOG,
    )
    check.add_argument("source", metavar="URL|FILE", help="an address, a file with what it answered, or - for stdin")
    check.add_argument("--json", action="store_true", help="print the report for programs")
    check.add_argument("--full", action="store_true", help="declared metrics without a sample are findings too")
    check.add_argument(
        "--token", help="what /metrics wants as bearer; better in GWZ_METRICS_TOKEN, which no list of processes shows"
    )
    check.set_defaults(command=_check)
    endpoints = commands.add_parser(
        "endpoints",
        help="call every JSON endpoint of a live application and judge what it answers",
        description="Call every JSON endpoint with right and with wrong parameters; its answers are held against what they promise.",
        epilog=_EPILOG,
    )
    endpoints.add_argument("base_url", metavar="BASE_URL", help="the application, such as http://localhost:8000")
    endpoints.add_argument("--token", help="the reader's; better in GWZ_API_TOKEN, which no list of processes shows")
    endpoints.add_argument("--admin-token", help="the administrator's; better in GWZ_ADMIN_TOKEN")
    endpoints.add_argument(
        "--instrumentation",
        action="store_true",
        help="also those of /api/instrumentation: sends test lines and test spans",
    )
    endpoints.add_argument("--json", action="store_true", help="print the report for programs")
    endpoints.set_defaults(command=_endpoints)
    return parser


def _print_contract(_arguments: argparse.Namespace) -> int:
    sys.stdout.write(committed())
    sys.stdout.flush()
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from .check import run  # noqa: PLC0415  # the other commands need no network

    return run(arguments)


def _endpoints(arguments: argparse.Namespace) -> int:
    from .endpoints_check import run  # noqa: PLC0415  # as above

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
