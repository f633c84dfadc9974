"""The configuration that the servers run with: the shipped file, with declared places replaced and declared overrides applied."""

from __future__ import annotations

import configparser
import copy
import io
import tomllib
from typing import TYPE_CHECKING, Any

import yaml

from gwz_stack.versions import STACK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Config = dict[str, Any]

_ABSENT = object()

FILES = {
    "prometheus": STACK / "prometheus" / "prometheus.yml",
    "loki": STACK / "loki" / "loki.yml",
    "tempo": STACK / "tempo" / "tempo.yml",
    "grafana": STACK / "grafana" / "grafana.ini",
}


def shipped(server: str) -> Config:
    """Return the configuration in the repository, parsed."""
    return parse(server, FILES[server].read_text(encoding="utf-8"))


def parse(server: str, text: str) -> Config:
    """Parse the text of a server's configuration file."""
    if server == "grafana":
        ini = _ini()
        ini.read_string(text)
        return {section: dict(ini[section]) for section in ini.sections()}
    config: Config = yaml.safe_load(text)
    return config


def dump(server: str, config: Config) -> str:
    """Return the text of a configuration file."""
    if server == "grafana":
        ini = _ini()
        ini.read_dict(config)
        text = io.StringIO()
        ini.write(text)
        return text.getvalue()
    return yaml.safe_dump(config, sort_keys=False)


def render(
    server: str, config: Config, *, places: Mapping[str, object], overrides: Mapping[str, object] | None = None
) -> Config:
    """Return a copy with each place replaced and each override set.

    A place must exist already (KeyError otherwise): it says where the same thing lies on another machine. An override may add.
    """
    rendered = copy.deepcopy(config)
    for path, value in places.items():
        if get(server, rendered, path) is None:
            raise KeyError(f"{FILES[server]} has no {path}: its place in gwz_stack.layout is out of date")
        put(server, rendered, path, value)
    for path, value in (overrides or {}).items():
        put(server, rendered, path, value)
    return rendered


def e2e_overrides(server: str) -> dict[str, object]:
    """Return what e2e.toml changes of a server's configuration, by dotted path."""
    declared: dict[str, dict[str, object]] = tomllib.loads((STACK / "e2e.toml").read_text(encoding="utf-8"))
    return declared.get(server, {})


def differences() -> list[str]:
    """Return a printable line for each setting in which the end-to-end run differs from the shipped configuration."""
    lines = []
    for server in FILES:
        config = shipped(server)
        for path, value in e2e_overrides(server).items():
            before = get(server, config, path)
            lines.append(f"{server} {path}: {'default' if before is None else before} → {value}")
    return lines


def changed_paths(server: str, before: Config, after: Config) -> set[str]:
    """Return the dotted paths at which two configurations differ."""
    one, other = _leaves(server, before), _leaves(server, after)
    return {path for path in one.keys() | other.keys() if one.get(path, _ABSENT) != other.get(path, _ABSENT)}


def write(server: str, config: Config, path: Path) -> None:
    """Write a configuration file, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(server, config), encoding="utf-8")


def get(server: str, config: Config, path: str) -> Any:
    """Return the value at a dotted path, None where there is none."""
    node: Any = config
    for part in _parts(server, path):
        try:
            node = node[_key(node, part)]
        except (LookupError, TypeError, ValueError):
            return None
    return node


def put(server: str, config: Config, path: str, value: object) -> None:
    """Set the value at a dotted path, creating tables on the way."""
    node: Any = config
    *way, last = _parts(server, path)
    for part in way:
        node = node.setdefault(part, {}) if isinstance(node, dict) else node[_key(node, part)]
    node[_key(node, last)] = value


def _parts(server: str, path: str) -> Sequence[str]:
    # Grafana's section names hold dots themselves ("auth.anonymous").
    return path.rsplit(".", 1) if server == "grafana" else path.split(".")


def _key(node: Any, part: str) -> str | int:
    """Return the key of a table, or the index of a list's element given by number or by its job_name."""
    if not isinstance(node, list):
        return part
    if part.isdigit():
        return int(part)
    return [element.get("job_name") for element in node].index(part)


def _leaves(server: str, node: Any, prefix: str = "") -> dict[str, object]:
    if isinstance(node, dict):
        children = {str(key): value for key, value in node.items()}
    elif isinstance(node, list) and any(isinstance(element, dict | list) for element in node):
        children = {str(element.get("job_name", index)): element for index, element in enumerate(node)}
    else:
        return {prefix: node}
    leaves: dict[str, object] = {}
    for key, value in children.items():
        leaves |= _leaves(server, value, f"{prefix}.{key}" if prefix else key)
    return leaves


def _ini() -> configparser.ConfigParser:
    ini = configparser.ConfigParser(interpolation=None, comment_prefixes=("#", ";"))
    ini.optionxform = str  # type: ignore[assignment,method-assign]  # keep the case of keys
    return ini
