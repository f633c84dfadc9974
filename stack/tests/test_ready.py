"""A server is ready when it says so and answers a query."""

import http.server
import socketserver
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from gwz_stack.ready import probes
from gwz_stack.urls import Urls

Serve = Callable[[socketserver.TCPServer], str]
Probes = dict[str, Callable[[], bool]]


class AnswerServer(http.server.HTTPServer):
    bodies: dict[str, str]


class Answers(http.server.BaseHTTPRequestHandler):
    server: AnswerServer

    def do_GET(self) -> None:
        body = self.server.bodies.get(self.path.partition("?")[0])
        self.send_response(503 if body is None else 200)
        self.end_headers()
        self.wfile.write((body or "").encode())

    def log_message(self, *_: object) -> None:
        pass


class RedisServer(socketserver.TCPServer):
    answer = b"+PONG\r\n"


class Redis(socketserver.StreamRequestHandler):
    server: RedisServer

    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(self.server.answer)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves on loopback until the test ends."""
    running = []

    def start(server: socketserver.TCPServer) -> str:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return f"127.0.0.1:{server.server_address[1]}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def bodies() -> dict[str, str]:
    return {}


@pytest.fixture
def redis() -> RedisServer:
    return RedisServer(("127.0.0.1", 0), Redis)


@pytest.fixture
def ready(serve: Serve, bodies: dict[str, str], redis: RedisServer) -> Probes:
    server = AnswerServer(("127.0.0.1", 0), Answers)
    server.bodies = bodies
    url = f"http://{serve(server)}"
    urls = Urls(url, url, url, url, f"redis://{serve(redis)}/0", url, url, url)
    return probes(urls, grafana_password="secret")


@pytest.mark.parametrize(
    ("server", "paths"),
    [
        ("prometheus", ["/-/ready", "/api/v1/query"]),
        ("loki", ["/ready", "/loki/api/v1/query_range"]),
        ("tempo", ["/ready", "/api/echo", "/api/search"]),
    ],
)
def test_every_path_must_answer(ready: Probes, bodies: dict[str, str], server: str, paths: list[str]) -> None:
    for missing in paths:
        bodies.clear()
        bodies.update(dict.fromkeys(set(paths) - {missing}, "ok"))
        with pytest.raises(httpx.HTTPStatusError):
            ready[server]()
    bodies[missing] = "ok"
    assert ready[server]()


def test_grafana_must_have_its_database_and_let_the_admin_in(ready: Probes, bodies: dict[str, str]) -> None:
    bodies["/api/health"] = '{"database": "failing"}'
    assert not ready["grafana"]()
    bodies["/api/health"] = '{"database": "ok"}'
    with pytest.raises(httpx.HTTPStatusError):
        ready["grafana"]()
    bodies["/api/org"] = "{}"
    assert ready["grafana"]()


def test_the_exporter_must_reach_redis(ready: Probes, bodies: dict[str, str]) -> None:
    bodies["/metrics"] = "# TYPE redis_up gauge\nredis_up 0\n"
    assert not ready["redis_exporter"]()
    bodies["/metrics"] = "# TYPE redis_up gauge\nredis_up 1\n"
    assert ready["redis_exporter"]()


def test_redis_must_answer_a_ping(ready: Probes, redis: RedisServer) -> None:
    assert ready["redis"]()
    redis.answer = b"-LOADING Redis is loading the dataset in memory\r\n"
    assert not ready["redis"]()
