"""Several workers, as uvicorn starts them: one subprocess per test, real sockets, real files."""

import collections
import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import uvicorn.supervisors
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gwz_instrument import SettingsError, instrument, multiprocess

WORKER = """
    import asyncio, os
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse
    from gwz_instrument import instrument

    app = FastAPI()

    @app.get("/pid")
    async def pid():
        return os.getpid()

    @app.get("/hold")
    async def hold():
        await asyncio.sleep(60)

    @app.get("/held")
    async def held():
        async def body():
            yield f"{os.getpid()}\\n"
            await asyncio.sleep(60)

        return StreamingResponse(body())

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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(folder, port, *command):
    """The workers of a server that `python -m` starts; stopped in the end, whatever has happened."""
    home = folder.parent
    (home / "worker.py").write_text(textwrap.dedent(WORKER))
    environment = {
        **os.environ,
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
        "PYTHONPATH": str(home),
        "HOME": str(home),
    }
    server = subprocess.Popen([sys.executable, "-m", *command], env=environment, cwd=home)
    try:
        wait(lambda: Workers(port).get("/pid"))
        yield Workers(port)
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()
        server.wait(10)


@pytest.fixture
def workers(folder):
    port = free_port()
    command = ("uvicorn", "worker:app", "--workers", "2", "--port", str(port), "--log-level", "warning")
    with serving(folder, port, *command) as running:
        yield running


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
    wait(lambda: workers.samples("fastapi_exceptions_total", exception_type="LookupError") == 1)  # after the answer
    assert "_created" not in workers.get("/metrics")


replacing = pytest.mark.skipif(
    not hasattr(uvicorn.supervisors.Multiprocess, "keep_subprocess_alive"),
    reason="this uvicorn does not replace dead workers",
)


@pytest.mark.slow
@replacing
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


@pytest.mark.slow
def test_requests_in_progress_are_the_sum_over_the_workers_before_anybody_scrapes(workers, folder):
    """Each worker writes its own once a second; the files are read here, and no worker is asked."""
    by_worker = collections.Counter()
    with contextlib.ExitStack() as held:

        def both_hold():
            answer = held.enter_context(urllib.request.urlopen(workers.url + "/held", timeout=PATIENCE_S))
            by_worker[answer.readline()] += 1
            return len(by_worker) == 2

        wait(both_hold)
        wait(lambda: in_progress(folder, "/held") == by_worker.total())
        assert workers.samples("fastapi_requests_in_progress", path="/held") == by_worker.total()
    wait(lambda: in_progress(folder, "/held") == 0)


def in_progress(folder, path):
    return sum(
        sample.value
        for metric in multiprocess.MultiProcessCollector.merge(
            [str(file) for file in folder.glob("gauge_livesum_*.db")]
        )
        for sample in metric.samples
        if sample.name == "fastapi_requests_in_progress" and sample.labels["path"] == path
    )


def scrape_status(workers):
    try:
        workers.get("/metrics")
    except urllib.error.HTTPError as error:
        return error.code
    return 200


@pytest.mark.slow
@replacing
def test_no_worker_answers_a_scrape_while_one_counts_into_files_that_are_gone(workers, folder):
    """Nor does the worker that came later and whose own files are there: the other's counts are missing."""
    one, other = workers.pids(2)
    for file in folder.iterdir():
        file.unlink()
    wait(lambda: (folder / f"gwz_lost_{other}").exists() and (folder / f"gwz_lost_{one}").exists())
    os.kill(one, signal.SIGKILL)
    wait(lambda: workers.pids(2) - {one, other})
    assert {scrape_status(workers) for _ in range(12)} == {500}
    os.kill(other, signal.SIGKILL)
    wait(lambda: workers.pids(2).isdisjoint({one, other}))
    wait(lambda: {scrape_status(workers) for _ in range(12)} == {200})


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="gunicorn is not installed")
@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each-loads", "preloaded"])
def test_gunicorns_workers_lose_nothing_when_one_is_killed_and_replaced(folder, preload):
    kind = "uvicorn_worker" if importlib.util.find_spec("uvicorn_worker") else "uvicorn.workers"
    port = free_port()
    command = ("gunicorn", "worker:app", "--workers", "2", "--worker-class", f"{kind}.UvicornWorker", *preload)
    with serving(folder, port, *command, "--bind", f"127.0.0.1:{port}", "--log-level", "critical") as workers:
        first = workers.pids(2)
        counted = workers.samples("fastapi_requests_total", path="/pid")
        for _ in range(200):
            workers.get("/pid")
        for _ in range(6):  # whichever worker answers
            assert workers.samples("fastapi_requests_total", path="/pid") == counted + 200
        os.kill(min(first), signal.SIGKILL)
        wait(lambda: workers.samples("fastapi_requests_total", path="/pid") == counted + 200)
        wait(lambda: workers.pids(2) - first)
        counted = workers.samples("fastapi_requests_total", path="/pid")
        assert counted > 200
        for _ in range(100):
            workers.get("/pid")
        for _ in range(6):
            assert workers.samples("fastapi_requests_total", path="/pid") == counted + 100


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


