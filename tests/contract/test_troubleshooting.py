"""The client of httpx that the page mends can be asked while the collector closes one of its streams, and no other can."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs/troubleshooting.md"
pytestmark = pytest.mark.contract

ASKING = """
import faulthandler, gc, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
url = f"http://127.0.0.1:{server.server_port}"

def ask():
    return client.send(client.build_request("GET", url), stream=True)

reader = ask().iter_bytes(10)
next(reader)
ring = [reader]
ring.append(ring)
del reader, ring
pool = client._transport._pool
assign = pool._assign_requests_to_connections
pool._assign_requests_to_connections = lambda: [gc.collect(), assign()][1]  # as it may happen at any of its allocations
faulthandler.dump_traceback_later(4, exit=True)
ask().close()
faulthandler.cancel_dump_traceback_later()
print("answered")
"""


def asked(made):
    ran = subprocess.run(
        [sys.executable, "-c", f"import gc\ngc.disable()\n{made}\n{ASKING}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return ran.stdout.strip(), ran.stderr


def test_the_client_that_the_page_mends_is_answered():
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert asked(block) == ("answered", "")


def test_any_other_waits_for_itself_in_the_frames_that_the_page_shows():
    """When this fails httpcore has mended it: the section says of which versions it speaks."""
    answer, stacks = asked("import httpx\nclient = httpx.Client()")
    assert answer == ""
    assert re.search(r'_synchronization\.py", line \d+ in __enter__\n.*connection_pool\.py", line \d+ in close', stacks)
