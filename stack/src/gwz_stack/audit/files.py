"""What the images and compose.yaml would open, before anything runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from gwz_stack.findings import Finding
from gwz_stack.railway.images import pinned, user
from gwz_stack.railway.project import load
from gwz_stack.variables import declared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_POWERS = ("privileged", "cap_add", "devices", "pid", "ipc", "network_mode", "security_opt")
_TAG = re.compile(r":v?\d+\.\d+")


def inspect(stack: Path) -> list[Finding]:
    """Return what is wrong with the Dockerfiles and with compose.yaml of the folder `stack`."""
    project = load(stack)
    images = [
        finding
        for service in project.services.values()
        for rule in (pinned, user)
        for finding in rule(service, project)
    ]
    composed = yaml.safe_load((stack / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return [*images, *(finding for name, service in composed.items() for finding in _service(name, service))]


def _service(name: str, service: dict[str, Any]) -> Iterator[Finding]:
    where = f"compose.yaml {name}"
    if (image := service.get("image")) and not _TAG.search(str(image)):
        yield Finding("image", where, f"{image} is no exact version.", "Name one, or build it from its Dockerfile.")
    if str(service.get("user", "1")).split(":")[0] in {"0", "root"}:
        yield Finding("root", where, "It runs as root.", "Leave the user to the image.")
    for port in service.get("ports", []):
        if not str(port).startswith("127.0.0.1:"):
            yield Finding(
                "port-published", where, f"{port} is open to whoever reaches this machine.",
                f"Publish 127.0.0.1:{port}; what writes from outside goes through the gate.",
            )  # fmt: skip
    for power in sorted({*_POWERS} & set(service)):
        yield Finding("privilege", where, f"It has {power}.", "It needs none: take it out.")
    if any("docker.sock" in str(volume) for volume in service.get("volumes", [])):
        yield Finding("privilege", where, "It can start containers of its own.", "Take docker.sock out of its volumes.")
    known = declared(name)
    for variable, value in service.get("environment", {}).items():
        if variable in known and known[variable].secret and "$" not in str(value):
            yield Finding(
                "secret-tree", where, f"{variable} is written in it.", f"Write ${{{variable}:?}}: stack/.env holds it."
            )