@pytest.fixture
def scrape(folder, monkeypatch):
    """A scrape of the folder: values by name."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))

    def values():
        with multiprocess.merged_registry() as merged:
            text = generate_latest(merged).decode()
        return {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}

    return values


def ruined(folder, how):
    """What a worker may leave that had no room, or was killed on the way."""
    write(folder, 1, {"a_total": 3.0, "b_total" * 600: 1.0})
    whole = (folder / "counter_1.db").read_bytes()
    (folder / "counter_1.db").unlink()
    return {"empty": b"", "header": whole[:2], "zeros": bytes(1 << 16), "cut": whole[:60], "key": whole[:4100]}[how]


@pytest.mark.parametrize("kind", ["counter", "histogram", "gauge_all", "gauge_livesum"])
@pytest.mark.parametrize("how", ["empty", "header", "cut", "key"])
def test_a_ruined_file_of_a_dead_worker_is_removed_and_spoils_no_scrape(folder, scrape, caplog, kind, how):
    """What others counted is there; what is lost is said, unless nothing was in it."""
    write(folder, os.getpid(), {"a_total": 5.0})
    write(folder, dead_pid(), {"a_total": 4.0})
    file = folder / f"{kind}_{dead_pid()}.db"
    file.write_bytes(ruined(folder, how))
    for _ in range(2):
        assert scrape() == {"a_total": 9.0}
    assert not file.exists()
    told = [] if how == "empty" or kind == "gauge_livesum" else [file.name]
    assert [name for record in caplog.records for name in re.findall(r"\w+\.db", record.getMessage())] == told


@pytest.mark.parametrize("kind", ["counter", "gauge_livesum"])
@pytest.mark.parametrize("how", ["empty", "zeros"])
def test_a_file_that_a_living_worker_has_only_just_made_spoils_no_scrape(folder, scrape, kind, how):
    write(folder, os.getpid(), {"a_total": 5.0})
    file = folder / f"{kind}_{os.getppid()}.db"
    file.write_bytes(ruined(folder, how))
    assert scrape() == {"a_total": 5.0}
    assert file.exists()


class CrashError(BaseException):
    """The process ends here."""


@pytest.fixture
def crash_at(monkeypatch):
    """Make the given change of the folder, counted from 0, the one at which the process ends, half-way or before it."""
    number = 0
    real = {name: getattr(Path, name) for name in ("unlink", "replace", "write_text")}

    def change(name):
        def changed(path, *args, **kwargs):
            nonlocal number
            number -= 1
            if number == -1:
                if name == "write_text":
                    real[name](path, args[0][: len(args[0]) // 2])
                raise CrashError
            return real[name](path, *args, **kwargs)

        return changed

    for name in real:
        monkeypatch.setattr(Path, name, change(name))

    def arm(step):
        nonlocal number
        number = step

    return arm


NEVER = 10**6


def test_a_crash_at_any_step_of_cleaning_neither_loses_nor_doubles_a_count(tmp_path, crash_at):
    """Nor does a second crash, at any step of cleaning up after the first."""
    crash_at(NEVER)
    made = tmp_path / "made"
    made.mkdir()
    write(made, 0, {"a_total": 1.0})
    write(made, dead_pid(), {"a_total": 2.0, "b_total": 1.0})
    write(made, dead_pid(), {"a_total": 4.0})
    crashes = 0
    for first in range(40):
        for second in range(40):
            folder = tmp_path / f"{first}-{second}"
            shutil.copytree(made, folder)
            ended = [crashed(folder, crash_at, first), crashed(folder, crash_at, second)]
            crash_at(NEVER)
            for _ in range(2):
                multiprocess.clean(folder)
                assert read(folder) == {"a_total": 7.0, "b_total": 1.0}, f"crashes at steps {first} and {second}"
            assert [file.name for file in folder.iterdir()] == ["counter_0.db"]
            crashes += sum(ended)
            if not ended[1]:
                break
        if not ended[0]:
            break
    assert crashes > 20


def crashed(folder, crash_at, step):
    crash_at(step)
    try:
        multiprocess.clean(folder)
    except CrashError:
        return True
    return False


LOST = """
import asyncio, json, os, pathlib, shutil, sys
from fastapi import FastAPI
from gwz_instrument import instrument

