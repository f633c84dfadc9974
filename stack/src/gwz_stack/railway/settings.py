"""What each service's railway.toml, volume, domain and port have to be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gwz_stack.findings import Finding
from gwz_stack.listeners import HTTP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gwz_stack.railway.project import Project, Service

_KEYS = {
    "build": {"builder", "dockerfilePath", "watchPatterns"},
    "deploy": {
        "startCommand", "preDeployCommand", "healthcheckPath", "healthcheckTimeout", "restartPolicyType",
        "restartPolicyMaxRetries", "cronSchedule", "multiRegionConfig", "overlapSeconds", "drainingSeconds",
    },
}  # fmt: skip
_PUBLIC = {"grafana", "gate"}
_ONE_SHOT = "provision"
# What a server needs after SIGTERM to write down what it holds.
_DRAINING_S = {"prometheus": 30, "loki": 30, "tempo": 30}
_HEALTH = {
    "prometheus": "/-/ready",
    "loki": "/ready",
    "tempo": "/ready",
    "grafana": "/api/health",
    "redis-exporter": "/health",
    "gate": "/healthz",
}


def keys(service: Service, _: Project) -> Iterator[Finding]:
    """An unknown key is ignored by Railway without a word."""
    where = f"stack/{service.folder}/railway.toml"
    if not service.toml:
        yield Finding("toml-empty", where, "It says nothing.", "Name builder, Dockerfile and health check.")
    for table, entries in service.toml.items():
        if table == "environments":
            yield Finding(
                "toml-environments", where, "It says something else for one environment, which nothing here looks at.",
                "Take it out, and let a variable differ instead.",
            )  # fmt: skip
            continue
        for key in [table] if table not in _KEYS else sorted(set(entries) - _KEYS[table]):
            yield Finding(
                "toml-key", where, f"Railway knows no `{key}` there.", "Correct the key; its reference lists them."
            )


def build(service: Service, _: Project) -> Iterator[Finding]:
    """Each service is built from its own Dockerfile, and again when one of its files changes."""
    said, where = service.toml.get("build", {}), f"stack/{service.folder}/railway.toml"
    wanted = f"stack/{service.folder}/Dockerfile"
    if (said.get("builder"), said.get("dockerfilePath")) != ("DOCKERFILE", wanted):
        yield Finding(
            "toml-build",
            where,
            f"It does not build {wanted}.",
            f'Set builder = "DOCKERFILE", dockerfilePath = "{wanted}".',
        )
    patterns = said.get("watchPatterns", [])
    for source, _target in service.image.copies:
        if not any(_matches(pattern, f"/{source}") for pattern in patterns):
            yield Finding(
                "toml-watch", where, f"A change of {source} deploys nothing.", f'Add "/{source}" to watchPatterns.'
            )


def health(service: Service, _: Project) -> Iterator[Finding]:
    """The health check asks PORT, which has to be the server's, for the path of its readiness."""
    where = f"stack/{service.folder}/railway.toml"
    if service.name == _ONE_SHOT:
        return
    wanted, said = _HEALTH[service.name], service.deploy.get("healthcheckPath")
    if said != wanted:
        yield Finding(
            "health-path",
            where,
            f"The health check asks {said}, this server answers {wanted}.",
            "Correct healthcheckPath.",
        )
    ports = sorted(listener.port for listener in service.listeners if listener.speaks == HTTP)
    port = service.variables.get("PORT")
    if port not in {str(port) for port in ports}:
        yield Finding(
            "port",
            f"project.toml {service.name}",
            f"PORT is {port}, where Railway asks for its health, but it speaks HTTP on {', '.join(map(str, ports))}.",
            f'Set PORT = "{ports[0] if ports else ""}".',
        )


def listening(service: Service, _: Project) -> Iterator[Finding]:
    """Railway's private network is IPv6, in older environments nothing else."""
    for listener in service.listeners:
        if not listener.everywhere:
            yield Finding(
                "listener",
                f"stack/{service.folder}",
                f"Port {listener.port} listens on {listener.host}, where no other service reaches it over IPv6.",
                "Let it listen on 0.0.0.0, which in Go is both, and nginx on [::] with ipv6only=off.",
            )


def draining(service: Service, _: Project) -> Iterator[Finding]:
    """Without its seconds SIGKILL follows SIGTERM at once."""
    wanted, said = _DRAINING_S.get(service.name, 0), service.deploy.get("drainingSeconds", 0)
    if said < wanted:
        yield Finding(
            "draining",
            f"stack/{service.folder}/railway.toml",
            f"It is killed {said} s after SIGTERM, with what it has not written down.",
            f"Set drainingSeconds = {wanted}.",
        )


def volume(service: Service, _: Project) -> Iterator[Finding]:
    """What a server keeps lies on its volume, which one copy has and root owns."""
    where = f"project.toml {service.name}"
    wanted = next(iter(service.image.folders), None)
    if service.volume != wanted:
        yield Finding(
            "volume",
            where,
            f"Its volume is at {service.volume}, what it keeps at {wanted}: it would be gone with the next deployment.",
            f'Set volume = "{wanted}".',
        )
    if not service.volume:
        return
    if service.variables.get("RAILWAY_RUN_UID") != "0":
        yield Finding(
            "volume-owner",
            where,
            f"The volume belongs to root, the image runs as {service.image.user}, which cannot write it.",
            'Set RAILWAY_RUN_UID = "0".',
        )
    regions = service.deploy.get("multiRegionConfig", {})
    if service.deploy.get("overlapSeconds", 0) or sum(region.get("numReplicas", 1) for region in regions.values()) > 1:
        yield Finding(
            "volume-shared", f"stack/{service.folder}/railway.toml", "Two copies would have one volume.",
            "Set overlapSeconds = 0 and no replicas.",
        )  # fmt: skip


def public(service: Service, _: Project) -> Iterator[Finding]:
    """Only Grafana and the gate ask for a password or a token."""
    wanted = service.name in _PUBLIC
    if service.public != wanted:
        yield Finding(
            "public",
            f"project.toml {service.name}",
            "It has a domain, and asks nobody for a password." if service.public else "It has no domain.",
            "Only Grafana and the gate are public: what writes from outside goes through the gate.",
        )


def one_shot(project: Project) -> Iterator[Finding]:
    """Provisioning runs once, and what it brought is asked afterwards."""
    service = project.services.get(_ONE_SHOT)
    if service is None:
        yield Finding(
            "one-shot", "project.toml", "No service runs `gwz-provision apply`.", "Add the service `provision`."
        )
        return
    where = f"stack/{service.folder}"
    runs = str(service.deploy.get("startCommand") or " ".join(service.image.command))
    if "gwz-provision apply" not in runs:
        yield Finding("one-shot", where, "It does not run `gwz-provision apply`.", "Give it that command.")
    elif not re.search(r"gwz-provision apply.*&&.*gwz-provision doctor", runs):
        yield Finding(
            "doctor", where, "Nothing asks the panels after `apply`.", "Let `&& gwz-provision doctor` follow it."
        )
    if service.deploy.get("restartPolicyType") != "NEVER":
        yield Finding(
            "one-shot", f"{where}/railway.toml", "It would run again and again.", 'Set restartPolicyType = "NEVER".'
        )


def _matches(pattern: str, path: str) -> bool:
    return path == pattern or (pattern.endswith("/**") and f"{path}/".startswith(pattern.removesuffix("**")))


RULES = (keys, build, health, listening, draining, volume, public)
