"""Writes the page of all commands from the parser: `python -m gwz_provision._reference`; with `--check` it tells of drift."""
# ruff: noqa: T201 - a command that tells what it wrote

import argparse
import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gwz_provision import cli

PAGE = Path(__file__).resolve().parents[4] / "docs" / "reference" / "provision.md"
_HEADER = "<!-- Written by `python -m gwz_provision._reference` from the command line's parser: change that, never this file. -->"


def page() -> str:
    """Return the text of the page."""
    whole = cli.parser()
    return "\n".join([*_head(whole), *(line for name, parser in _commands(whole) for line in _command(name, parser))])


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or with --check return 1 when it has drifted."""
    parser = argparse.ArgumentParser(prog="python -m gwz_provision._reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page has drifted")
    wanted = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
        return 0
    if parser.parse_args(argv).check:
        print(f"{PAGE.name} has drifted: run `python -m gwz_provision._reference`.", file=sys.stderr)
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


def _head(whole: argparse.ArgumentParser) -> Iterator[str]:
    yield from (_HEADER, "", f"# {whole.prog}", "", whole.description or "", "")
    for block in inspect.cleandoc(whole.epilog or "").split("\n\n"):
        title, _, body = block.partition("\n")
        yield from (f"{title.rstrip(':').capitalize()}:", "", "```", inspect.cleandoc(body), "```", "")


def _commands(whole: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in whole._actions:  # noqa: SLF001 - argparse has no other way to list them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            for name, parser in action.choices.items():
                parser.description = parser.description or helps.get(name)
                yield name, parser


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    sentence = (parser.description or "").strip()
    yield from (f"## {name}", "", f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}.", "")
    rows = [row for action in parser._actions if (row := _row(action))]  # noqa: SLF001
    yield from ("| option | what it does |", "| --- | --- |", *rows, "")


def _row(action: argparse.Action) -> str:
    if action.help == argparse.SUPPRESS or "--help" in action.option_strings:
        return ""
    value = _value(action)
    names = ", ".join(f"`{name}{value}`" for name in action.option_strings) or f"`{action.metavar or action.dest}`"
    words = (action.help or "").replace("|", "\\|").replace("%%", "%")
    return f"| {names} | {words[:1].upper()}{words[1:]} |"


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices:
        return f" {{{','.join(map(str, action.choices))}}}"
    return f" {action.metavar or action.dest.upper()}"


if __name__ == "__main__":
    sys.exit(main())
