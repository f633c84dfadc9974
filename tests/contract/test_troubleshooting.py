"""The response of the page closes a synchronous stream of httpx in time, and what the page warns of hangs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs/troubleshooting.md"
pytestmark = pytest.mark.contract

ASKING = """
import asyncio, contextlib, faulthandler, gc, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import httpx

class Endless(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"a word and another, ")

    def log_message(self, *_):
        pass

class Server(ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *_):  # the client has left
        pass

server = Server(("127.0.0.1", 0), Endless)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = httpx.Client()

def ask():
    return client.send(client.build_request("GET", f"http://127.0.0.1:{server.server_port}"), stream=True)

def lines():
    with contextlib.closing(ask()) as response:
        yield from response.iter_bytes(10)

async def left(response):
    sent = []

    async def receive():
        while len(sent) < 3:
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        await asyncio.sleep(0)

    await response({"type": "http", "asgi": {"spec_version": "2.0"}}, receive, send)

async def main():
    await left(kind(lines()))
    pool = client._transport._pool
    assign = pool._assign_requests_to_connections
    pool._assign_requests_to_connections = lambda: [gc.collect(), assign()][1]  # as may happen at any of its allocations
    faulthandler.dump_traceback_later(5, exit=True)
    await asyncio.to_thread(lambda: ask().close())
    faulthandler.cancel_dump_traceback_later()
    print("answered")

asyncio.run(main())
"""


def asked(kind):
    """What the application of which a client has left says to the next, and what its threads did if it never does."""
    ran = subprocess.run(
        [sys.executable, "-c", f"import gc\ngc.disable()\n{kind}\n{ASKING}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return ran.stdout.strip(), ran.stderr


def test_a_stream_that_is_closed_in_time_holds_up_nobody():
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert asked(f"{block}\nkind = ClosingResponse") == ("answered", "")


def test_any_other_waits_for_itself_in_the_frames_that_the_page_shows():
    """When this fails httpcore has mended it: the section says of which versions it speaks."""
    answer, stacks = asked("from fastapi.responses import StreamingResponse as kind")
    assert answer == ""
    assert re.search(r'_synchronization\.py", line \d+ in __enter__\n.*connection_pool\.py", line \d+ in close', stacks)
