"""What is generated from this package: the reference page of the stack, and stack/.env.example."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gwz_stack.railway.project import load
from gwz_stack.variables import VARIABLES, env_example
from gwz_stack.versions import STACK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from gwz_stack.railway.project import Project, Service

_INTRODUCTION = """\
<!-- Written by `nox -s generate` from gwz_stack.variables and the folders of stack/: change those, never this file. -->

# The stack

One image for each service, built from `stack/<service>/Dockerfile` with the repository's root as its context, the same for Docker Compose and for Railway.
Its entrypoint, `stack/entrypoint.sh`, puts the variables into the configuration and becomes the server.
A variable that is not set or mis-expanded, a host without an address and a folder that belongs to somebody else end the start with one sentence that names it, and exit code 78.
[Which host has to have an address](../decisions/0015-one-entrypoint.md#which-host-has-to-be-there), and which may come later.

`nox -s audit` proves who may do what, `nox -s railway -- verify` checks the deployment.
`nox -s bump -- SERVER VERSION` moves a server: pin, image, Go module where it is built from one, and this page.
It refuses a version that its publisher or Go's proxy does not have, and ends green only if the server of that version takes the configuration.

## Services

Only Grafana and the gate are public: everything else is reached over the private network alone, and asks nobody for anything.
"""
_VARIABLES = """\

## Variables

Where a variable goes into a configuration file, `NAME_FILE` may name a file that holds the value instead.
*required* means that the service does not start without it; secrets have at least 16 characters.
On a laptop `nox -s env` draws the secrets into `stack/.env`, and `stack/compose.yaml` sets the rest; `stack/.env.example` lists what may be set there.

"""
_RAILWAY = """\

## On Railway

Each service has the repository as its source, no root directory, and the config file below.
Its variables go into the raw editor as they are; the shared ones are drawn once for each environment (`openssl rand -hex 24`).
The names of the services are those of the references: another name, and they come to nothing.

Shared variables: {}.
"""


def rendered() -> dict[Path, str]:
    """Return the text of each generated file."""
    return {STACK.parent / "docs" / "reference" / "stack.md": page(), STACK / ".env.example": env_example()}


def page() -> str:
    """Return the reference page."""
    project = load(STACK)
    return "".join(
        (
            _INTRODUCTION,
            "\n",
            *_table(("service", "image", "user", "listens on", "keeps its data in"), _services(project)),
            _VARIABLES,
            *_table(("variable", "service", "default", "meaning"), _rows()),
            _RAILWAY.format(", ".join(f"`{name}`" for name in project.shared)),
            *(_on_railway(service) for service in project.services.values()),
        )
    )


def _services(project: Project) -> Iterable[Sequence[str]]:
    for service in project.services.values():
        ports = ", ".join(f"{listener.port} ({listener.speaks})" for listener in service.listeners)
        folders = ", ".join(f"`{folder}`" for folder in service.image.folders)
        name = f"{service.name}, public" if service.public else service.name
        yield name, f"`{service.image.base}`", f"`{service.image.user}`", ports or "-", folders or "-"


def _rows() -> Iterable[Sequence[str]]:
    for variable in VARIABLES:
        default = "*required*" if variable.required else f"`{variable.default}`" if variable.default else "-"
        yield f"`{variable.name}`", ", ".join(variable.services), default, variable.meaning


def _on_railway(service: Service) -> str:
    facts: Mapping[str, str | None] = {
        "config file": f"`/stack/{service.folder}/railway.toml`",
        "volume": f"mounted at `{service.volume}`" if service.volume else None,
        "public domain": f"to port {service.variables['PORT']}" if service.public else None,
    }
    listed = "".join(f"- {name}: {fact}\n" for name, fact in facts.items() if fact)
    variables = "".join(f"{name}={value}\n" for name, value in service.variables.items())
    return f"\n### {service.name}\n\n{listed}\n```ini\n{variables}```\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |\n"
