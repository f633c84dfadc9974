"""The end of a real server: what it still has to say arrives, however it is told to end, and takes its time from nobody."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

REQUESTS = 30
APP = """
import logging
from fastapi import FastAPI
from gwz_instrument import instrument

app = FastAPI()
instrument(app)

@app.get("/ping")
async def ping():
    return "pong"

@app.get("/ready")
async def ready():
    return "ready"
"""


@contextlib.contextmanager
def served(folder, loki_url, otlp_url):
    """(process, address) of an application behind plain uvicorn, once it answers."""
    (folder / "served_app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "served_app:app", "--port", str(port)],
        cwd=folder,
        env={**os.environ, "GWZ_LOKI_URL": loki_url, "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_url},
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts in the background ignores SIGINT, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                get(f"http://127.0.0.1:{port}/ready")
                break
            time.sleep(0.05)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def get(address):
    with urllib.request.urlopen(address, timeout=5) as answer:
        return answer.read()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http/protobuf"])
@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_what_a_server_has_left_arrives_when_it_is_told_to_end(tmp_path, loki, receiver, told):
    """uvicorn raises the signal once more after its stop: SIGTERM then ends the process without an exit hook."""
    with served(tmp_path, loki.url, receiver.url) as (process, address):
        for _ in range(REQUESTS):
            get(f"{address}/ping")
        process.send_signal(told)
        process.wait(20)
    assert [span.name for span in receiver.spans] == ["GET /ping"] * REQUESTS
    messages = [json.loads(line)["message"] for _, _, line, _ in loki.lines]
    assert messages.count("GET /ping 200") == REQUESTS


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http/protobuf"])
@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_slow_loki_gets_every_line_and_none_is_called_lost(tmp_path, loki, receiver, told, monkeypatch):
    take = loki.take
    monkeypatch.setattr(loki, "take", lambda push: time.sleep(0.8) or take(push))
    with served(tmp_path, loki.url, receiver.url) as (process, address):
        for _ in range(REQUESTS):
            get(f"{address}/ping")
        process.send_signal(told)
        process.wait(20)
        said = process.stderr.read()
    messages = [json.loads(line)["message"] for _, _, line, _ in loki.lines]
    assert messages.count("GET /ping 200") == REQUESTS
    assert "given up" not in said
    assert [span.name for span in receiver.spans] == ["GET /ping"] * REQUESTS


@pytest.mark.slow
@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_in_time_with_loki_and_tempo_hanging(tmp_path, told):
    """The stop of the application and the exit of the process share two seconds."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        nobody = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        with served(tmp_path, nobody, nobody) as (process, address):
            get(f"{address}/ping")
            began = time.monotonic()
            process.send_signal(told)
            process.wait(20)
            took = time.monotonic() - began
    assert took < 2 * 3  # a clock in a test: a factor of three beyond the two seconds
