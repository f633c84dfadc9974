"""The promises that depend on how Loki behaves: each test runs against the fake one and, where its binary is at hand, the real one.

The binary is GWZ_LOKI_BIN, one on PATH, or one that `python -m gwz_stack find loki` has fetched.
"""

import contextlib
import http.client
import json
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse
import uuid
from pathlib import Path

import pytest

from gwz_instrument.logs import PUSH_PATH, LokiHandler

DAY_S = 86400


def loki_binary():
    """The path of a Loki that is here already; None if there is none. Its configuration is the stack's."""
    pytest.importorskip("gwz_stack", reason="the stack, which configures the real Loki, is not installed here")
    if chosen := os.environ.get("GWZ_LOKI_BIN"):
        return Path(chosen)
    if found := shutil.which("loki"):
        return Path(found)
    from gwz_stack import archive, gobuild  # noqa: PLC0415
    from gwz_stack.cache import Cache  # noqa: PLC0415
    from gwz_stack.versions import pin  # noqa: PLC0415

    wanted, cache = pin("loki"), Cache.from_environment()
    return (wanted.archive and archive.cached(wanted.archive, cache)) or (
        wanted.go and gobuild.cached("loki", wanted.go, cache)
    )


class RealLoki:
    """A Loki with the stack's configuration; the same handful of words as the fake one."""

    def __init__(self, binary, folder, **overrides):
        from gwz_stack import layout  # noqa: PLC0415
        from gwz_stack.ports import Reservation  # noqa: PLC0415
        from gwz_stack.render import dump, render, shipped  # noqa: PLC0415

        self._reservation = Reservation.of(layout.PORTS, given={})
        where = layout.Layout(folder, self._reservation.ports)
        where.data("loki").mkdir(parents=True)
        limits = {f"limits_config.{name}": value for name, value in overrides.items()}
        config = render("loki", shipped("loki"), places=layout.places("loki", where), overrides=limits)
        (folder / "loki.yml").write_text(dump("loki", config))
        self._command = [binary, f"-config.file={folder / 'loki.yml'}"]
        self._log = folder / "loki.log"
        self.address = where.address("loki")
        self.url = f"http://{self.address}"
        self.start()

    def start(self):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        for _ in range(300):
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._get("/ready")[0] == 200:
                    return
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            time.sleep(0.1)
        raise AssertionError(self._log.read_text()[-2000:])

    def stop(self):
        """Die at once, as by a lack of memory."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def close(self):
        self.stop()
        self._reservation.close()

    def held(self, app):
        """(labels, nanoseconds, line, metadata) of each line of an app, the oldest first."""
        now = time.time_ns()
        found, start = [], now - 14 * DAY_S * 10**9
        while True:
            query = {
                "query": f'{{app="{app}"}}',
                "limit": 5000,
                "direction": "forward",
                "start": start,
                "end": now + 10**12,
            }
            status, body = self._get("/loki/api/v1/query_range?" + urllib.parse.urlencode(query))
            assert status == 200, body
            page = [
                (stream["stream"], int(ns), line, rest.get("structuredMetadata", {}))
                for stream in json.loads(body)["data"]["result"]
                for ns, line, rest in stream["values"]
            ]
            found += page
            if len(page) < 5000:
                break
            start = max(ns for _, ns, _, _ in page) + 1
        return sorted(found, key=lambda entry: entry[1])

    def _get(self, path):
        with contextlib.closing(http.client.HTTPConnection(self.address, timeout=20)) as connection:
            connection.request("GET", path, headers={"X-Loki-Response-Encoding-Flags": "categorize-labels"})
            answer = connection.getresponse()
            return answer.status, answer.read()


@pytest.fixture(scope="module")
def real_loki(tmp_path_factory):
    binary = loki_binary()
    if binary is None:
        pytest.skip("no Loki here: `python -m gwz_stack find loki` fetches one")
    server = RealLoki(binary, tmp_path_factory.mktemp("loki"))
    yield server
    server.close()


class FakeLoki:
    """The fixture of conftest.py, asked as the real one is."""

    def __init__(self, loki):
        self.url, self.start, self.stop = loki.url, loki.start, loki.stop
        self._loki = loki

    def held(self, app):
        lines = [line for line in self._loki.lines if line[0]["app"] == app]
        return sorted(lines, key=lambda entry: entry[1])


@pytest.fixture(params=["fake", "real"])
def server(request):
    if request.param == "fake":
        return FakeLoki(request.getfixturevalue("loki"))
    return request.getfixturevalue("real_loki")


@pytest.fixture
def app():
    return f"app-{uuid.uuid4().hex}"


@pytest.fixture
def counts():
    return {}


@pytest.fixture
def handler(server, app, counts):
    def count(_signal, word, number):
        counts[word] = counts.get(word, 0) + number

    made = LokiHandler(server.url + PUSH_PATH, {"app": app}, count=count, metadata=lambda: {"trace_id": "ab"})
    yield made
    made.drain(0)


def write(handler, message, *, age_s=0.0, level=logging.INFO, **more):
    handler.write(level=level, logger="x", message=message, created=time.time() - age_s, **more)


def messages(server, app):
    return [json.loads(line)["message"] for _, _, line, _ in server.held(app)]


def test_a_line_can_be_read_back(server, app, handler, counts):
    now = time.time()
    handler.write(level=logging.WARNING, logger="x", message="héllo\n\x00\ud800 🙂", fields={"n": 1}, created=now)
    assert handler.force_flush(10)
    ((labels, nanoseconds, line, metadata),) = server.held(app)
    assert (labels["app"], labels["level"]) == (app, "warning")
    assert nanoseconds == round(now * 1e6) * 1000
    assert json.loads(line)["message"] == "héllo\n\x00? 🙂"
    assert metadata["trace_id"] == "ab"
    assert counts == {"delivered": 1}


def test_of_a_batch_with_bad_times_the_good_lines_are_kept_and_the_bad_counted(server, app, handler, counts, capsys):
    for number in range(4):
        write(handler, f"good {number}")
    for number in range(3):
        write(handler, "old", age_s=20 * DAY_S + number)
    write(handler, "new", age_s=-3600)
    write(handler, "good in the end")
    assert not handler.force_flush(10)
    assert messages(server, app) == ["good 0", "good 1", "good 2", "good 3", "good in the end"]
    assert counts == {"delivered": 5, "rejected": 4}
    assert "refused 4 lines (400)" in capsys.readouterr().err


def test_times_that_no_clock_has_cost_no_other_line(server, app, handler, counts):
    """Milliseconds for seconds have the time now; a time that Loki can read is its to refuse."""
    for number, created in enumerate([time.time(), time.time() * 1000, -9.2e9, 9.2e9, float("nan"), 0.0]):
        handler.write(level=logging.INFO, logger="x", message=str(number), created=created)
    assert not handler.force_flush(10)
    assert messages(server, app) == ["0", "1", "4"]
    assert counts == {"delivered": 3, "rejected": 3}


def test_lines_far_behind_the_newest_are_counted_beside_those_that_are_too_old(server, app, handler, counts):
    write(handler, "newest")
    assert handler.force_flush(10)
    write(handler, "too old", age_s=20 * DAY_S)
    for number in range(30):
        write(handler, f"behind {number}", age_s=3 * 3600 - number)
    write(handler, "good")
    assert not handler.force_flush(10)
    assert messages(server, app) == ["newest", "good"]
    assert counts == {"delivered": 2, "rejected": 31}


def test_a_refusal_in_one_level_is_not_hidden_by_the_success_of_another(server, app, handler, counts):
    for level in (logging.ERROR, logging.INFO):
        write(handler, "newest", level=level)
    assert handler.force_flush(10)
    write(handler, "behind", level=logging.ERROR, age_s=3 * 3600)
    write(handler, "good", level=logging.INFO)
    assert not handler.force_flush(10)
    assert messages(server, app) == ["newest", "newest", "good"]
    assert counts == {"delivered": 3, "rejected": 1}


def test_lines_beyond_lokis_limits_are_cut_and_taken(server, app, handler, counts):
    write(handler, "x" * 1_000_000)
    write(handler, "🙂" * 300_000, fields={"f" * 1000: "y" * 300_000})
    write(handler, "many ids", metadata={f"k{number}": "v" * 1000 for number in range(300)})
    write(handler, "long id", metadata={"k": "v" * 100_000})
    write(handler, "odd ids", metadata={"a-b c": "v", "1x": "z", "": "y", "n\n": "w"})
    assert handler.force_flush(20)
    assert counts == {"delivered": 5}
    (odd,) = [metadata for _, _, line, metadata in server.held(app) if "odd ids" in line]
    assert (odd["a_b_c"], odd["key_1x"], odd["key_"], odd["n_"]) == ("v", "z", "y", "w")


def test_labels_that_loki_would_refuse_are_made_valid(server, app, counts):
    handler = LokiHandler(
        server.url + PUSH_PATH, {"app": app, "bad-name.x": "1", "1st": "v"}, count=lambda _, w, n: counts.update({w: n})
    )
    write(handler, "taken")
    assert handler.force_flush(10)
    handler.drain(0)
    assert counts == {"delivered": 1}
    assert server.held(app)[0][0]["bad_name_x"] == "1"


def test_a_request_whose_labels_loki_cannot_parse_is_lost_as_a_whole_and_counted(server, app, handler, counts, capsys):
    handler._target.labels["b-d"] = "x"
    for _ in range(3):
        write(handler, "lost")
    assert not handler.force_flush(10)
    assert counts == {"rejected": 3}
    assert "couldn't parse labels" in capsys.readouterr().err
    assert server.held(app) == []


def test_equal_lines_of_one_moment_are_all_kept(server, app, handler):
    now = time.time()
    for _ in range(50):
        handler.write(level=logging.INFO, logger="x", message="same", created=now)
    assert handler.force_flush(10)
    assert messages(server, app) == ["same"] * 50


def test_a_loki_that_dies_under_load_gets_every_line_once(server, app, handler, counts):
    """It dies at once, is away for a while, and comes back: what it had not answered is sent again."""
    logger, stop, written = logging.Logger("x"), threading.Event(), []  # noqa: LOG001
    logger.addHandler(handler)

    def load():
        while not stop.is_set():
            logger.info("%d", len(written))
            written.append(1)
            time.sleep(0.0005)

    thread = threading.Thread(target=load)
    thread.start()
    time.sleep(1)
    server.stop()
    time.sleep(1)
    server.start()
    time.sleep(1)
    stop.set()
    thread.join()
    assert handler.force_flush(30)
    assert messages(server, app) == [str(number) for number in range(len(written))]
    assert counts == {"delivered": len(written)}


@pytest.fixture(scope="module")
def slow_loki(tmp_path_factory):
    """A Loki that takes 1 MB per second of a stream, 2 of them at once."""
    binary = loki_binary()
    if binary is None:
        pytest.skip("no Loki here: `python -m gwz_stack find loki` fetches one")
    limits = {"per_stream_rate_limit": "1MB", "per_stream_rate_limit_burst": "2MB", "ingestion_rate_mb": 2}
    server = RealLoki(binary, tmp_path_factory.mktemp("slow"), **limits, ingestion_burst_size_mb=3)
    yield server
    server.close()


@pytest.mark.slow
def test_what_exceeds_a_rate_is_delivered_later_and_once(slow_loki, app, counts, capsys):
    def count(_signal, word, number):
        counts[word] = counts.get(word, 0) + number

    handler = LokiHandler(slow_loki.url + PUSH_PATH, {"app": app}, count=count)
    for number in range(60):
        write(handler, f"{number} " + "x" * 100_000, level=logging.ERROR if number % 2 else logging.INFO)
    assert handler.force_flush(60)
    handler.drain(0)
    found = messages(slow_loki, app)
    assert sorted(int(message.split()[0]) for message in found) == list(range(60))
    assert counts == {"delivered": 60}
    said = capsys.readouterr().err
    assert said.count("\n") == 1, "not a line per second"
    assert "answers 429" in said
