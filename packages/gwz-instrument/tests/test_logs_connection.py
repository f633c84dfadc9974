"""TLS and proxies, with a certificate made for the occasion."""

import contextlib
import gzip
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gwz_instrument.logs import PUSH_PATH, LokiHandler
from gwz_instrument.logs.answers import Answer
from gwz_instrument.logs.connection import Connection


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) of localhost."""
    openssl = shutil.which("openssl") or pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-out", certificate, "-keyout", key],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return certificate, key


@pytest.fixture
def secure_server(certificate):
    """(port, bodies): an HTTPS server that takes everything."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            bodies.append(gzip.decompress(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port, bodies
    server.shutdown()
    server.server_close()


@pytest.fixture
def proxy():
    """(address, requests): a proxy that joins both sides of a CONNECT."""
    requests = []

    def pump(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve():
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            requests.append(head.decode())
            port = int(head.split(b" ")[1].rpartition(b":")[2])
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                thread = threading.Thread(target=pump, args=(server, client))
                thread.start()
                pump(client, server)
                thread.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", requests
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def deliver(port):
    handler = LokiHandler(f"https://localhost:{port}{PUSH_PATH}", {"app": "gw"})
    handler.write(level=logging.INFO, logger="x", message="hello")
    try:
        return handler.force_flush(5)
    finally:
        handler.drain(0)


def test_lines_go_over_tls_to_a_certificate_that_the_environment_trusts(secure_server, certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    port, bodies = secure_server
    assert deliver(port)
    assert json.loads(bodies[0])["streams"][0]["stream"] == {"app": "gw", "level": "info"}


def test_a_certificate_that_nobody_trusts_gets_nothing(secure_server, capsys):
    port, bodies = secure_server
    handler = LokiHandler(f"https://localhost:{port}{PUSH_PATH}")
    handler.write(level=logging.INFO, logger="x", message="hello")
    assert not handler.force_flush(0.5)
    handler.drain(0)
    assert bodies == []
    assert "cannot be reached (SSLCertVerificationError" in capsys.readouterr().err


def test_tls_goes_through_the_proxy_of_the_environment(secure_server, certificate, proxy, monkeypatch):
    address, requests = proxy
    monkeypatch.setenv("CURL_CA_BUNDLE", str(certificate[0]))
    monkeypatch.setenv("https_proxy", f"http://u:p@{address}")
    port, bodies = secure_server
    assert deliver(port)
    assert len(bodies) == 1
    assert requests[0].startswith(f"CONNECT localhost:{port} HTTP/1.")
    assert "Proxy-Authorization: Basic dTpw" in requests[0]


def test_an_answer_too_long_to_read_ends_its_connection_and_nothing_else(loki):
    loki.answers = [(503, "x" * 1_000_000, {}), (400, "refused", {"Retry-After": " 7 "})]
    connection = Connection(loki.url + PUSH_PATH, None)
    first, second = connection.post(b"1"), connection.post(b"2")
    connection.close()
    assert (first.status, len(first.text)) == (503, 64 * 1024)
    assert second == Answer(400, "refused", "7")
    assert loki.connections == 2
