"""Writes what is generated from this package: `python -m gwz_instrument._generate`; `--check` tells what has drifted."""
# ruff: noqa: T201 - a command that tells what it wrote

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ._page import contract_page
from ._settings_page import settings_page
from .contract import contract_json

_PACKAGE = Path(__file__).resolve().parent


def rendered(repository: Path) -> dict[Path, str]:
    """The text of each generated file."""
    return {
        _PACKAGE / "contract.json": contract_json(),
        repository / "docs" / "reference" / "contract.md": contract_page(),
        repository / "docs" / "reference" / "settings.md": settings_page(),
    }


def drifted(wanted: Mapping[Path, str]) -> list[Path]:
    """The files that differ from what is wanted, or are missing."""
    return [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files, or with --check return 1 when one has drifted."""
    parser = argparse.ArgumentParser(prog="python -m gwz_instrument._generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 naming each file that has drifted")
    check = parser.parse_args(argv).check
    wanted = rendered(_PACKAGE.parents[3])
    changed = drifted(wanted)
    for path in changed:
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        print(f"{'drifted' if check else 'written'}: {path}", file=sys.stderr)
    if check and changed:
        print("Run `nox -s generate` and commit what it writes.", file=sys.stderr)
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
