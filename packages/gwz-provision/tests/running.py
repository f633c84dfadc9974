"""The command line, run in this process."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from proxy import Proxy
from raw import Place

from gwz_provision.cli import main


@dataclass(frozen=True)
class Run:
    """What a command ended with."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def actions(self) -> dict[tuple[str, str], str]:
        """The actions by kind and uid, what is unchanged left out."""
        return {
            (item["kind"], item["uid"]): item["action"]
            for item in self.document["actions"]
            if item["action"] != "unchanged"
        }


@dataclass(frozen=True)
class Command:
    """Runs commands with the environment that the test has set."""

    place: Place
    proxy: Proxy
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path, **environment: str | None) -> Run:
        """Run a command; an environment value of None unsets the variable, for this run and those after it."""
        for name, value in environment.items():
            if value is None:
                self.monkeypatch.delenv(name, raising=False)
            else:
                self.monkeypatch.setenv(name, value)
        self.capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = self.capsys.readouterr()
        return Run(code, out, err)

    def json(self, name: str, bundle: Path | None = None, *arguments: str | Path, **environment: str | None) -> Run:
        """Run a command that prints a document."""
        chosen = ("--bundle", bundle) if bundle else ()
        return self(name, *chosen, "--output", "json", *arguments, **environment)

    def apply(self, bundle: Path, *arguments: str | Path) -> Run:
        """Apply, and expect it to succeed."""
        run = self.json("apply", bundle, *arguments)
        assert run.code == 0, (run.out, run.err)
        return run
