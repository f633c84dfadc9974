"""Where each server listens, as its configuration says; and what speaks there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gwz_stack.dockerfile import Dockerfile, read
from gwz_stack.render import FILES, parse

if TYPE_CHECKING:
    from pathlib import Path

HTTP, GRPC, REDIS, OTLP_HTTP, OTLP_GRPC = "http", "grpc", "redis", "otlp-http", "otlp-grpc"
_EVERYWHERE_IN_GO = ("0.0.0.0", "::", "")  # noqa: S104 - Go opens all three on IPv4 and IPv6 alike


@dataclass(frozen=True)
class Listener:
    """One listening socket: the address as it is written, and the protocol that is spoken."""

    host: str
    port: int
    speaks: str
    everywhere: bool
    """Reached by IPv4 and by IPv6, as Railway's private network wants."""


def listeners(server: str, stack: Path) -> tuple[Listener, ...]:
    """Return what a server of the folder `stack` listens on; nothing for one that only calls others."""
    image = read(stack / server / "Dockerfile")
    if server in FILES and server != "prometheus":
        config = parse(server, (stack / server / FILES[server].name).read_text(encoding="utf-8"))
        return _READERS[server](config)
    if server == "gate":
        return _gate((stack / "gate" / "nginx.conf").read_text(encoding="utf-8"))
    return _flags(server, image)


def _go(address: str, speaks: str) -> Listener:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    return Listener(host, int(port), speaks, host in _EVERYWHERE_IN_GO)


def _loki(config: dict[str, Any]) -> tuple[Listener, ...]:
    server = config["server"]
    return (
        _go(f"{server['http_listen_address']}:{server['http_listen_port']}", HTTP),
        _go(f"{server['grpc_listen_address']}:{server['grpc_listen_port']}", GRPC),
    )


def _tempo(config: dict[str, Any]) -> tuple[Listener, ...]:
    protocols = config["distributor"]["receivers"]["otlp"]["protocols"]
    # Without an address the receivers listen on localhost only.
    otlp = {name: (receiver or {}).get("endpoint", "localhost:0") for name, receiver in protocols.items()}
    return (*_loki(config), *(_go(address, f"otlp-{name}") for name, address in otlp.items()))


def _grafana(config: dict[str, Any]) -> tuple[Listener, ...]:
    return (_go(f"{config['server']['http_addr']}:{config['server']['http_port']}", HTTP),)


def _gate(text: str) -> tuple[Listener, ...]:
    found = re.findall(r"^\s*listen \$\{\w+:-(\S+):(\d+)( [^}]*)?\}( http2)?;", text, flags=re.MULTILINE)
    return tuple(
        Listener(host, int(port), GRPC if http2 else HTTP, host == "[::]" and "ipv6only=off" in options)
        for host, port, options, http2 in found
    )


def _flags(server: str, image: Dockerfile) -> tuple[Listener, ...]:
    words = image.command
    flags = dict(word.lstrip("-").split("=", 1) for word in words if word.startswith("-") and "=" in word)
    if "web.listen-address" in flags:
        return (_go(flags["web.listen-address"], HTTP),)
    if server == "redis":
        return (_go(f"{words[words.index('--bind') + 1]}:{words[words.index('--port') + 1]}", REDIS),)
    return ()


_READERS = {"loki": _loki, "tempo": _tempo, "grafana": _grafana}
