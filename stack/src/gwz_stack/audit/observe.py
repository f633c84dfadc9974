"""Looks at a stack that runs here: its sockets, its answers, its files and its command lines."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from gwz_stack.audit.judge import Observed
from gwz_stack.audit.probes import ask_gate, ask_gate_by_grpc, ask_grafana
from gwz_stack.audit.sockets import listening
from gwz_stack.groups import members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gwz_stack.audit.probes import Answer
    from gwz_stack.gate import Gate
    from gwz_stack.native import NativeStack
    from gwz_stack.process import Supervisor


def observe(stack: NativeStack, gate: Gate | None, supervisor: Supervisor) -> Observed:
    """Return what is seen of a stack, and of the gate before it, that run in `supervisor`."""
    servers = [*stack.servers, *([gate.name] if gate else [])]
    secrets = [*stack.secrets.values(), *(gate.tokens.values() if gate else ())]
    groups = {server: supervisor[server].pid for server in servers}
    return Observed(
        sockets=tuple(socket for server, group in groups.items() for socket in listening(server, group)),
        ports=frozenset({*stack.ports.values(), *(gate.ports.values() if gate else ())}),
        answers=tuple(_answers(stack, gate)),
        loose_files=tuple(_loose_files(stack.run_dir, secrets)),
        loud_processes=tuple(server for server, group in groups.items() if _is_loud(group, secrets)),
    )


def _answers(stack: NativeStack, gate: Gate | None) -> Iterator[Answer]:
    if gate:
        yield from ask_gate(gate)
        if curl := shutil.which("curl"):
            yield from ask_gate_by_grpc(gate, curl)
    if stack.urls.grafana:
        yield from ask_grafana(stack.urls.grafana, password=stack.grafana_password)


def _loose_files(folder: Path, secrets: Sequence[str]) -> Iterator[str]:
    wanted = [secret.encode() for secret in secrets]
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_mode & 0o077 and any(secret in path.read_bytes() for secret in wanted):
            yield str(path.relative_to(folder))


def _is_loud(group: int, secrets: Iterable[str]) -> bool:
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in members(group)]
    return any(secret.encode() in line for secret in secrets for line in lines)
