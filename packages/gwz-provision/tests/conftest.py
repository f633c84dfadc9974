"""A small bundle on disk, and a real Grafana where one was named."""

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
from collections.abc import Iterator
from pathlib import Path

import pytest

from gwz_provision.access import Access
from gwz_provision.bundle import Bundle, load
from gwz_provision.grafana import Grafana

INDEX = {
    "schema": 1,
    "folders": [{"uid": "f1", "title": "Backend"}],
    "dashboards": [{"uid": "d1", "folder": "f1", "file": "f1/d1.json"}],
}
DATASOURCES = {
    "datasources": [
        {
            "uid": "grafana_prometheus",
            "name": "Prometheus",
            "type": "prometheus",
            "access": "proxy",
            "url": "${PROMETHEUS_INTERNAL_URL}",
            "jsonData": {"timeInterval": "15s"},
        },
        {
            "uid": "grafana_loki",
            "name": "Loki",
            "type": "loki",
            "access": "proxy",
            "url": "${LOKI_URL}",
            "jsonData": {"derivedFields": [{"name": "trace", "url": "${__value.raw}"}]},
        },
    ]
}
DASHBOARD = {
    "uid": "d1",
    "title": "Requests",
    "refresh": "10s",
    "tags": ["gatewayz"],
    "panels": [
        {
            "id": 3,
            "type": "stat",
            "title": "Requests",
            "datasource": {"type": "prometheus", "uid": "grafana_prometheus"},
            "targets": [{"refId": "A", "expr": 'sum(requests_total{app_name="$app"})', "instant": True}],
        }
    ],
    "templating": {
        "list": [
            {
                "name": "app",
                "type": "query",
                "query": "label_values(app_info, app_name)",
                "datasource": {"type": "prometheus", "uid": "grafana_prometheus"},
            }
        ]
    },
}


@pytest.fixture
def bundle_dir(tmp_path: Path) -> Path:
    """A bundle of one folder, two data sources and one dashboard; tests may bend its files."""
    folder = tmp_path / "bundle"
    (folder / "f1").mkdir(parents=True)
    (folder / "index.json").write_text(json.dumps(INDEX))
    (folder / "datasources.json").write_text(json.dumps(DATASOURCES))
    (folder / "f1" / "d1.json").write_text(json.dumps(DASHBOARD))
    return folder


@pytest.fixture
def environment() -> dict[str, str]:
    """Addresses at which nothing listens: ports 9 and 10 are reserved."""
    return {"PROMETHEUS_INTERNAL_URL": "http://127.0.0.1:9", "LOKI_URL": "http://127.0.0.1:10"}


@pytest.fixture
def small_bundle(bundle_dir: Path) -> Bundle:
    return load(bundle_dir)


@pytest.fixture(scope="session")
def grafana_access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A real, empty Grafana on loopback, if GWZ_GRAFANA_BIN and GWZ_GRAFANA_HOME name one."""
    binary, home = os.environ.get("GWZ_GRAFANA_BIN"), os.environ.get("GWZ_GRAFANA_HOME")
    if not (binary and home):
        pytest.skip("needs a real Grafana: set GWZ_GRAFANA_BIN and GWZ_GRAFANA_HOME")
    data = tmp_path_factory.mktemp("grafana")
    access = Access(f"http://127.0.0.1:{_free_port()}", ("admin", secrets.token_urlsafe(12)))
    with (data / "grafana.log").open("wb") as log:
        process = subprocess.Popen(
            [binary, *_server_argument(binary), "--homepath", home],
            env=_environment(access, data),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(access.url, process, data / "grafana.log")
        yield access
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=15)
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def grafana(grafana_access: Access) -> Iterator[Grafana]:
    with Grafana(grafana_access) as client:
        yield client


def _server_argument(binary: str) -> list[str]:
    return [] if Path(binary).name == "grafana-server" else ["server"]


def _environment(access: Access, data: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GF_")}
    return {
        **kept,
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": access.url.rpartition(":")[2],
        "GF_SECURITY_ADMIN_PASSWORD": str(access.auth[1]),
        # Open to viewers, as a wrong password must be noticed there too.
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_PATHS_DATA": str(data),
        "GF_PATHS_LOGS": str(data),
        "GF_PATHS_PLUGINS": str(data / "plugins"),
        "GF_PATHS_PROVISIONING": str(data / "provisioning"),
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/api/health", timeout=2) as answer:
                if json.load(answer)["database"] == "ok":
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"Grafana did not get ready; the end of its log:\n{log.read_text(errors='replace')[-2000:]}")
