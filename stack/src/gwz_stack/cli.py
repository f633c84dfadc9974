"""The command line: `python -m gwz_stack find` and `python -m gwz_stack env`."""

# ruff: noqa: T201 - printing is what a command line does

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gwz_stack.compose import ENV_FILE
from gwz_stack.dotenv import write_env
from gwz_stack.errors import StackError
from gwz_stack.find import find
from gwz_stack.versions import pins

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HEADER = ("SERVER", "VERSION", "PINNED", "SOURCE", "PATH")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for a StackError, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gwz_stack", description="The servers of the stack.")
    commands = parser.add_subparsers(required=True)
    finding = commands.add_parser("find", help="find, download or build the servers, and say which are missing and why")
    finding.add_argument("servers", metavar="SERVER", nargs="*", help=f"one of {', '.join(pins())}; all by default")
    finding.set_defaults(run=_find)
    env = commands.add_parser("env", help="write the .env file of the containers, with random secrets")
    env.add_argument("--file", type=Path, default=ENV_FILE, help="where (default: %(default)s)")
    env.set_defaults(run=_env)
    return parser


def _find(options: argparse.Namespace) -> int:
    servers: list[str] = options.servers or list(pins())
    if unknown := [server for server in servers if server not in pins()]:
        raise StackError(
            f"Unknown: {', '.join(unknown)}.", cause="A typing error?", cure=f"Known are {', '.join(pins())}."
        )
    rows: list[Sequence[str]] = [_HEADER]
    missing: list[StackError] = []
    for server in servers:
        try:
            found = find(server, progress=_progress)
        except StackError as error:
            missing.append(error)
        else:
            rows.append((server, found.version, found.pinned, found.source, str(found.path)))
    _print_table(rows)
    for fault in missing:
        print(fault, file=sys.stderr)
    return 1 if missing else 0


def _env(options: argparse.Namespace) -> int:
    added = write_env(options.file)
    print(f"{options.file}: added {', '.join(added)}" if added else f"{options.file}: complete already, left as it is")
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_table(rows: Iterable[Sequence[str]]) -> None:
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
