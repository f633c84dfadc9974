"""What is in each image, and who runs it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gwz_stack.findings import Finding
from gwz_stack.render import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gwz_stack.railway.project import Project, Service

_EXACT = re.compile(r":v?\d+\.\d+(\.\d+)?([-.][\w.-]+)?(@sha256:[0-9a-f]{64})?$")


def pinned(service: Service, _: Project) -> Iterator[Finding]:
    """An image without a version is another one tomorrow."""
    if not _EXACT.search(service.image.base):
        yield Finding(
            "image",
            f"stack/{service.folder}/Dockerfile",
            f"{service.image.base} is no exact version.",
            "Name one, as stack/versions.toml does.",
        )


def user(service: Service, _: Project) -> Iterator[Finding]:
    """No image runs as root by itself."""
    if service.image.user.split(":")[0] in {"", "root", "0"}:
        yield Finding("root", f"stack/{service.folder}/Dockerfile", "The server runs as root.", "End with a USER.")


def entrypoint(service: Service, _: Project) -> Iterator[Finding]:
    """What is wrong with a variable is told by its name only where the entrypoint looks at it."""
    if not any(word.endswith("/entrypoint.sh") for word in service.image.entrypoint):
        yield Finding(
            "entrypoint", f"stack/{service.folder}/Dockerfile", "Nothing checks its variables before it starts.",
            "Start it by entrypoint.sh.",
        )  # fmt: skip


def complete(service: Service, _: Project) -> Iterator[Finding]:
    """Every file of the folder is in the image: one that is forgotten is an alert that never fires."""
    sources = [source for source, _target in service.image.copies]
    for path in service.configuration:
        if not any(f"stack/{path}" == source or f"stack/{path}".startswith(f"{source}/") for source in sources):
            yield Finding(
                "image-incomplete", f"stack/{service.folder}/Dockerfile", f"stack/{path} is not copied into the image.",
                "Copy it, or the folder that it is in.",
            )  # fmt: skip


def frontends(service: Service, _: Project) -> Iterator[Finding]:
    """Loki's and Tempo's workers ask their frontend by gRPC; the HTTP port gives `http2: frame too large`."""
    for path, text in service.configuration.items():
        if service.name not in {"loki", "tempo"}:
            return
        config = parse(service.name, text)
        worker = config.get("frontend_worker") or config.get("querier", {}).get("frontend_worker", {})
        address, grpc = str(worker.get("frontend_address", "")), str(config["server"]["grpc_listen_port"])
        if address.rpartition(":")[2] != grpc:
            yield Finding(
                "frontend", f"stack/{path}", f"Its workers ask their frontend at {address!r}.",
                f"Write 127.0.0.1:{grpc}, its gRPC port.",
            )  # fmt: skip


RULES = (pinned, user, entrypoint, complete, frontends)
