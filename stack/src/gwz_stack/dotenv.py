"""The .env file of the containers: the secrets that each installation draws for itself."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from gwz_stack.errors import writing
from gwz_stack.variables import VARIABLES

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "GF_SECURITY_ADMIN_PASSWORD"  # noqa: S105 - the variable's name
METRICS_TOKEN = "GWZ_METRICS_TOKEN"  # noqa: S105 - the variable's name
_SECRETS = tuple(variable.name for variable in VARIABLES if variable.drawn)


def write_env(path: Path) -> list[str]:
    """Add a random value for each secret that the file lacks, and return their names; what has a value keeps it.

    The file is readable by its owner only, from its first byte on.
    """
    kept = _lines(path)
    missing = [name for name in _SECRETS if not read_env(path).get(name)]
    lines = [line for line in kept if _name(line) not in missing]
    lines += [f"{name}={secrets.token_urlsafe(24)}" for name in missing]
    draft = path.with_name(f"{path.name}.draft")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        draft.rename(path)
    return missing


def read_env(path: Path) -> dict[str, str]:
    """Return the variables of the file, none when it does not exist."""
    return {_name(line): line.partition("=")[2].strip() for line in _lines(path) if _name(line)}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _name(line: str) -> str:
    name, separator, _ = line.partition("=")
    return name.strip() if separator and not name.lstrip().startswith("#") else ""
