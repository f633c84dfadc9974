"""Secrets in the tree and in its history: what looks like one is found, whoever put it there and whenever."""

from __future__ import annotations

import hashlib
import math
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gwz_stack.errors import StackError
from gwz_stack.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# By their form alone.
_FORMS = {
    "a GatewayZ key": r"\bgw_(?:live|test)_[A-Za-z0-9_-]{16,}",
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "an AWS key": r"\bAKIA[0-9A-Z]{16}\b",
    "a GitHub token": r"\b(?:gh[opsu]_[A-Za-z0-9]{36}|github_pat_\w{40,})",
    "a Grafana token": r"\bglsa_[A-Za-z0-9]{32}_[0-9a-f]{8}\b",
    "a Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a key of a model's provider": r"\bsk-(?:ant-|proj-|or-)?[A-Za-z0-9_-]{32,}",
    "a JWT": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
}
# By their name and their disorder: words have less of it.
_NAMED = (
    r"(?i)(?:password|passwd|secret|token|api[_-]?key|bearer)[\"']?\s*(?:[:=]\s*|\s)[\"']?([A-Za-z0-9+/_=.~-]{16,})"
)
_DISORDER = 3.3  # bits of each character
# What tests and examples write on purpose.
_MADE_UP = re.compile(r"0123456789|(.)\1{7}|example|sample", re.IGNORECASE)
_PATTERN = re.compile("|".join(f"({form})" for form in _FORMS.values()))
_NAMED_PATTERN = re.compile(_NAMED)
_KINDS = tuple(_FORMS)
_SKIPPED = re.compile(r"(?:^|/)(?:go\.sum|requirements/[^/]+\.txt|uv\.lock)$")


@dataclass(frozen=True)
class Secret:
    """Something that looks like a secret, and where."""

    kind: str
    value: str
    where: str

    @property
    def fingerprint(self) -> str:
        """What a report may show of it."""
        return hashlib.sha256(self.value.encode()).hexdigest()[:16]


def scan(repository: Path) -> list[Finding]:
    """Return a finding for each secret of the tree, and for each of the history that is not in the tree any more."""
    tree, history = _first(in_tree(repository)), _first(in_history(repository))
    return [
        *(_finding("secret-tree", secret) for secret in tree.values()),
        *(_finding("secret-history", secret) for value, secret in history.items() if value not in tree),
    ]


def in_tree(repository: Path) -> Iterator[Secret]:
    """Find secrets in every file that git tracks or would track."""
    for name in _git(repository, "ls-files", "-coz", "--exclude-standard").split("\0"):
        path = repository / name
        if name and path.is_file() and not _SKIPPED.search(name):
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                yield from in_line(line, f"{name}:{number}")


def in_history(repository: Path) -> Iterator[Secret]:
    """Find secrets in every line that any commit of any branch added."""
    commit = file = ""
    for line in _git(
        repository, "log", "--all", "-p", "-U0", "--no-color", "--no-ext-diff", "--format=%x00%h"
    ).splitlines():
        if line.startswith("\0"):
            commit = line[1:]
        elif line.startswith("+++ "):
            file = line[6:]
        elif line.startswith("+") and not _SKIPPED.search(file):
            yield from in_line(line[1:], f"commit {commit}, {file}")


def in_line(line: str, where: str) -> Iterator[Secret]:
    """Find secrets in one line; what says itself that it is made up is none."""
    for match in _PATTERN.finditer(line):
        if not _MADE_UP.search(match[0]):
            yield Secret(_KINDS[int(match.lastindex or 1) - 1], match[0], where)
    for match in _NAMED_PATTERN.finditer(line):
        if _disorderly(match[1]) and not _MADE_UP.search(match[1]) and not _PATTERN.search(match[1]):
            yield Secret("a value of a secret's name", match[1], where)


def _disorderly(text: str) -> bool:
    counts = Counter(text)
    bits = -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
    digits = sum(character.isdigit() for character in text)
    letters = sum(character.isalpha() for character in text)
    return bits >= _DISORDER and digits >= 3 and letters >= 3


def _first(secrets: Iterable[Secret]) -> dict[str, Secret]:
    return {secret.value: secret for secret in reversed([*secrets])}


def _finding(identifier: str, secret: Secret) -> Finding:
    return Finding(
        identifier,
        secret.where,
        f"There is {secret.kind} ({secret.fingerprint}).",
        "Revoke it first, then take it out of the tree and the history. One that is made up for a test says so: 0123456789.",
    )


def _git(repository: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", str(repository), *arguments], capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode:
        raise StackError(
            f"`git {arguments[0]}` failed in {repository}.",
            cause=f"{result.stderr.strip()}.",
            cure="The audit reads the history: run it in a clone that is not shallow.",
        )
    return result.stdout
