"""The gate lets the library write with a token of its environment, and nobody do anything else."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from gwz_stack import SERVERS, Found, Gate, NativeStack, ServerDied, Supervisor

pytestmark = pytest.mark.slow

PUSH = "/loki/api/v1/push"
LINE = {"streams": [{"stream": {"app": "gate"}, "values": [["{now}", "a line"]]}]}
# One request through an application that is instrumented in one line, as a user would write it.
APPLICATION = """
import logging
import sys
from fastapi import FastAPI
from fastapi.testclient import TestClient
from gwz_instrument import instrument
from opentelemetry import trace

app = FastAPI()
telemetry = instrument(app)

@app.get("/ask")
def ask():
    logging.getLogger("app").warning("through the gate")
    return format(trace.get_current_span().get_span_context().trace_id, "032x")

with TestClient(app) as client:
    print(client.get("/ask").json())
    print(telemetry.force_flush(float(sys.argv[1])))
telemetry.shutdown()
"""
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True)
class Site:
    """A stack without Grafana, and a gate before it."""

    stack: NativeStack
    gate: Gate
    supervisor: Supervisor
    folder: Path
    nginx: Found

    def other_gate(self, **limits: str) -> Gate:
        """A second gate before the same servers, with limits that are reached quickly."""
        self.supervisor.stop(Gate.name)
        gate = Gate(
            self.folder / "other", nginx=self.nginx, urls=self.stack.urls, supervisor=self.supervisor, limits=limits
        )
        gate.start()
        return gate


@pytest.fixture(scope="module")
def site(here: Callable[..., dict[str, Found]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    names = [name for name in SERVERS if name != "grafana"]
    found = here(*names, "nginx")
    folder = tmp_path_factory.mktemp("site")
    with Supervisor() as supervisor:
        stack = NativeStack(folder, servers={name: found[name] for name in names}, supervisor=supervisor, e2e=True)
        stack.start()
        gate = Gate(folder, nginx=found["nginx"], urls=stack.urls, supervisor=supervisor)
        gate.start()
        yield Site(stack, gate, supervisor, folder, found["nginx"])
        stack.kill_server("tempo")  # it would take its seconds to write down what nobody reads


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def push(gate: Gate, headers: dict[str, str], content: bytes = b"{}", path: str = PUSH) -> int:
    headers = {"Content-Type": "application/json", **headers}
    return httpx.post(f"{gate.http}{path}", content=content, headers=headers, trust_env=False).status_code


def run_application(gate: Gate, service: str, *, flush_s: float = 20, **variables: str) -> tuple[str, str]:
    """Run the application with the gate as its far end; return its request's trace id, and whether all was sent."""
    environment = {
        "PATH": os.environ["PATH"],
        "OTEL_SERVICE_NAME": service,
        "GWZ_LOKI_URL": gate.http,
        "GWZ_LOKI_TOKEN": gate.tokens["production"],
        "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=" + quote(f"Bearer {gate.tokens['production']}"),
        **variables,
    }
    ran = subprocess.run(
        [sys.executable, "-c", APPLICATION, str(flush_s)], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    trace_id, sent = ran.stdout.split()
    return trace_id, sent


def lines_of(stack: NativeStack, service: str) -> list[str]:
    answer = httpx.get(
        f"{stack.urls.loki}/loki/api/v1/query_range", params={"query": f'{{app="{service}"}}'}, trust_env=False
    )
    return [line for stream in answer.json()["data"]["result"] for _, line in stream["values"]]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_the_librarys_lines_and_spans_arrive_through_the_gate(site: Site, protocol: str) -> None:
    service = f"through-{protocol[:4]}"
    endpoint = site.gate.grpc if protocol == "grpc" else site.gate.http
    trace_id, sent = run_application(
        site.gate, service, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol
    )
    assert sent == "True"
    assert any("through the gate" in line for line in lines_of(site.stack, service))
    trace = httpx.get(f"{site.stack.urls.tempo}/api/traces/{trace_id}", trust_env=False)
    assert trace.status_code == 200
    assert "/ask" in json.dumps(trace.json())


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_with_a_wrong_token_nothing_of_the_library_arrives(site: Site, protocol: str) -> None:
    service = f"refused-{protocol[:4]}"
    wrong = "Authorization=Bearer%20not-the-token-of-anybody"
    endpoint = site.gate.grpc if protocol == "grpc" else site.gate.http
    log = site.folder / "gate" / "gate.log"
    before = len(log.read_text())
    run_application(
        site.gate,
        service,
        flush_s=2,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_EXPORTER_OTLP_HEADERS=wrong,
        GWZ_LOKI_TOKEN="not-the-token-of-anybody",
    )
    said = log.read_text()[before:]
    assert f" POST {PUSH} 401 " in said
    assert f" POST {EXPORT if protocol == 'grpc' else '/v1/traces'} 401 " in said
    assert lines_of(site.stack, service) == []


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_each_environment_writes_with_its_own_token(site: Site, environment: str) -> None:
    assert push(site.gate, bearer(site.gate.tokens[environment]), b'{"streams": []}') in {204, 422}


@pytest.mark.parametrize("path", [PUSH, "/v1/traces", "/loki/api/v1/query_range", "/"])
def test_without_the_right_token_everything_is_401(site: Site, path: str) -> None:
    token = site.gate.tokens["production"]
    for headers in ({}, bearer("x"), bearer(token[:-1]), bearer(token.swapcase()), {"Authorization": token}):
        assert push(site.gate, headers, path=path) == 401


@pytest.mark.parametrize(
    "path",
    ["/", "/ready", "/metrics", "/loki/api/v1/query_range", "/loki/api/v1/delete", f"{PUSH}/../query", "/api/traces/0"],
)
def test_with_a_token_nothing_can_be_read_or_deleted(site: Site, path: str) -> None:
    assert push(site.gate, bearer(site.gate.tokens["production"]), path=path) == 404


def test_over_grpc_only_the_export_of_spans_is_there(site: Site) -> None:
    for path, code in (("/tempopb.Querier/FindTraceByID", 404), ("/", 404)):
        ran = subprocess.run(
            [
                *("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--http2-prior-knowledge", "--noproxy", "*"),
                *("-H", f"Authorization: Bearer {site.gate.tokens['production']}", f"{site.gate.grpc}{path}"),
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert ran.stdout == str(code)


def test_the_health_check_needs_no_token_and_says_nothing(site: Site) -> None:
    answer = httpx.get(f"{site.gate.http}/healthz", trust_env=False)
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert answer.headers["server"] == "nginx"


def test_no_token_is_ever_written_down(site: Site) -> None:
    push(site.gate, bearer("a-wrong-token-of-somebody"))
    log = (site.folder / "gate" / "gate.log").read_text()
    assert f" POST {PUSH} 401 " in log
    assert "a-wrong-token-of-somebody" not in log
    assert not [token for token in site.gate.tokens.values() if token in log]


LINES = {"streams": [{"stream": {"app": "bytes"}, "values": [[str(time.time_ns()), "x" * 10_000]]}]}
SPAN = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "x" * 10_000}
SPANS = {"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}


def restart(stack: NativeStack, server: str, overrides: Mapping[str, object]) -> None:
    stack.kill_server(server)  # it would take its seconds to write down what nobody reads
    stack.restart(server, overrides=overrides)


@pytest.mark.parametrize(
    ("server", "limits", "path", "push_of"),
    [
        ("loki", ("limits_config.ingestion_rate_mb", "limits_config.ingestion_burst_size_mb"), PUSH, LINES),
        (
            "tempo",
            (
                "overrides.defaults.ingestion.rate_limit_bytes",
                "overrides.defaults.ingestion.burst_size_bytes",
            ),
            "/v1/traces",
            SPANS,
        ),
    ],
)
def test_bytes_are_limited_behind_the_gate_which_hands_the_answer_on(
    site: Site, server: str, limits: tuple[str, str], path: str, push_of: dict[str, object]
) -> None:
    content, token = json.dumps(push_of).encode(), bearer(site.gate.tokens["production"])
    assert push(site.gate, token, content, path) in {200, 204}
    small = 0.001 if server == "loki" else 1000
    restart(site.stack, server, dict.fromkeys(limits, small))
    try:
        assert push(site.gate, token, content, path) == 429
    finally:
        restart(site.stack, server, {})


def test_what_is_too_large_is_413_whether_or_not_it_says_so_before(site: Site) -> None:
    gate = site.other_gate(GATE_BODY_MAX="64k")
    token = bearer(gate.tokens["production"])
    assert push(gate, token, b" " * 65_000) != 413
    assert push(gate, token, b" " * 66_000) == 413
    chunked = httpx.post(
        f"{gate.http}{PUSH}", content=iter([b" " * 33_000] * 2), headers=token, trust_env=False
    ).status_code
    assert chunked == 413


def test_what_comes_too_fast_is_429_and_takes_nothing_from_the_other_environment(site: Site) -> None:
    gate = site.other_gate(GATE_RATE="1", GATE_BURST="5")
    codes = [push(gate, bearer(gate.tokens["staging"])) for _ in range(20)]
    assert codes.count(429) >= 10
    assert 429 not in codes[:5]
    assert push(gate, bearer(gate.tokens["production"])) != 429
    assert push(gate, {}) == 401


def test_without_a_token_to_check_it_does_not_start(site: Site) -> None:
    with pytest.raises(ServerDied, match=r"GATE_STAGING_TOKEN is too short for a secret: it has 4 characters"):
        site.other_gate(GATE_STAGING_TOKEN="four")
