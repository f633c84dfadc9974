"""What is wrong with what a running stack was seen to do: observations in, findings out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gwz_stack.audit.probes import (
    DEFAULT,
    EXPORT,
    LARGE,
    MANY,
    NOBODY,
    PUSH,
    READ,
    READ_GRPC,
    RIGHT,
    SIGN_UP,
    TRACES,
    WRONG,
)
from gwz_stack.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gwz_stack.audit.probes import Answer
    from gwz_stack.audit.sockets import Socket

_INI = "in stack/grafana/grafana.ini."
_HEADERS = {
    "x-frame-options": "deny",
    "x-content-type-options": "nosniff",
    "strict-transport-security": "max-age",
    "content-security-policy": "script-src",
}


@dataclass(frozen=True)
class Expected:
    """What a question has to be answered with, and what it is called when it is not."""

    id: str
    asked: tuple[str, ...]
    credentials: tuple[str, ...]
    statuses: tuple[int, ...]
    cure: str


EXPECTED = (
    Expected(
        "write-open",
        (f"POST {PUSH}", f"POST {TRACES}", f"GET {READ}", f"POST {EXPORT}", f"POST {READ_GRPC}"),
        (NOBODY, WRONG),
        (401,),
        "Let stack/gate/nginx.conf refuse what has no token of an environment.",
    ),
    Expected(
        "write-closed",
        (f"POST {PUSH}", f"POST {TRACES}", f"POST {EXPORT}"),
        (RIGHT,),
        (200, 204, 400, 415),  # the servers' own answers to an empty push
        "Nobody can write: see the gate's log, and whether Loki and Tempo are where GATE_*_TARGET say.",
    ),
    Expected(
        "read-open",
        (f"GET {READ}", f"POST {READ_GRPC}"),
        (RIGHT,),
        (404,),
        "Let stack/gate/nginx.conf pass on what writes, and nothing else.",
    ),
    Expected("body-unlimited", (LARGE,), (RIGHT,), (413,), "Set client_max_body_size in stack/gate/nginx.conf."),
    Expected("rate-unlimited", (MANY,), (RIGHT,), (429,), "Set limit_req in stack/gate/nginx.conf."),
    Expected(
        "grafana-anonymous",
        ("GET /api/search", "GET /api/admin/settings"),
        (NOBODY,),
        (401, 403),
        f"[auth.anonymous] enabled = false {_INI}",
    ),
    Expected("grafana-metrics", ("GET /metrics",), (NOBODY,), (401,), f"[metrics] basic_auth_* {_INI}"),
    Expected(
        "default-password",
        ("GET /api/user",),
        (DEFAULT,),
        (401,),
        "`grafana cli admin reset-admin-password` with a random one.",
    ),
    Expected("grafana-sign-up", (f"POST {SIGN_UP}",), (NOBODY,), (401,), f"[users] allow_sign_up = false {_INI}"),
    Expected("grafana-login", ("POST /login",), (RIGHT,), (200,), "Its admin cannot log in: see its log."),
)


@dataclass(frozen=True)
class Observed:
    """What was seen of a running stack."""

    sockets: tuple[Socket, ...]
    ports: frozenset[int]
    """Those that somebody decided on."""
    answers: tuple[Answer, ...]
    loose_files: tuple[str, ...]
    """Files with a secret that others may read."""
    loud_processes: tuple[str, ...]
    """Servers that have a secret on their command line, where every user sees it."""


def judge(observed: Observed) -> list[Finding]:
    """Return everything that is wrong."""
    return [
        *_sockets(observed),
        *(finding for answer in observed.answers for finding in _answer(answer)),
        *_secrets(observed),
    ]


def _sockets(observed: Observed) -> Iterator[Finding]:
    for socket in observed.sockets:
        where = f"{socket.server} {socket.address}:{socket.port}"
        if not socket.loopback:
            yield Finding(
                "port-open", where, "Whoever reaches this machine reaches it, and it asks for nothing.",
                "Bind it to 127.0.0.1; what writes from outside goes through the gate.",
            )  # fmt: skip
        if socket.port not in observed.ports:
            yield Finding(
                "port-unknown",
                where,
                "Nobody decided on this port.",
                "Switch its listener off in the server's configuration.",
            )


def _answer(answer: Answer) -> Iterator[Finding]:
    where = f"{answer.server}, {answer.asked}, {answer.credentials}"
    for expected in EXPECTED:
        meant = answer.asked in expected.asked and answer.credentials in expected.credentials
        if meant and answer.status not in expected.statuses:
            wanted = " or ".join(map(str, expected.statuses))
            yield Finding(expected.id, where, f"It answers {answer.status} instead of {wanted}.", expected.cure)
    if answer.asked == "GET /login":
        yield from _headers(answer, where)
    if answer.asked == "POST /login":
        yield from _cookies(answer, where)


def _headers(answer: Answer, where: str) -> Iterator[Finding]:
    for name, value in _HEADERS.items():
        if value not in answer.headers.get(name, ""):
            yield Finding("grafana-headers", where, f"It sends no {name} with {value}.", f"See [security] {_INI}")


def _cookies(answer: Answer, where: str) -> Iterator[Finding]:
    session = next((cookie for cookie in answer.cookies if cookie.startswith("grafana_session=")), "")
    for flag in ("Secure", "HttpOnly", "SameSite=Lax"):
        if flag not in session.split("; "):
            yield Finding("grafana-cookie", where, f"The session's cookie is not {flag}.", f"See [security] {_INI}")


def _secrets(observed: Observed) -> Iterator[Finding]:
    for path in observed.loose_files:
        yield Finding("secret-readable", path, "It holds a secret, and others may read it.", "Write it with mode 0600.")
    for server in observed.loud_processes:
        yield Finding(
            "secret-argument", server, "A secret is on its command line.", "Give it by the environment, or by a file."
        )
