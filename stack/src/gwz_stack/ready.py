"""What it takes for each server to count as ready: its own word, and one query answered."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    from gwz_stack.process import Ready
    from gwz_stack.urls import Urls

_TIMEOUT_S = 2.0  # and no proxy: whatever the environment says of one, it is not for loopback


def probes(urls: Urls, *, grafana_password: str) -> dict[str, Ready]:
    """Return the readiness probe of each server of the stack."""
    ready: dict[str, Ready] = {
        "prometheus": lambda: _answer(f"{urls.prometheus}/-/ready", f"{urls.prometheus}/api/v1/query?query=vector(1)"),
        # The query as well: with a misconfigured frontend every query hangs while /ready is content.
        "loki": lambda: _answer(f"{urls.loki}/ready", f"{urls.loki}/loki/api/v1/query_range?query=%7Bapp%3D%22-%22%7D"),
        "tempo": lambda: _answer(f"{urls.tempo}/ready", f"{urls.tempo}/api/echo", f"{urls.tempo}/api/search?q=%7B%7D"),
        "redis": lambda: _pong(urls.redis),
        "redis_exporter": lambda: _says(f"{urls.redis_exporter}/metrics", "\nredis_up 1\n"),
    }
    if urls.grafana:
        ready["grafana"] = lambda: _grafana(str(urls.grafana), grafana_password)
    return ready


def _answer(*urls: str) -> bool:
    for url in urls:
        httpx.get(url, timeout=_TIMEOUT_S, trust_env=False).raise_for_status()
    return True


def _says(url: str, text: str) -> bool:
    return text in httpx.get(url, timeout=_TIMEOUT_S, trust_env=False).raise_for_status().text


def _grafana(url: str, password: str) -> bool:
    healthy = (
        httpx.get(f"{url}/api/health", timeout=_TIMEOUT_S, trust_env=False).raise_for_status().json()["database"]
        == "ok"
    )
    return (
        healthy
        and httpx.get(f"{url}/api/org", auth=("admin", password), timeout=_TIMEOUT_S, trust_env=False)
        .raise_for_status()
        .is_success
    )


def _pong(url: str) -> bool:
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
