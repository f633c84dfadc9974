"""The audit from beginning to end: files, history, and a stack that is started for it."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gwz_stack.audit.files import inspect
from gwz_stack.audit.judge import Observed, judge
from gwz_stack.audit.observe import observe
from gwz_stack.audit.secrets import scan
from gwz_stack.errors import ServerUnavailable, VersionRefused, writing
from gwz_stack.find import Found, find
from gwz_stack.findings import Finding
from gwz_stack.gate import Gate
from gwz_stack.native import NativeStack
from gwz_stack.process import Supervisor
from gwz_stack.versions import SERVERS, STACK

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Tell = Callable[[str], None]

_OPTIONAL = {
    "grafana": "Grafana's logins, sign-up, cookies and headers were not asked.",
    "nginx": "The gate was not asked.",
}


@dataclass(frozen=True)
class Audit:
    """What was looked at, what is wrong, and what could not be looked at."""

    findings: list[Finding]
    observed: Observed
    versions: Mapping[str, str]
    not_proved: list[str]

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        document: dict[str, Any] = {
            "versions": dict(self.versions),
            "findings": [asdict(finding) for finding in self.findings],
            "not_proved": self.not_proved,
            "ports": [
                {**asdict(socket), "to": "this machine" if socket.loopback else "everybody"}
                for socket in self.observed.sockets
            ],
            "answers": [
                {
                    "server": answer.server,
                    "asked": answer.asked,
                    "credentials": answer.credentials,
                    "status": answer.status,
                }
                for answer in self.observed.answers
            ],
        }
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def audit(*, require: Collection[str] = (), tell: Tell = lambda _line: None) -> Audit:
    """Audit this repository, on a stack that is started for it on loopback and ended again.

    Grafana and nginx may be missing, unless `require` names them; the other servers may not. Raises StackError.
    """
    servers, not_proved = _cast(require, tell)
    static = [*inspect(STACK), *scan(STACK.parent)]
    tell("the tree and its history are read")
    with tempfile.TemporaryDirectory(prefix="gwz-audit-") as folder:
        observed = _run(Path(folder), servers, tell)
    versions = {name: found.version for name, found in servers.items()}
    return Audit([*static, *judge(observed)], observed, versions, not_proved)


def _cast(require: Collection[str], tell: Tell) -> tuple[dict[str, Found], list[str]]:
    servers: dict[str, Found] = {}
    not_proved = []
    for name in (*SERVERS, "nginx"):
        try:
            servers[name] = find(name, progress=tell)
        except (ServerUnavailable, VersionRefused) as error:
            if name not in _OPTIONAL or name in require:
                raise
            not_proved.append(f"{_OPTIONAL[name]} {error.what}")
    if not shutil.which("curl"):
        not_proved.append("The gate's gRPC port was not asked: there is no curl.")
    return servers, not_proved


def _run(folder: Path, servers: Mapping[str, Found], tell: Tell) -> Observed:
    with Supervisor() as supervisor:
        running = {name: found for name, found in servers.items() if name in SERVERS}
        stack = NativeStack(folder, servers=running, supervisor=supervisor)
        stack.start()
        gate = None
        if "nginx" in servers:
            gate = Gate(folder, nginx=servers["nginx"], urls=stack.urls, supervisor=supervisor)
            gate.start()
        tell("the stack runs, and is asked")
        observed = observe(stack, gate, supervisor)
        supervisor.check()
    return observed
