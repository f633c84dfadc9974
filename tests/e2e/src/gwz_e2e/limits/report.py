"""What the proofs found: report.json, and the same as tables in the terminal."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gwz_e2e.hops import Result
from gwz_e2e.report import ServerUsed
from gwz_stack.errors import writing

FILE = "report.json"


@dataclass
class Report:
    """The result of every proof that came to its end."""

    wanted: int
    """How many proofs there are."""
    proofs: list[Result] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    """Settings in which the servers ran otherwise than shipped."""
    versions: list[ServerUsed] = field(default_factory=list)
    seconds: float = 0.0
    fault: str = ""
    """Why the run ended early."""

    @property
    def ok(self) -> bool:
        """Whether every proof holds."""
        return not self.fault and len(self.proofs) == self.wanted and all(proof.ok for proof in self.proofs)

    def as_json(self) -> dict[str, Any]:
        """The report in the form of report.json."""
        return {
            "ok": self.ok,
            "fault": self.fault or None,
            "seconds": self.seconds,
            "proofs": [
                {"id": proof.id, "ok": proof.ok, "sentence": proof.sentence, "figures": dict(proof.figures)}
                for proof in self.proofs
            ],
            "differences": self.differences,
            "machine": {"system": platform.platform(), "python": platform.python_version(), "cpus": os.cpu_count()},
            "versions": [asdict(server) for server in self.versions],
        }

    def write(self, out: Path) -> None:
        """Write report.json; StackError when the disk is full."""
        with writing(out):
            (out / FILE).write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def print(self, console: Console) -> None:
        """Print every proof, its figures, and what was not as shipped."""
        table = Table("proof", "", "what was found", title="Limits", title_justify="left", expand=True)
        for proof in self.proofs:
            sign = "[green]holds[/]" if proof.ok else "[bold red]broken[/]"
            table.add_row(escape(proof.id), sign, escape(f"{proof.sentence}\n{_words(proof.figures)}".strip()))
        console.print(table)
        for line in self.differences:
            console.print(f"  not as shipped: {line}", highlight=False, markup=False)
        for server in self.versions:
            pinned = "" if server.version == server.pinned else f" (pinned {server.pinned})"
            console.print(
                f"  {server.name} {server.version}{pinned} from {server.source}", highlight=False, markup=False
            )
        if self.fault:
            console.print(f"[bold red]{escape(self.fault)}[/]", highlight=False)
        verdict = "[bold green]proved[/]" if self.ok else "[bold red]not proved[/]"
        console.print(f"{verdict} in {self.seconds:.0f} s", highlight=False)


def _words(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" if value < 1e6 else f"{name} {value:.0f}" for name, value in figures.items())