app = FastAPI()
telemetry = instrument(app)
folder = pathlib.Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])

def scrape():
    sent = []
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message):
        sent.append(message)
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": [], "query_string": b"", "root_path": "",
             "scheme": "http", "server": ("h", 1), "client": ("c", 1), "http_version": "1.1", "asgi": {"version": "3.0"}}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"]

def tell_in_a_child():
    from gwz_instrument.metrics import collectors_of
    if (child := os.fork()) == 0:
        try:
            collectors_of(telemetry.registry).tell("logs", "queue_full", 3)
            collectors_of(telemetry.registry).tell("logs", "delivered", 3)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]
"""


def run(code, folder):
    """(JSON that `code` prints last, what it logs) of an application whose files lie in `folder`."""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOST + code],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1]), ran.stderr


@pytest.mark.parametrize("after", ["folder.mkdir()", ""], ids=["made-again", "gone"])
def test_a_scrape_fails_when_the_folder_was_cleared_under_a_worker(folder, after):
    """Zeros with status 200 would look like a quiet day; what cures it is logged once."""
    code = f"statuses = [scrape()]\nshutil.rmtree(folder)\n{after}\nstatuses += [scrape(), scrape()]\nprint(json.dumps(statuses))"
    statuses, logged = run(code, folder)
    assert statuses == [200, 500, 500]
    (line,) = [line for line in logged.splitlines() if line.startswith("the files of worker ")]
    assert f"are gone from {folder} (PROMETHEUS_MULTIPROC_DIR)" in line
    assert "Restart the workers, and never clear the folder while they run" in line


def test_a_forked_worker_that_has_counted_nothing_yet_misses_no_files(folder):
    """Its files are made with its first count, which a scrape must not wait for."""
    code = """
if (child := os.fork()) == 0:
    os._exit(0 if scrape() == 200 else 1)
print(json.dumps(os.waitpid(child, 0)[1]))
"""
    assert run(code, folder)[0] == 0


def test_counting_never_raises_when_the_files_cannot_be_opened(folder):
    code = "shutil.rmtree(folder)\nprint(json.dumps(tell_in_a_child()))"
    assert run(code, folder)[0] == 0


def test_a_worker_that_has_lost_its_files_stops_every_scrape_for_as_long_as_it_lives(folder, scrape):
    write(folder, os.getpid(), {"a_total": 5.0})
    (folder / f"gwz_lost_{os.getppid()}").touch()
    with pytest.raises(multiprocess.LostFilesError, match=f"the files of worker {os.getppid()} are gone"):
        scrape()
    (folder / f"gwz_lost_{os.getppid()}").rename(folder / f"gwz_lost_{dead_pid()}")
    assert scrape() == {"a_total": 5.0}
    assert list(folder.glob("gwz_lost_*")) == []


def test_a_worker_whose_process_id_was_a_lost_ones_is_not_taken_for_it(folder, scrape):
    write(folder, os.getpid(), {"a_total": 5.0})
    (folder / f"gwz_lost_{os.getpid()}").touch()
    multiprocess.check_own_files()
    assert scrape() == {"a_total": 5.0}


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
