"""What each service's variables have to be, and whom they may name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gwz_stack.findings import Finding
from gwz_stack.listeners import HTTP, OTLP_GRPC, OTLP_HTTP
from gwz_stack.variables import declared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gwz_stack.railway.project import Project, Service

_REFERENCE = re.compile(r"\$\{\{\s*(?:([\w-]+)\.)?(\w+)\s*\}\}")
_HOST_AND_PORT = re.compile(r"^(?:\w+://)?\$\{\{\s*([\w-]+)\.RAILWAY_PRIVATE_DOMAIN\s*\}\}(?::(\d+))?(?:/|$)")
_OF_RAILWAY = {"RAILWAY_PRIVATE_DOMAIN", "RAILWAY_PUBLIC_DOMAIN", "RAILWAY_ENVIRONMENT_NAME", "RAILWAY_SERVICE_NAME"}
_SET_FOR_RAILWAY = {"PORT", "RAILWAY_RUN_UID", "RAILWAY_HEALTHCHECK_TIMEOUT_SEC"}
_ADDRESSES = ("_TARGET", "_URL", "_ADDR")
# Spans have ports of their own; everything else asks a server's HTTP port.
_SPEAKS = {"GATE_OTLP_GRPC_TARGET": OTLP_GRPC, "GATE_OTLP_HTTP_TARGET": OTLP_HTTP}


def names(service: Service, project: Project) -> Iterator[Finding]:
    """Every variable is one that the service takes, and each that it does not start without is there."""
    where, known = f"project.toml {service.name}", declared(service.folder)
    for name in sorted(set(service.variables) - set(known) - _SET_FOR_RAILWAY):
        if name.startswith("OTEL_"):
            yield Finding(
                "self-tracing", where, f"With {name} the server sends traces of its own into the stack.", "Take it out."
            )
        else:
            yield Finding("variable-unknown", where, f"It takes no {name}.", f"It takes {', '.join(sorted(known))}.")
    for name, variable in known.items():
        if name in service.variables:
            continue
        if variable.required:
            yield Finding(
                "variable-missing", where, f"It does not start without {name}.", f"Set it: {variable.meaning}"
            )
        elif name.endswith(_ADDRESSES) and _is_private(str(variable.default), project):
            yield Finding(
                "private-name",
                where,
                f"Without {name} it asks {variable.default}, a name that only Docker Compose has.",
                "Set it by a reference to RAILWAY_PRIVATE_DOMAIN.",
            )


def secrets(service: Service, _: Project) -> Iterator[Finding]:
    """A secret is a shared variable's, and written nowhere."""
    known = declared(service.folder)
    for name, value in service.variables.items():
        if name in known and known[name].secret and not _REFERENCE.fullmatch(value):
            yield Finding(
                "secret",
                f"project.toml {service.name}",
                f"{name} is written in the repository.",
                f"Draw another one, as a shared variable, and set {name} to ${{{{shared.{name}}}}}.",
            )


def references(service: Service, project: Project) -> Iterator[Finding]:
    """A reference that names nothing comes to nothing, without a word from Railway."""
    where = f"project.toml {service.name}"
    for name, value in service.variables.items():
        for owner, referred in _REFERENCE.findall(value):
            if not _exists(owner, referred, service, project):
                yield Finding(
                    "reference", where, f"{name} refers to {owner or 'itself'}'s {referred}, which is not there.",
                    f"Services are {', '.join(project.services)}; shared are {', '.join(project.shared)}.",
                )  # fmt: skip
        if re.search(r"\$(?!\{\{)|\$\{\{[^}]*(?:$|\}(?!\}))", value):
            yield Finding(
                "expansion", where, f"{name} is {value!r}: Railway knows only ${{{{service.NAME}}}}.",
                "Write the reference in that form, without a default.",
            )  # fmt: skip


def addresses(service: Service, project: Project) -> Iterator[Finding]:
    """Services find one another by private names, in plain HTTP, on a port that is listened on."""
    where = f"project.toml {service.name}"
    for name, value in service.variables.items():
        if not name.endswith(_ADDRESSES):
            continue
        if found := _HOST_AND_PORT.match(value):
            yield from _port(where, name, found[1], found[2], project)
        elif _is_private(value, project):
            yield Finding(
                "private-name", where, f"{name} is {value}: such a name does not resolve on Railway.",
                "Write ${{service.RAILWAY_PRIVATE_DOMAIN}} for the host.",
            )  # fmt: skip
        if name.endswith("_TARGET") and "://" in value:
            yield Finding("scheme", where, f"{name} is {value}: a target has no scheme.", "Write host:port alone.")
        if value.startswith("https://") and "RAILWAY_PRIVATE_DOMAIN" in value:
            yield Finding("scheme", where, f"{name} is {value}: inside, nobody speaks HTTPS.", "Write http://.")
        if ".up.railway.app" in value or (
            "RAILWAY_PUBLIC_DOMAIN" in value and not value.startswith("https://${{RAILWAY_")
        ):
            yield Finding(
                "public-name", where, f"{name} is {value}: the public domain has port 443 only, and costs egress.",
                "Write ${{service.RAILWAY_PRIVATE_DOMAIN}} and the server's own port.",
            )  # fmt: skip


def _port(where: str, name: str, owner: str, port: str | None, project: Project) -> Iterator[Finding]:
    target = project.services.get(owner)
    if target is None:
        return
    wants = _SPEAKS.get(name, HTTP)
    ports = sorted(listener.port for listener in target.listeners if listener.speaks == wants)
    if port is None or int(port) not in ports:
        yield Finding(
            "port",
            where,
            f"{name} asks {owner} on port {port}, which speaks {wants} on {', '.join(map(str, ports)) or 'none'}.",
            "Write one of these: a wrong one answers 404, or `frame too large`.",
        )


def _exists(owner: str, name: str, service: Service, project: Project) -> bool:
    if owner == "shared":
        return name in project.shared
    target = project.services.get(owner) if owner else service
    if target is None:
        return False
    return name in target.variables or (name in _OF_RAILWAY and (name != "RAILWAY_PUBLIC_DOMAIN" or target.public))


def _is_private(value: str, project: Project) -> bool:
    """Whether the host is a bare name, or a private one written by hand."""
    host = re.sub(r"^\w+://", "", value).split("/")[0].rpartition(":")[0].rpartition("@")[2]
    folders = {service.folder for service in project.services.values()}
    return host in folders | set(project.services) | {"localhost", "127.0.0.1"} or host.endswith(".railway.internal")


RULES = (names, secrets, references, addresses)
