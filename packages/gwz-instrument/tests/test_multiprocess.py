"""Several workers, as uvicorn starts them: one subprocess per test, real sockets, real files."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path

import pytest
import uvicorn.supervisors
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from gwz_instrument import SettingsError, instrument, multiprocess

WORKER = """
    import asyncio, os
    from fastapi import FastAPI
    from gwz_instrument import instrument

    app = FastAPI()

    @app.get("/pid")
    async def pid():
        return os.getpid()

    @app.get("/hold")
    async def hold():
        await asyncio.sleep(60)

    @app.get("/raise")
    async def failing():
        raise LookupError

    instrument(app, service_name="workers")
"""
PATIENCE_S = 30


class Workers:
    """A server with several workers, and what its scrapes say."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path, timeout=10.0):
        with urllib.request.urlopen(self.url + path, timeout=timeout) as answer:
            return answer.read().decode()

    def pids(self, number):
        """The workers that answer, once so many do."""
        found = set()
        wait(lambda: found.add(int(self.get("/pid"))) or len(found) >= number)
        return found

    def samples(self, name, **labels):
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


def wait(condition):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    return shared


@pytest.fixture
def workers(tmp_path, folder):
    (tmp_path / "worker.py").write_text(textwrap.dedent(WORKER))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "worker:app",
        "--workers",
        "2",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(tmp_path)}
    server = subprocess.Popen(command, env=environment, cwd=tmp_path)
    try:
        wait(lambda: Workers(port).get("/pid"))
        yield Workers(port)
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()


@pytest.mark.slow
def test_every_scrape_has_the_requests_of_all_workers(workers):
    assert len(workers.pids(2)) == 2
    before = workers.samples("fastapi_requests_total", path="/pid")
    for _ in range(40):
        workers.get("/pid")
    for _ in range(6):  # whichever worker answers
        assert workers.samples("fastapi_requests_total", path="/pid") == before + 40
        assert workers.samples("fastapi_requests_duration_seconds_count", path="/pid") == before + 40
        assert workers.samples("fastapi_response_size_bytes_count", path="/pid") == before + 40
        assert workers.samples("fastapi_app_info", app_name="workers") == 1
    with pytest.raises(OSError, match="500"):
        workers.get("/raise")
    assert workers.samples("fastapi_exceptions_total", exception_type="LookupError") == 1
    assert "_created" not in workers.get("/metrics")


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(uvicorn.supervisors.Multiprocess, "keep_subprocess_alive"),
    reason="this uvicorn does not replace dead workers",
)
def test_a_dead_worker_takes_its_gauges_along_and_leaves_its_counts(workers, folder):
    first = workers.pids(2)
    for _ in range(20):
        workers.get("/pid")
    counted = workers.samples("fastapi_requests_total", path="/pid")
    holding = subprocess.Popen(
        [sys.executable, "-c", f"import urllib.request as u; u.urlopen('{workers.url}/hold')"],
        stderr=subprocess.DEVNULL,
    )
    wait(lambda: workers.samples("fastapi_requests_in_progress", path="/hold") == 1)
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    holding.wait(PATIENCE_S)
    wait(lambda: workers.pids(2).isdisjoint(first))
    wait(lambda: workers.samples("fastapi_requests_in_progress", path="/hold") == 0)
    assert workers.samples("fastapi_requests_total", path="/pid") >= counted
    left = [file.name for file in folder.glob("*.db") if file.stem.rpartition("_")[2] in {str(pid) for pid in first}]
    assert left == [], "folded, not kept for each worker that ever ran"
    assert (folder / "counter_0.db").exists()


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def write(folder, pid, values, kind="counter"):
    """A file as prometheus_client's workers leave them."""
    code = (
        "from prometheus_client.mmap_dict import MmapedDict, mmap_key\n"
        f"file = MmapedDict({str(folder / f'{kind}_{pid}.db')!r})\n"
        f"for name, value in {values!r}.items():\n"
        "    file.write_value(mmap_key(name, name, [], [], 'Help.'), value, 0.0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_S)


def read(folder):
    return {
        sample.name: sample.value
        for metric in multiprocess.MultiProcessCollector.merge([str(f) for f in folder.glob("*.db")])
        for sample in metric.samples
    }


def test_cleaning_adds_the_dead_up_once_and_leaves_the_living_alone(folder):
    write(folder, dead_pid(), {"a_total": 3.0, "b_total": 1.0})
    write(folder, dead_pid(), {"a_total": 4.0})
    write(folder, os.getpid(), {"a_total": 5.0})
    write(folder, dead_pid(), {"g": 2.0}, kind="gauge_livesum")
    write(folder, os.getpid(), {"g": 7.0}, kind="gauge_livesum")
    for _ in range(3):
        multiprocess.clean(folder)
        assert read(folder) == {"a_total": 12.0, "b_total": 1.0, "g": 7.0}
    assert {file.name for file in folder.glob("*.db")} == {
        "counter_0.db",
        f"counter_{os.getpid()}.db",
        f"gauge_livesum_{os.getpid()}.db",
    }
    write(folder, dead_pid(), {"a_total": 8.0})
    multiprocess.clean(folder)
    assert read(folder)["a_total"] == 20.0


@pytest.mark.parametrize(
    ("arguments", "environ", "number"),
    [
        ([], {}, 1), (["--workers", "4"], {}, 4), (["--workers=3"], {}, 3), (["-w", "2"], {}, 2), (["-w8"], {}, 8),
        ([], {"GUNICORN_CMD_ARGS": "--bind :80 --workers 4"}, 4), ([], {"WEB_CONCURRENCY": "5"}, 5), (["--workers", "1"], {"WEB_CONCURRENCY": "5"}, 1),
        (["--workers", "x"], {}, 1), (["-workers4"], {}, 1), ([], {"WEB_CONCURRENCY": "many"}, 1),
    ],
)  # fmt: skip
def test_the_number_of_workers_is_read_as_the_servers_read_it(arguments, environ, number):
    assert multiprocess._workers(environ, ["server", *arguments]) == number


def test_several_workers_without_a_shared_folder_are_refused_beside_whatever_else_is_wrong(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    with pytest.raises(SettingsError) as raised:
        instrument(FastAPI(), registry=CollectorRegistry(), slow_request_s=-1)
    assert len(raised.value.problems) == 2
    assert "3 workers are asked for" in raised.value.problems[1]
    assert "Set PROMETHEUS_MULTIPROC_DIR" in raised.value.problems[1]
    with pytest.raises(SettingsError) as raised:
        instrument(FastAPI(), registry=CollectorRegistry(), remove_middleware=("Nope",))
    assert len(raised.value.problems) == 2


def test_a_shared_folder_that_is_none_is_refused(tmp_path):
    code = "from fastapi import FastAPI; from gwz_instrument import instrument; instrument(FastAPI())"
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "absent")}
    ran = subprocess.run(
        [sys.executable, "-c", code], check=False, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert ran.returncode == 1
    assert "PROMETHEUS_MULTIPROC_DIR is" in ran.stderr
    assert "create it" in ran.stderr


def test_files_that_are_not_a_workers_are_left_alone(folder):
    Path(folder / "counter_notes.db").write_bytes(b"")
    assert multiprocess._pid(folder / "counter_notes.db") == os.getpid()
