"""A certificate authority of the test's own, made by openssl, and a server that speaks TLS before the fake Grafana."""

import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fake_grafana import FakeGrafana, Server, _Handler

_EXTENSIONS = """[server]
subjectAltName = IP:127.0.0.1
[client]
extendedKeyUsage = clientAuth
"""


@dataclass(frozen=True)
class Authority:
    """Its folder: ca.pem, and for each name NAME.pem and NAME.key."""

    folder: Path

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()


def made(folder: Path) -> Authority:
    """Make an authority, and a certificate for a server on 127.0.0.1 and for a client."""
    (folder / "extensions").write_text(_EXTENSIONS)
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    _openssl(folder, *new, "-x509", "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("server", "client"):
        _openssl(folder, *new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ("x509", "-req", "-days", "2", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
        extensions = ("-extfile", "extensions", "-extensions", name)
        _openssl(folder, *signed, *extensions, "-in", f"{name}.csr", "-out", f"{name}.pem")
    return Authority(folder)


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@contextmanager
def secured(authority: Authority, fake: FakeGrafana, *, asks: bool) -> Iterator[str]:
    """Serve the fake by TLS, and ask each client for a certificate if so told; the address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.file("server.pem"), authority.file("server.key"))
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.file("ca.pem"))
    handler: type[http.server.BaseHTTPRequestHandler] = type("Handler", (_Handler,), {"grafana": fake})
    with Server(("127.0.0.1", 0), handler) as server:
        # Not in the accepting thread: a client that breaks off would end it.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
