"""Lets each server check the configuration that it would start with: promtool, `-verify-config`, `nginx -t`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gwz_stack.command import run
from gwz_stack.dockerfile import read
from gwz_stack.errors import ServerUnavailable, StackError
from gwz_stack.findings import Finding
from gwz_stack.layout import ENTRYPOINT
from gwz_stack.variables import samples
from gwz_stack.versions import STACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from gwz_stack.find import Found

# The tool that checks, and how it is asked; {} is the file.
CHECKS: Mapping[str, tuple[str, Sequence[str]]] = {
    "prometheus": ("promtool", ("check", "config", "{}")),
    "loki": ("loki", ("-verify-config", "-config.file={}")),
    "tempo": ("tempo", ("-config.verify=true", "-config.file={}")),
    "gate": ("nginx", ("-t", "-q", "-e", "stderr", "-c", "{}")),
}


def expand(template: Path, variables: Mapping[str, str], folder: Path) -> Path:
    """Let the entrypoint put variables into a file below `folder`, and return the file that the server would read."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "GWZ_RENDERED": str(folder), **variables}
    result = run(["/bin/sh", str(ENTRYPOINT), str(template), "--", "true"], env=environment)
    if result.exit_code:
        raise StackError(
            f"{template} cannot be filled in.", cause=result.output.strip(), cure="`nox -s env` writes what is missing."
        )
    return folder / template.name


def check(server: str, found: Found, folder: Path, *, stack: Path = STACK) -> list[Finding]:
    """Return what the tool of a server, which was found, finds wrong in its shipped configuration.

    Raises ServerUnavailable where it does not run.
    """
    tool, arguments = CHECKS[server]
    template = next(_templates(server, stack))
    rendered = expand(template, samples(server) | {"GATE_RUN": str(folder)}, folder)
    if server == "prometheus":
        # Where the image has them, the rules are the image's.
        text = rendered.read_text(encoding="utf-8")
        rendered.write_text(
            text.replace("/etc/prometheus/rules", str(stack / "prometheus" / "rules")), encoding="utf-8"
        )
    try:
        result = run([str(found.path), *(argument.format(rendered) for argument in arguments)])
    except OSError as error:
        raise ServerUnavailable(
            tool, reason=str(error), cure=f"`python -m gwz_stack find {tool}` says more."
        ) from error
    if not result.exit_code:
        return []
    said = " ".join(result.output.split())[-600:]
    return [
        Finding("config", str(template.relative_to(stack.parent)), f"{tool} refuses it: {said}", "Correct the file.")
    ]


def _templates(server: str, stack: Path) -> Iterator[Path]:
    image = read(stack / server / "Dockerfile")
    return (stack.parent / source for source, target in image.copies if target in image.templates)
