"""Grafana, through gwz-provision in its own environment: applied, applied again, its data sources found to be well."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gwz_e2e.case import Case
from gwz_e2e.compare import shorten
from gwz_e2e.hops import Finding, Hop
from gwz_e2e.scene import neutral_environment
from gwz_stack import Urls

COMMAND = "GWZ_PROVISION"
"""Names the gwz-provision executable; `nox -s e2e` sets it."""
_TIMEOUT_S = 120
_BEFORE_THE_PANELS = re.compile("grafana|login|permission|datasource|plugin|host|tenant|token|health|dashboards")


@dataclass(frozen=True)
class Provision:
    """The command and the Grafana that it is pointed at."""

    command: str
    urls: Urls
    password: str
    api_url: str
    """The application, whose JSON endpoints panels ask."""
    api_token: str
    alert_webhook: str = ""
    """Where messages of alerts go; empty for nowhere."""

    def run(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        """Run a command with JSON output: exit code, what it printed, what it complained of."""
        result = subprocess.run(
            [self.command, *arguments, "--output", "json"],
            env={**neutral_environment(), **self._environment()},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        try:
            answer: dict[str, Any] = json.loads(result.stdout)
        except ValueError:
            answer = {}
        return result.returncode, answer, result.stderr.strip()

    def _environment(self) -> dict[str, str]:
        return {
            "GRAFANA_URL": str(self.urls.grafana),
            "GRAFANA_USER": "admin",
            "GRAFANA_PASSWORD": self.password,
            "PROMETHEUS_INTERNAL_URL": self.urls.prometheus,
            "LOKI_URL": self.urls.loki,
            "TEMPO_INTERNAL_URL": self.urls.tempo,
            "GWZ_API_URL": self.api_url,
            "GWZ_API_TOKEN": self.api_token,
            **({"GWZ_ALERT_WEBHOOK_URL": self.alert_webhook} if self.alert_webhook else {}),
        }


def provision_for(command: str, urls: Urls, password: str, case: Case) -> Provision:
    """The command, pointed at Grafana and at an application."""
    return Provision(command, urls, password, case.app_url, case.tokens.api)


def command() -> str | None:
    """The gwz-provision executable, None when there is none."""
    named = os.environ.get(COMMAND)
    return named if named and Path(named).exists() else shutil.which("gwz-provision")


def absent(urls: Urls) -> str:
    """Which of the two is not here that bring dashboards and alerts to a person; empty if both are."""
    missing = [
        *(["no Grafana"] if not urls.grafana else []),
        *([f"gwz-provision was not found; set {COMMAND} to its path"] if command() is None else []),
    ]
    return ", and ".join(missing)


def hops(provision: Provision, case: Case) -> list[Hop]:
    """What has to hold with a Grafana."""
    return [
        Hop("grafana", partial(_applied, provision)),
        Hop("grafana_unchanged", partial(_unchanged, provision), ("grafana",)),
        Hop("data_sources", partial(_well, provision, case), ("grafana_unchanged", "metrics", "logs", "traces"), 30.0),
    ]


def _applied(provision: Provision) -> Finding:
    code, answer, complaint = provision.run("apply")
    return Finding(code == 0, complaint or f"applied: {answer.get('summary')}")


def _unchanged(provision: Provision) -> Finding:
    code, answer, complaint = provision.run("apply")
    written = [action for action in answer.get("actions", []) if action["action"] != "unchanged"]
    return Finding(code == 0 and not written, complaint or f"a second apply: {answer.get('summary')}")


def _well(provision: Provision, case: Case) -> Finding:
    """The doctor finds nothing wrong on the way to the panels, whose answers `panels` holds against the ledger."""
    _, answer, complaint = provision.run("doctor", "--var", f"app={case.service}")
    checks = [check for check in answer.get("checks", []) if _BEFORE_THE_PANELS.match(check["id"])]
    broken = [f"{check['id']}: {check['cause']}" for check in checks if not check["ok"]]
    return Finding(
        bool(checks) and not broken,
        shorten(broken)
        or (complaint if not checks else "")
        or f"Grafana {answer['grafana']['version']}: the doctor finds {len(checks)} things well, each data source among them",
    )
