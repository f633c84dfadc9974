"""A real Grafana, started on loopback with nothing in it, where there is one."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from raw import Place


def found() -> tuple[str, str] | None:
    """The binary and its homepath: GWZ_GRAFANA_BIN and GWZ_GRAFANA_HOME, else what is in PATH; None when there is none."""
    binary = os.environ.get("GWZ_GRAFANA_BIN") or shutil.which("grafana")
    if not binary:
        return None
    named = os.environ.get("GWZ_GRAFANA_HOME")
    candidates = [Path(named)] if named else [*Path(binary).resolve().parents[:3], Path("/usr/share/grafana")]
    home = next((folder for folder in candidates if (folder / "conf/defaults.ini").exists()), None)
    return (binary, str(home)) if home else None


def plugins() -> str:
    """The folder of plugins that a real Grafana gets; empty when nobody named one."""
    return os.environ.get("GWZ_GRAFANA_PLUGINS", "")


@contextmanager
def started(binary: str, home: str, data: Path, settings: Mapping[str, str] | None = None) -> Iterator[Place]:
    """Run it until the block ends; `settings` are further GF_ variables."""
    place = Place(f"http://127.0.0.1:{_free_port()}", secrets.token_urlsafe(12), real=True)
    log = data / "grafana.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [binary, *([] if Path(binary).name == "grafana-server" else ["server"]), "--homepath", home],
            env={**_environment(place, data), **(settings or {})},
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(place.url, process, log)
        yield place
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=15)


def _environment(place: Place, data: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GF_")}
    return {
        **kept,
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": place.url.rpartition(":")[2],
        "GF_SECURITY_ADMIN_PASSWORD": place.password,
        # Open to viewers, as a wrong password must be noticed there too.
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_PATHS_DATA": str(data),
        "GF_PATHS_LOGS": str(data),
        "GF_PATHS_PLUGINS": plugins() or str(data / "plugins"),
        "GF_PATHS_PROVISIONING": str(data / "provisioning"),
        # How soon another organisation gets an Alertmanager.
        "GF_UNIFIED_ALERTING_ADMIN_CONFIG_POLL_INTERVAL": "1s",
        "GF_UNIFIED_ALERTING_ALERTMANAGER_CONFIG_POLL_INTERVAL": "1s",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/api/health", timeout=2) as answer:
                if json.load(answer)["database"] == "ok":
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"Grafana did not get ready; the end of its log:\n{log.read_text(errors='replace')[-2000:]}")
