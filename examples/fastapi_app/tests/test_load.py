"""The load generator, and that its ledger is true."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fastapi_app.load import ledger
from fastapi_app.load.__main__ import main
from fastapi_app.load.ledger import Outcome

PROVIDER_STATUS = {200: 200, 429: 429, 500: 200, 502: 500}
"""What the provider answered, by what the gateway made of it."""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "ledger.jsonl", tmp_path / "summary.json"


@pytest.fixture
def wrong_app() -> Iterator[str]:
    """An app that answers 418 to everything."""

    class Teapot(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(418)
            self.send_header("content-length", "0")
            self.end_headers()

        do_POST = do_DELETE = do_GET  # noqa: N815  # the server's names

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Teapot) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_ledger_is_what_the_client_and_the_providers_saw(
    world: Any, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, summary_path = files
    arguments = ["--url", world.url, "--ledger", str(path), "--summary", str(summary_path), "--requests", "100"]
    code = main([*arguments, "--speed", "9"])
    summary = json.loads(summary_path.read_text())
    assert (code, summary["mismatches"]) == (0, [])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == summary

    entries = ledger.read(path)
    assert len(entries) == summary["requests"] == 100
    assert summary["wire"] == Counter(f"{one.method} {'none' if one.status == 499 else one.status}" for one in entries)

    calls = {one.trace_id: one for one in entries if one.provider}
    ours = _spans_of_all(world, entries)
    by_id = {span.span_id: span for span in ours}
    clients = [
        span for span in ours if "gen_ai.operation.name" in span.attributes and "gwz.attempt" not in span.attributes
    ]
    answers = [span for span in ours if span.kind == "SERVER" and span.service != "gateway"]
    assert sorted(span.trace_id for span in clients) == sorted(map(str, calls))
    assert Counter((span.trace_id, span.service) for span in answers) == Counter(
        (one.trace_id, provider) for one in entries for provider in ledger.answering(one)
    )
    for span in answers:
        entry, asked = calls[span.trace_id], by_id[span.parent_id]
        assert asked.attributes["peer.service"] == span.service
        assert asked.trace_id == span.trace_id
        if span.service == entry.provider:
            assert span.attributes["http.response.status_code"] == PROVIDER_STATUS[entry.status]
            assert span.seconds >= entry.planned_delay_s - 0.002 or entry.outcome is Outcome.CLIENT_DISCONNECTED
    for span in clients:
        entry = calls[span.trace_id]
        attributes = span.attributes
        assert (span.service, span.name) == ("gateway", f"chat {entry.model}")
        assert attributes["gen_ai.provider.name"] == entry.provider
        assert attributes["gwz.outcome"] == entry.outcome
        assert attributes.get("gwz.attempts") == (2 if entry.failed_first else None)
        assert ("error.type" in attributes) == (entry.outcome is not Outcome.SUCCESS)
        if entry.outcome is Outcome.SUCCESS:
            assert attributes["gen_ai.usage.input_tokens"] == entry.input_tokens
            assert attributes["gen_ai.usage.output_tokens"] == entry.output_tokens
            assert attributes["gwz.usage.estimated"] == entry.estimated


def _spans_of_all(world: Any, entries: list[ledger.Entry]) -> list[Any]:
    """Wait until the gateway's last span has arrived, then as long as the providers may keep one back."""
    traces = {one.trace_id for one in entries}
    for _ in range(200):
        if traces <= {span.trace_id for span in world.spans if span.kind == "SERVER" and span.service == "gateway"}:
            break
        time.sleep(0.1)
    time.sleep(0.6)
    return [span for span in world.spans if span.trace_id in traces]


def test_app_that_answers_otherwise_gives_mismatches_and_exit_1(
    wrong_app: str, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, summary_path = files

    assert main(["--url", wrong_app, "--ledger", str(path), "--summary", str(summary_path), "--requests", "20"]) == 1

    summary = json.loads(summary_path.read_text())
    assert len(summary["mismatches"]) == 20
    assert set(summary["wire"]) == {"GET 418", "POST 418", "DELETE 418"}
    assert "gave Seen(status=418" in summary["mismatches"][0]
    assert "20/20 requests ended, 0 in flight, 20 mismatches" in capsys.readouterr().err


def test_absent_app_is_one_sentence_and_a_quick_exit_1(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = files
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, but not listening
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        started = time.monotonic()

        assert main(["--url", url, "--ledger", str(path)]) == 1

    assert time.monotonic() - started < 3
    error = capsys.readouterr().err
    assert f"python -m fastapi_app.load: {url} cannot be reached" in error
    assert "start the app or correct --url" in error
    assert "Traceback" not in error


def test_bad_csv_is_one_sentence_and_exit_2(
    tmp_path: Path, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16,one,2\n")

    assert main(["--url", "http://127.0.0.1:9", "--ledger", str(files[0]), "--csv", str(trace)]) == 2

    assert capsys.readouterr().err == (
        f"python -m fastapi_app.load: {trace}, line 2: ContextTokens is 'one', but must be a whole number "
        "from 0 to 1000000; correct it\n"
    )


@pytest.mark.parametrize("wrong", [["--url", "localhost"], ["--requests", "0"], ["--speed", "0"], ["--speed", "nan"]])
def test_senseless_argument_is_exit_2(
    files: tuple[Path, Path], wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--url", "http://127.0.0.1:9", "--ledger", str(files[0]), *wrong])

    assert refused.value.code == 2
    assert f"argument {wrong[0]}" in capsys.readouterr().err


def test_full_disk_is_one_sentence_and_exit_3(wrong_app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", wrong_app, "--ledger", "/dev/full", "--requests", "5"]) == 3

    error = capsys.readouterr().err
    assert "/dev/full cannot be written ([Errno 28] No space left on device); free space" in error
    assert "Traceback" not in error


def heed_ctrl_c() -> None:
    """A shell's background jobs, this suite among them, may have been told to ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_quickly_and_leaves_a_valid_ledger(wrong_app: str, files: tuple[Path, Path]) -> None:
    path, _ = files
    command = [sys.executable, "-m", "fastapi_app.load", "--url", wrong_app, "--ledger", str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    ) as load:
        while not path.exists() or path.stat().st_size == 0:
            assert load.poll() is None
            time.sleep(0.02)
        load.send_signal(signal.SIGINT)
        _, error = load.communicate(timeout=5)

    entries = ledger.read(path)
    assert load.returncode == 130
    assert f"interrupted; {path} holds the {len(entries)} requests that ended" in error
    assert "Traceback" not in error
