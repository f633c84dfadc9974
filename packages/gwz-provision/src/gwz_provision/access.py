"""Where Grafana is and how to log in, read from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Access:
    """The address of a Grafana, with a service account's token or a user and a password."""

    url: str
    auth: str | tuple[str, str] = field(repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read an environment in which `problems` found none."""
        auth = environ.get("GRAFANA_TOKEN") or (environ.get("GRAFANA_USER", ""), environ.get("GRAFANA_PASSWORD", ""))
        return cls(environ["GRAFANA_URL"], auth)


def problems(environ: Mapping[str, str]) -> list[str]:
    """Name all that keeps the environment from describing one access; an empty variable counts as unset."""
    return [*_url_problems(environ.get("GRAFANA_URL", "")), *_login_problems(environ)]


def _url_problems(url: str) -> list[str]:
    if not url:
        return ["GRAFANA_URL is not set: export GRAFANA_URL=https://grafana.example.com"]
    parts = urlsplit(url)
    if parts.username or parts.password:
        return ["GRAFANA_URL contains a user or a password: move them to GRAFANA_USER and GRAFANA_PASSWORD"]
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return [f"GRAFANA_URL is {url!r}, not an http:// or https:// address with a host: correct it"]
    return []


def _login_problems(environ: Mapping[str, str]) -> list[str]:
    pair = [name for name in ("GRAFANA_USER", "GRAFANA_PASSWORD") if environ.get(name)]
    if environ.get("GRAFANA_TOKEN"):
        return (
            [f"GRAFANA_TOKEN is set, and so is {' and '.join(pair)}: unset the one that is not meant"] if pair else []
        )
    if len(pair) == 2:
        return []
    missing = " and ".join(name for name in ("GRAFANA_USER", "GRAFANA_PASSWORD") if name not in pair)
    return [f"neither GRAFANA_TOKEN nor {missing} is set: export a service account's token, or user and password"]
