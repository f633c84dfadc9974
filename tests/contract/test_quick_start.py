"""The quick start, walked as it is written: an application, the check, a real Prometheus where one is here already, a panel's query."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from gwz_stack import archive, gobuild
from gwz_stack.cache import Cache
from gwz_stack.layout import Layout
from gwz_stack.ports import Reservation
from gwz_stack.versions import pin

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/quick-start.md").read_text(encoding="utf-8")
PRINTED = {"app": "30338", "prometheus": "20655", "loki": "31679", "otlp_http": "30637", "hello": "8000"}
"""The ports that the page has in its examples."""
pytestmark = [pytest.mark.contract, pytest.mark.slow]


def prometheus_binary():
    """A Prometheus that is here already: GWZ_PROMETHEUS_BIN, one on PATH, or one that `python -m gwz_stack find` has fetched."""
    if chosen := os.environ.get("GWZ_PROMETHEUS_BIN") or shutil.which("prometheus"):
        return Path(chosen)
    wanted, cache = pin("prometheus"), Cache.from_environment()
    return (wanted.archive and archive.cached(wanted.archive, cache)) or (
        wanted.go and gobuild.cached("prometheus", wanted.go, cache)
    )


class Walk:
    """A reader with the page, in a folder of their own."""

    def __init__(self, folder, ports):
        self.folder = folder
        self.ports = ports
        self.text = TEXT
        for name, printed in PRINTED.items():
            assert printed in TEXT, name
            self.text = re.sub(rf"(?<=[: ]){printed}\b", str(ports[name]), self.text)
        self.environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def commands(self, heading):
        """What is typed under a heading, block by block."""
        section = re.search(rf"^## \d\. {heading}\n(.*?)(?=^## |\Z)", self.text, re.MULTILINE | re.DOTALL)[1]
        return [
            re.findall(r"^\$ (.*)", block, re.MULTILINE)
            for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL)
        ]

    def start(self, lines):
        """Leave commands running, as in a terminal of their own."""
        script = "\n".join([*lines[:-1], f"exec env {lines[-1]}"])
        return subprocess.Popen(["bash", "-ec", script], cwd=self.folder, env=self.environment)

    def type(self, line):
        """Run a command to its end; return what it says."""
        done = subprocess.run(
            ["bash", "-ec", line], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        return done.stdout


def until(wanted, *, seconds=60):
    """Ask until there is an answer, or for so long."""
    end = time.monotonic() + seconds
    while not (answer := wanted()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.2)
    return answer


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


@pytest.fixture
def ports():
    reservation = Reservation.of(tuple(PRINTED), given={})
    yield reservation.ports
    reservation.close()


@pytest.fixture
def walk(tmp_path, ports):
    walk = Walk(tmp_path, ports)
    (tmp_path / "build/hello").mkdir(parents=True)
    (tmp_path / "build/hello/app.py").write_text(
        re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1], encoding="utf-8"
    )
    return walk


@pytest.fixture
def hello(walk):
    """The application of the page, started as the page says."""
    lines = walk.commands("Instrument an application")[1]
    assert "uvicorn" in lines[-1]
    process = walk.start(lines)
    try:
        until(lambda: answers(f"http://127.0.0.1:{walk.ports['hello']}/hello/you"))
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def prometheus(walk):
    """A real one, which reads the file that the page writes and scrapes each second."""
    if (binary := prometheus_binary()) is None:
        pytest.skip("needs a Prometheus: python -m gwz_stack find prometheus")
    targets = Layout(Path("build/stack"), {}).targets_file
    (walk.folder / targets).parent.mkdir(parents=True)
    sd = {"files": [str(walk.folder / targets)], "refresh_interval": "1s"}
    job = {"job_name": "gatewayz_production", "file_sd_configs": [sd]}
    config = walk.folder / "prometheus.yml"
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}), encoding="utf-8")
    address = f"127.0.0.1:{walk.ports['prometheus']}"
    with (walk.folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={config}",
                f"--storage.tsdb.path={walk.folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stderr=log,
        )
    try:
        until(lambda: answers(f"http://{address}/-/ready"))
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def panel_query(title):
    """What a panel of Request Flow asks, for the application hello."""
    board = json.loads((ROOT / "dashboards/generated/gwz-backend/gwz-request-flow.json").read_text(encoding="utf-8"))
    panel = next(panel for panel in board["panels"] if panel["title"] == title)
    return panel["targets"][0]["expr"].replace("$app", "hello").replace("$__rate_interval", "1m")


def asked(prometheus, query):
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)["data"]["result"]


@pytest.mark.usefixtures("hello")
def test_the_application_passes_the_check(walk):
    first, _activate, check = walk.commands("Instrument an application")[2]
    assert json.loads(walk.type(first)) == {"hello": "world"}
    assert "no findings" in walk.type(check)


@pytest.mark.usefixtures("hello")
def test_its_first_metric_reaches_the_panel(walk, prometheus):
    (echo,), (query,) = walk.commands("Let Prometheus scrape it")
    walk.type(echo)
    found = until(lambda: json.loads(walk.type(query))["data"]["result"])
    assert {series["metric"]["path"] for series in found} == {"/hello/{name}"}
    (busy,) = walk.commands("See it on a panel")[0]
    walk.type(busy.replace("seq 60", "seq 3"))
    rate = panel_query("Request rate by route and status")
    shown = until(lambda: [series for series in asked(prometheus, rate) if float(series["value"][1]) > 0])
    assert {series["metric"]["path"] for series in shown} == {"/hello/{name}"}
