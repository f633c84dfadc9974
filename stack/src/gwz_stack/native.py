"""The stack as processes on loopback: free ports, private folders, all started at once, ready when they answer."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from gwz_stack import layout as where
from gwz_stack.errors import StackError, writing
from gwz_stack.grafana import homepath
from gwz_stack.layout import Layout
from gwz_stack.ports import Reservation
from gwz_stack.ready import probes
from gwz_stack.render import FILES, e2e_overrides, render, shipped, write
from gwz_stack.versions import SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from gwz_stack.find import Found
    from gwz_stack.process import Supervisor
    from gwz_stack.urls import Urls

# Tempo's ingester stops at once, its generator within 5 s, but its request queue never when a search came in the last 30 s
# (the queue waits to be empty, and what empties it has stopped by then). Nothing is lost by not waiting for it.
_GRACE_S = {"tempo": 7.0}


class NativeStack:
    """One stack below `run_dir`, its processes in `supervisor`. Grafana is optional, the other servers are not.

    Two stacks may run at once. `servers` is what find() returned, by name; `infinity` may be among them.
    Construction raises StackError for a missing server, PortTaken for a given port in use.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        servers: Mapping[str, Found],
        supervisor: Supervisor,
        e2e: bool = False,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        if missing := [name for name in SERVERS if name not in servers and name != "grafana"]:
            raise StackError(
                f"The stack cannot start without {', '.join(missing)}.",
                cause="It was not found.",
                cure=f"`python -m gwz_stack find {' '.join(missing)}` says how to get it.",
            )
        self.servers = {name: servers[name] for name in SERVERS if name in servers}
        self.grafana_password = secrets.token_urlsafe(16)
        self.metrics_token = secrets.token_urlsafe(16)
        self.ready_s: dict[str, float] = {}
        self._infinity = servers.get("infinity")
        self._supervisor = supervisor
        self._e2e = e2e
        self._reservation = Reservation.of(where.PORTS, given=ports or {})
        supervisor.afterwards(self._reservation.close)
        self._layout = Layout(run_dir.resolve(), self._reservation.ports)
        self.secrets = {
            "GF_SECURITY_ADMIN_PASSWORD": self.grafana_password,
            "GF_SECURITY_SECRET_KEY": secrets.token_urlsafe(32),
            "GF_METRICS_BASIC_AUTH_PASSWORD": secrets.token_urlsafe(16),
            "GATEWAYZ_PRODUCTION_TOKEN": self.metrics_token,
            "GATEWAYZ_STAGING_TOKEN": self.metrics_token,
        }

    @property
    def urls(self) -> Urls:
        """Where the servers listen; known before they do."""
        return self._layout.urls(grafana="grafana" in self.servers)

    @property
    def run_dir(self) -> Path:
        """The folder below which everything is written."""
        return self._layout.run_dir

    @property
    def ports(self) -> Mapping[str, int]:
        """The port of each listener."""
        return self._layout.ports

    @property
    def targets_file(self) -> Path:
        """The file in which Prometheus finds the gateway's addresses."""
        return self._layout.targets_file

    def start(self, *, timeout_s: float = 60.0) -> None:
        """Start all servers at once and wait until each answers; a failure ends those that had started and is raised."""
        try:
            self.set_targets([])
            for server in self.servers:
                self._launch(server, {})
            self.ready_s |= self._wait(self.servers, timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all servers, all at once; their data and logs stay."""
        self._supervisor.stop(*self.servers)

    def stop_server(self, server: str) -> None:
        """End one server, as asked: check() does not report it, restart() brings it back."""
        self._supervisor.stop(server)

    def kill_server(self, server: str) -> None:
        """End one server by SIGKILL, as asked: check() does not report it, restart() brings it back."""
        self._supervisor.kill(server)

    def restart(self, server: str, *, overrides: Mapping[str, object] | None = None, timeout_s: float = 60.0) -> None:
        """Start one server again on the same port and data, with `overrides` (dotted paths) of its configuration."""
        self._supervisor.stop(server)
        self._launch(server, overrides or {})
        self.ready_s |= self._wait([server], timeout_s)

    def check(self) -> None:
        """Raise ServerDied when a server, or another process of the supervisor, ended unasked."""
        self._supervisor.check()

    def set_targets(self, targets: Sequence[Mapping[str, object]]) -> None:
        """Tell Prometheus where the gateway runs: a list of {"targets": [host:port], "labels": {...}}.

        Written in one step. Prometheus hands changes on every 5 s at most: wait on its /api/v1/targets.
        """
        with writing(self.targets_file):
            self.targets_file.parent.mkdir(parents=True, exist_ok=True)
            draft = self.targets_file.with_suffix(".draft")
            draft.write_text(json.dumps(list(targets), indent=2), encoding="utf-8")
            draft.rename(self.targets_file)

    def resident_bytes(self) -> dict[str, int]:
        """Return the resident memory of each server with its descendants; 0 for one that does not run."""
        return {server: self._supervisor.resident_bytes(server) for server in self.servers}

    def _launch(self, server: str, overrides: Mapping[str, object]) -> None:
        layout = self._layout
        with writing(layout.run_dir):
            layout.data(server).mkdir(parents=True, exist_ok=True)
            (layout.run_dir / "tmp").mkdir(exist_ok=True)
            if server in FILES:
                self._write_config(server, overrides)
        binary = self.servers[server]
        flags = {"--homepath": str(homepath(binary))} if server == "grafana" else {}
        self._supervisor.launch(
            server,
            where.command(server, binary.path, layout, flags=flags),
            env=where.environment(server, layout, self.secrets),
            cwd=layout.data(server),
            log=layout.log(server),
            grace_s=_GRACE_S.get(server),
        )

    def _write_config(self, server: str, overrides: Mapping[str, object]) -> None:
        places = where.places(server, self._layout)
        if server == "grafana" and self._infinity:
            places |= where.plugin_places(self._infinity.path)
        changes = (e2e_overrides(server) if self._e2e else {}) | dict(overrides)
        write(server, render(server, shipped(server), places=places, overrides=changes), self._layout.template(server))

    def _wait(self, servers: Iterable[str], timeout_s: float) -> dict[str, float]:
        asked = probes(self.urls, grafana_password=self.grafana_password)
        return self._supervisor.wait_ready({server: asked[server] for server in servers}, timeout_s=timeout_s)
