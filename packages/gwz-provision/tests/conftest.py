"""A small bundle on disk, and a real Grafana where one was named."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Helpers beside the tests: the suite imports its files by path (importlib mode), so their folder is not on the path.
sys.path.insert(0, str(Path(__file__).parent))

import generated
import proxy as proxies
import servers
from fake_grafana import FakeGrafana, served
from proxy import Proxy
from raw import Place
from running import Command

from gwz_provision.access import Access
from gwz_provision.bundle import Bundle, load
from gwz_provision.grafana import Grafana

INDEX = {
    "schema": 1,
    "folders": [{"uid": "gwz-f1", "title": "Backend"}],
    "dashboards": [{"uid": "gwz-d1", "folder": "gwz-f1", "file": "f1/d1.json"}],
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
    "uid": "gwz-d1",
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
def real_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A real Grafana on loopback, if there is one; other tests may have left something in it."""
    if (real := servers.found()) is None:
        pytest.skip("needs a real Grafana: set GWZ_GRAFANA_BIN and GWZ_GRAFANA_HOME")
    data = tmp_path_factory.mktemp("grafana")
    with servers.started(*real, data) as place:
        yield place
    shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(params=["fake", "real"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """An empty Grafana: in memory, and a real one where there is one."""
    if request.param == "fake":
        with served(FakeGrafana()) as url:
            yield Place(url, "admin", real=False)
        return
    real = request.getfixturevalue("real_place")
    real.wipe()
    yield real


@pytest.fixture
def grafana_access(real_place: Place) -> Access:
    """How to log in to the real Grafana."""
    return Access(real_place.url, ("admin", real_place.password))


@pytest.fixture
def grafana(grafana_access: Access) -> Iterator[Grafana]:
    with Grafana(grafana_access) as client:
        yield client


@pytest.fixture
def proxy(place: Place) -> Iterator[Proxy]:
    """What stands before the Grafana of the test and records."""
    with proxies.before(place.url) as standing:
        yield standing


@pytest.fixture
def command(place: Place, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line, pointed at the Grafana of the test through the proxy, with all variables set."""
    for name in [name for name in os.environ if name.startswith(("GRAFANA_", "GWZ_A", "GATEWAYZ_"))]:
        monkeypatch.delenv(name)
    login = {"GRAFANA_URL": proxy.url, "GRAFANA_USER": "admin", "GRAFANA_PASSWORD": place.password}
    for name, value in {**generated.VARIABLES, **login}.items():
        monkeypatch.setenv(name, value)
    return Command(place, proxy, monkeypatch, capsys)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A bundle with two of each, and some kinds alone."""
    return generated.write(tmp_path / "tiny", dashboards=2, panels=4, rules=2, sources=4, contacts=2)
