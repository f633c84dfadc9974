"""Finds a usable binary of each server: environment, PATH, cache, release archive, Go module, distribution."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gwz_stack import archive, gobuild, package
from gwz_stack.cache import Cache
from gwz_stack.errors import ChecksumMismatch, ServerUnavailable, StackError, VersionRefused
from gwz_stack.miss import Miss
from gwz_stack.versions import pin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gwz_stack.versions import Pin

_VERSION = re.compile(r"(?<![\w.])v?(\d+\.\d+\.\d+(?:-[a-z]+[\w.]*)?)")
_PLUGIN = "yesoreyeram-infinity-datasource"


@dataclass(frozen=True)
class Found:
    """A usable binary, and where it came from; for `infinity` the path is a folder of Grafana's plugins."""

    server: str
    version: str
    pinned: str
    source: str
    path: Path

    def __str__(self) -> str:
        note = "" if self.version == self.pinned else f" (pinned {self.pinned})"
        return f"{self.server} {self.version}{note}"


def find(
    server: str, *, here: bool = False, exact: bool = False, progress: Callable[[str], None] = lambda _line: None
) -> Found:
    """Return the first usable binary of a server; where that is asked, only one that is `here` already, or `exact`ly as pinned.

    Raises VersionRefused when GWZ_<SERVER>_BIN names another version, ServerUnavailable with every source's reason when
    none has it, ChecksumMismatch when a download is not what it should be.
    """
    wanted = replace(pin(server), accepted=()) if exact else pin(server)
    variable = _variable(server)
    if chosen := os.environ.get(variable):
        return _chosen(wanted, Path(chosen).expanduser().absolute(), variable)
    reasons: list[str] = []
    for source, look in _sources(wanted, Cache.from_environment(), progress, here=here):
        try:
            return _accepted(wanted, look(), source)
        except Miss as miss:
            reasons.append(f"{source}: {miss}")
        except ChecksumMismatch:
            raise
        except StackError as error:  # a cache that cannot be written, for one: another source may do without it
            reasons.append(f"{source}: {error}")
    raise ServerUnavailable(server, reason=f"Tried {'; '.join(reasons)}.", cure=_cure(wanted, variable))


def _variable(server: str) -> str:
    return "GWZ_GRAFANA_PLUGINS" if server == "infinity" else f"GWZ_{server.upper()}_BIN"


def _chosen(wanted: Pin, path: Path, variable: str) -> Found:
    try:
        version = _version(wanted, path)
    except Miss as miss:
        raise ServerUnavailable(
            wanted.name, reason=f"{variable} names {path}, but {miss}.", cure=f"Correct or unset {variable}."
        ) from miss
    if version not in wanted.usable:
        raise VersionRefused(wanted.name, version=version, place=str(path), usable=wanted.usable)
    return Found(wanted.name, version, wanted.pinned, variable, path)


def _accepted(wanted: Pin, path: Path, source: str) -> Found:
    version = _version(wanted, path)
    if version not in wanted.usable:
        raise Miss(f"{path} is {version}, usable are {', '.join(wanted.usable)}")
    return Found(wanted.name, version, wanted.pinned, source, path)


def _sources(
    wanted: Pin, cache: Cache, progress: Callable[[str], None], *, here: bool
) -> Iterator[tuple[str, Callable[[], Path]]]:
    release, module = wanted.archive, wanted.go
    if wanted.name != "infinity":
        yield "PATH", lambda: _on_path(wanted)
    if release:
        yield "release archive (cached)", lambda: _cached(archive.cached(release, cache))
    if module:
        yield "Go module (cached)", lambda: _cached(gobuild.cached(wanted.name, module, cache))
    if here:
        return
    if release:
        yield "release archive", lambda: archive.download(release, cache, progress)
    if module:
        yield "Go module", lambda: gobuild.build(wanted.name, module, cache, progress)
    if wanted.package:
        yield "distribution", lambda: package.install(wanted, cache, progress)


def _on_path(wanted: Pin) -> Path:
    for binary in wanted.binaries:
        if path := shutil.which(binary):
            return Path(path).absolute()
    raise Miss(f"no {' or '.join(wanted.binaries)}")


def _cached(path: Path | None) -> Path:
    if path is None:
        raise Miss("not there yet")
    return path


def _version(wanted: Pin, path: Path) -> str:
    return _plugin_version(path) if wanted.name == "infinity" else binary_version(path, wanted.asks)


def binary_version(path: Path, asks: str = "--version") -> str:
    """Ask a binary for its version; raises Miss when it cannot say."""
    try:
        answer = subprocess.run(
            [path, asks], capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Miss(f"{path} does not run ({error})") from error
    said = answer.stdout + answer.stderr
    if match := _VERSION.search(said):
        return match[1]
    raise Miss(f"{path} {asks} names no version ({said.strip()[:100]!r})")


def _plugin_version(folder: Path) -> str:
    for description in (*folder.glob("*/plugin.json"), *folder.glob("*/dist/plugin.json")):
        content = json.loads(description.read_text(encoding="utf-8"))
        if content.get("id") == _PLUGIN:
            return str(content["info"]["version"])
    raise Miss(f"{folder} holds no folder of the plugin {_PLUGIN}")


def _cure(wanted: Pin, variable: str) -> str:
    what = f"a folder of plugins that holds {_PLUGIN}" if wanted.name == "infinity" else "a binary of version"
    cures = [f"Set {variable} to {what} {' or '.join(wanted.usable)}"]
    if wanted.archive:
        cures.append(f"let this machine reach {urlsplit(wanted.archive.url).netloc}")
    if wanted.package:
        cures.append(f"install the package {wanted.package}")
    if wanted.go:
        cures.append("install Go 1.24 or later, which builds it")
    return ", or ".join(cures) + "."
