"""Writes what ships: `python -m gwz_dashboards.generate`; with `--check` it only tells which files have drifted."""
# ruff: noqa: T201 - a command that tells what it wrote

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gwz_dashboards import (
    backend_health,
    executive_overview,
    gateway_comparison,
    golden_signals,
    logs_diagnostics,
    model_performance,
    request_flow,
)
from gwz_dashboards.alerts import alert_files
from gwz_dashboards.common import ALERTS, Folder, Page, finished
from gwz_dashboards.datasources import datasources
from gwz_dashboards.panels import UNEXPLAINED
from gwz_dashboards.recording import rule_files
from gwz_instrument import contract

_REPOSITORY = Path(__file__).resolve().parents[3]
# Reviewed in the first, shipped in the wheel from the second: the same files.
FOLDERS = (
    _REPOSITORY / "dashboards" / "generated",
    _REPOSITORY / "packages" / "gwz-provision" / "src" / "gwz_provision" / "bundle",
)
# Prometheus reads the recording rules from here.
RULES = _REPOSITORY / "stack" / "prometheus" / "rules"
_OWN_FOLDERS = ("gwz-", "rules", "alerts")
_HEADER = "Written by `nox -s generate` from dashboards/src: change that, never this file."


def pages() -> tuple[Page, ...]:
    """Return every dashboard."""
    return (
        executive_overview.page(),
        golden_signals.page(),
        backend_health.page(),
        request_flow.page(),
        gateway_comparison.page(),
        model_performance.page(),
        logs_diagnostics.page(),
    )


def rendered() -> dict[str, str]:
    """Return the text of each generated file by its path."""
    all_pages = pages()
    alerts = {f"alerts/{name}": document for name, document in alert_files().items()}
    rules = {f"rules/{name}": document for name, document in rule_files().items()}
    dashboards = {page.uid: finished(page) for page in all_pages}
    documents = {
        "index.json": _index(all_pages, dashboards, [*rules], [*alerts]),
        "datasources.json": {"generated": _HEADER, "datasources": datasources()},
        **{_path(page): dashboards[page.uid] for page in all_pages},
        **{path: {"generated": _HEADER, **document} for path, document in alerts.items()},
    }
    return {
        **{path: json.dumps(document, indent=2, sort_keys=True) + "\n" for path, document in documents.items()},
        **{path: _yaml(document) for path, document in rules.items()},
        # What a bundle is checked against, so that the wheel alone can tell a wrong name.
        "contract.json": contract.contract_json(),
    }


def destinations() -> dict[Path, dict[str, str]]:
    """Return what belongs into each folder."""
    everything = rendered()
    rules = {path.removeprefix("rules/"): text for path, text in everything.items() if path.startswith("rules/")}
    return {**dict.fromkeys(FOLDERS, everything), RULES: rules}


def drifted(folder: Path, wanted: Mapping[str, str]) -> list[Path]:
    """Name the files that differ from what is wanted, are missing, or lie in a folder of ours and should not be there."""
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    differing = [folder / name for name, text in wanted.items() if _text(there.get(name)) != text]
    strays = [path for name, path in there.items() if name not in wanted and (folder == RULES or _is_ours(name))]
    return sorted([*differing, *strays])


def _is_ours(name: str) -> bool:
    """Tell whether a file is in a folder that this module fills: others write into the bundle too."""
    return "/" in name and name.startswith(_OWN_FOLDERS)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the files, or with --check return 1 when one has drifted."""
    parser = argparse.ArgumentParser(prog="python -m gwz_dashboards.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 naming each file that has drifted")
    check = parser.parse_args(argv).check
    wanted = destinations()
    changed = [path for folder, files in wanted.items() for path in drifted(folder, files)]
    if not check:
        for folder, files in wanted.items():
            _write(folder, files)
    for path in changed:
        print(f"{'drifted' if check else 'written'}: {path.relative_to(_REPOSITORY)}", file=sys.stderr)
    if check and changed:
        print("Run `nox -s generate` and commit what it writes.", file=sys.stderr)
    return int(check and bool(changed))


def _index(
    all_pages: Sequence[Page], dashboards: Mapping[str, dict[str, Any]], rules: Sequence[str], alerts: Sequence[str]
) -> dict[str, Any]:
    folders: dict[str, Folder] = {page.folder.uid: page.folder for page in all_pages} | {ALERTS.uid: ALERTS}
    return {
        "schema": 1,
        "generated": _HEADER,
        "folders": [{"uid": folder.uid, "title": folder.title} for folder in folders.values()],
        "dashboards": [
            {
                "uid": page.uid,
                "folder": page.folder.uid,
                "file": _path(page),
                "mayBeEmpty": _may_be_empty(dashboards[page.uid]),
            }
            for page in all_pages
        ],
        "rules": sorted(rules),
        "alerts": sorted(alerts),
    }


def _may_be_empty(dashboard: Mapping[str, Any]) -> list[int]:
    """List the panels for which no data is an answer: those that say in words of their own why they have none."""
    said = {
        panel["id"]: panel.get("fieldConfig", {}).get("defaults", {}).get("noValue") for panel in dashboard["panels"]
    }
    return sorted(id_ for id_, words in said.items() if words and words not in UNEXPLAINED)


def _yaml(document: Mapping[str, Any]) -> str:
    # Wide enough for the longest expression: one that is broken over lines cannot be searched for.
    return f"# {_HEADER}\n" + yaml.safe_dump(document, sort_keys=False, width=10_000)


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
