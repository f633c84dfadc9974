"""The command line: `python -m gwz_stack COMMAND`; the sessions of nox call it."""

# ruff: noqa: T201 - printing is what a command line does

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gwz_stack.audit import audit
from gwz_stack.bump import bump
from gwz_stack.check import CHECKS, check
from gwz_stack.compose import ENV_FILE
from gwz_stack.dotenv import write_env
from gwz_stack.errors import ServerUnavailable, StackError, writing
from gwz_stack.find import find
from gwz_stack.findings import FINDINGS, Finding
from gwz_stack.page import rendered
from gwz_stack.railway import load, verify
from gwz_stack.versions import STACK, pins

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HEADER = ("SERVER", "VERSION", "PINNED", "SOURCE", "PATH")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 for a StackError, 8 for findings, 130 for Ctrl-C."""
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
    checking = commands.add_parser("check", help="let each server that is here check its shipped configuration")
    checking.add_argument("servers", metavar="SERVER", nargs="*", help=f"of {', '.join(CHECKS)}; all by default")
    checking.add_argument("--pinned", action="store_true", help="by the pinned version, fetched if need be, or fail")
    checking.set_defaults(run=_check)
    railway = commands.add_parser("railway", help="what can be known about the deployment on Railway")
    verifying = railway.add_subparsers(required=True).add_parser("verify", help="check all that needs no Railway")
    verifying.set_defaults(run=_verify)
    auditing = commands.add_parser("audit", help="prove on a running stack who may do what, and scan for secrets")
    auditing.add_argument(
        "--out", type=Path, default=Path("build/audit"), help="the report's folder (default: %(default)s)"
    )
    auditing.add_argument("--require", default="", help="fail without these, comma-separated: grafana, nginx")
    auditing.set_defaults(run=_audit)
    bumping = commands.add_parser("bump", help="pin a server to another version, everywhere it is written")
    bumping.add_argument("server", metavar="SERVER", help=f"one of {', '.join(pins())}")
    bumping.add_argument("version", metavar="VERSION", help="such as 3.2.1")
    bumping.set_defaults(run=_bump)
    generating = commands.add_parser("generate", help="write docs/reference/stack.md and stack/.env.example")
    generating.add_argument("--check", action="store_true", help="write nothing; exit 1 naming what has drifted")
    generating.set_defaults(run=_generate)
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


def _check(options: argparse.Namespace) -> int:
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="gwz-check-") as folder:
        by_tool = {tool: server for server, (tool, _) in CHECKS.items()}
        for name in options.servers or CHECKS:
            server = by_tool.get(name, name)
            if server not in CHECKS:
                _progress(f"{server} has no check of its own: `nox -s tests` and `nox -s e2e` start it")
                continue
            tool, _ = CHECKS[server]
            try:
                found = find(tool, here=not options.pinned, exact=options.pinned, progress=_progress)
                _progress(f"{server} is checked by {found}")
                findings += check(server, found, Path(folder) / server)
            except ServerUnavailable:
                if options.pinned:
                    raise
                _progress(f"{server} was not checked: {tool} is not here (`python -m gwz_stack find {tool}`)")
    return _tell(findings, "Every configuration that was checked is sound.")


def _verify(_: argparse.Namespace) -> int:
    project = load(STACK)
    findings = verify(project)
    return _tell(findings, f"Nothing is wrong with {', '.join(project.services)}, as far as it shows without Railway.")


def _bump(options: argparse.Namespace) -> int:
    changed = bump(options.server, options.version, stack=STACK, tell=_progress)
    for path in changed:
        print(f"written: {path}")
    print(
        "Next: stack/tests/test_versions.py, which has the pins too, then `nox -s e2e`."
        if changed
        else f"{options.server} is pinned to {options.version} already."
    )
    return 0


def _generate(options: argparse.Namespace) -> int:
    wanted = rendered()
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in changed:
        if not options.check:
            with writing(path):
                path.write_text(wanted[path], encoding="utf-8")
        _progress(f"{'drifted' if options.check else 'written'}: {path}")
    if options.check and changed:
        _progress("Run `nox -s generate` and commit what it writes.")
    return int(options.check and bool(changed))


def _audit(options: argparse.Namespace) -> int:
    done = audit(require=[name for name in options.require.split(",") if name], tell=_progress)
    report = options.out / "report.json"
    done.write(report)
    for line in done.not_proved:
        _progress(f"not proved: {line}")
    return _tell(done.findings, f"No hole was found in {len(done.observed.answers)} answers: {report}")


def _tell(findings: Sequence[Finding], sound: str) -> int:
    for finding in findings:
        print(finding)
    if findings:
        print(f"{len(findings)} findings.", file=sys.stderr)
        return FINDINGS
    print(sound)
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_table(rows: Iterable[Sequence[str]]) -> None:
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
