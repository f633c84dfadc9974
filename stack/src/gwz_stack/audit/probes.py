"""Asks each door of a running stack, with every kind of credentials, and writes down what it answers."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gwz_stack.gate import Gate

PUSH = "/loki/api/v1/push"
TRACES = "/v1/traces"
READ = "/loki/api/v1/query_range"
NOBODY, WRONG, RIGHT, DEFAULT = "none", "a wrong token", "the right token", "the default password"
# Put together: a test forbids the second one in every file.
DEFAULTS = ("admin", f"yourpassword{123}")
"""Grafana's own default, and the one that the predecessor had in its README."""
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
READ_GRPC = "/tempopb.Querier/FindTraceByID"
SIGN_UP = "/api/user/signup/step2"
_TOO_LARGE_MIB = 9
_MANY = 1000
LARGE = f"POST {PUSH} {_TOO_LARGE_MIB} MiB"
MANY = f"POST {PUSH} {_MANY} times"


@dataclass(frozen=True)
class Answer:
    """What one question got: `status` is None where the connection was refused."""

    server: str
    asked: str
    credentials: str
    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()


def ask_gate(gate: Gate) -> Iterator[Answer]:
    """Write through the gate as everybody could, and as its environments may."""
    right = gate.tokens["production"]
    with httpx.Client(base_url=gate.http, trust_env=False, timeout=10) as client:
        for credentials, token in ((NOBODY, None), (WRONG, f"{right}x"), (RIGHT, right)):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            for method, path in (("POST", PUSH), ("POST", TRACES), ("GET", READ)):
                yield _ask(client, "gate", f"{method} {path}", credentials, headers=headers)
        headers = {"Authorization": f"Bearer {right}"}
        yield _ask(client, "gate", LARGE, RIGHT, headers=headers, content=b" " * _TOO_LARGE_MIB * 2**20)
        yield _ask_until(429, client, MANY, headers)


def ask_gate_by_grpc(gate: Gate, curl: str) -> Iterator[Answer]:
    """Write through the gate's other port, as ask_gate() does; only curl speaks HTTP/2 without TLS here."""
    right = gate.tokens["production"]
    for credentials, token in ((NOBODY, None), (WRONG, f"{right}x"), (RIGHT, right)):
        for path in (EXPORT, READ_GRPC):
            # By standard input: a command line is everybody's to read.
            lines = [
                f'url = "{gate.grpc}{path}"',
                'header = "Content-Type: application/grpc"',
                'header = "TE: trailers"',
            ]
            lines += [f'header = "Authorization: Bearer {token}"'] if token else []
            asked = [curl, "-sS", "--http2-prior-knowledge", "--noproxy", "*", "--max-time", "10", "--config", "-"]
            asked += ["--data", "", "--output", "/dev/null", "--write-out", "%{http_code}"]
            said = subprocess.run(asked, input="\n".join(lines), capture_output=True, text=True, check=False).stdout
            yield Answer("gate", f"POST {path}", credentials, int(said) if said.strip("0") else None)


def ask_grafana(url: str, *, password: str) -> Iterator[Answer]:
    """Ask Grafana as a stranger, with well-known passwords, and log in as its admin."""
    with httpx.Client(base_url=url, trust_env=False, timeout=10) as client:
        for path in ("/api/search", "/api/admin/settings", "/metrics", "/login"):
            yield _ask(client, "grafana", f"GET {path}", NOBODY)
        for default in DEFAULTS:
            yield _ask(client, "grafana", "GET /api/user", DEFAULT, auth=("admin", default))
        stranger = {"email": "stranger@example.invalid", "username": "stranger", "password": "stranger-of-the-audit"}
        yield _ask(client, "grafana", f"POST {SIGN_UP}", NOBODY, json=stranger)
        yield _ask(client, "grafana", "POST /login", RIGHT, json={"user": "admin", "password": password})


def _ask(client: httpx.Client, server: str, asked: str, credentials: str, **rest: object) -> Answer:
    """Ask a question, `METHOD PATH` and perhaps a remark."""
    method, path, *_ = asked.split()
    try:
        response = client.request(method, path, **rest)  # type: ignore[arg-type]  # httpx's own keywords
    except httpx.TransportError:
        return Answer(server, asked, credentials, None)
    cookies = tuple(response.headers.get_list("set-cookie"))
    return Answer(server, asked, credentials, response.status_code, dict(response.headers), cookies)


def _ask_until(status: int, client: httpx.Client, asked: str, headers: Mapping[str, str]) -> Answer:
    """Ask again and again until the answer has this status, and return the last one."""
    answer = _ask(client, "gate", asked, RIGHT, headers=headers, content=b"{}")
    for _ in range(_MANY):
        if answer.status == status:
            break
        answer = _ask(client, "gate", asked, RIGHT, headers=headers, content=b"{}")
    return answer
