"""Writes what ships: `python -m gwz_dashboards.generate`; with `--check` it only tells which files have drifted."""
# ruff: noqa: T201 - a command that tells what it wrote

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gwz_dashboards import request_flow
from gwz_dashboards.common import Page, finished
from gwz_dashboards.datasources import datasources

_REPOSITORY = Path(__file__).resolve().parents[3]
# Reviewed in the first, shipped in the wheel from the second: the same files.
FOLDERS = (
    _REPOSITORY / "dashboards" / "generated",
    _REPOSITORY / "packages" / "gwz-provision" / "src" / "gwz_provision" / "bundle",
)
_HEADER = "Written by `nox -s generate` from dashboards/src: change that, never this file."


def pages() -> tuple[Page, ...]:
    """Return every dashboard."""
    return (request_flow.page(),)


def rendered() -> dict[str, str]:
    """Return the text of each generated file by its path."""
    all_pages = pages()
    documents = {
        "index.json": _index(all_pages),
        "datasources.json": {"generated": _HEADER, "datasources": datasources()},
        **{_path(page): finished(page) for page in all_pages},
    }
    return {path: json.dumps(document, indent=2, sort_keys=True) + "\n" for path, document in documents.items()}


def drifted(folder: Path, wanted: Mapping[str, str]) -> list[Path]:
    """Name the files that differ from what is wanted, are missing, or should not be there."""
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    differing = [folder / name for name, text in wanted.items() if _text(there.get(name)) != text]
    return sorted([*differing, *(path for name, path in there.items() if name not in wanted)])


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files, or with --check return 1 when one has drifted."""
    parser = argparse.ArgumentParser(prog="python -m gwz_dashboards.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 naming each file that has drifted")
    check = parser.parse_args(argv).check
    wanted = rendered()
    changed = [path for folder in FOLDERS for path in drifted(folder, wanted)]
    if not check:
        for folder in FOLDERS:
            _write(folder, wanted)
    for path in changed:
        print(f"{'drifted' if check else 'written'}: {path.relative_to(_REPOSITORY)}", file=sys.stderr)
    if check and changed:
        print("Run `nox -s generate` and commit what it writes.", file=sys.stderr)
    return int(check and bool(changed))


def _index(all_pages: Sequence[Page]) -> dict[str, Any]:
    folders = {page.folder.uid: page.folder for page in all_pages}
    return {
        "schema": 1,
        "generated": _HEADER,
        "folders": [{"uid": folder.uid, "title": folder.title} for folder in folders.values()],
        "dashboards": [{"uid": page.uid, "folder": page.folder.uid, "file": _path(page)} for page in all_pages],
    }


def _path(page: Page) -> str:
    return f"{page.folder.uid}/{page.uid}.json"


def _text(path: Path | None) -> str | None:
    return path.read_text(encoding="utf-8") if path else None


def _write(folder: Path, wanted: Mapping[str, str]) -> None:
    for path in drifted(folder, wanted):
        path.unlink(missing_ok=True)
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
