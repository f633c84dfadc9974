"""How every command gets to Grafana: nothing is asked before all that is wrong with the environment has been told."""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gwz_provision import access, normalise
from gwz_provision.console import Console
from gwz_provision.environment import Environment
from gwz_provision.errors import Misconfigured

_LONGEST_SECONDS = 86_400
# Not all of them are ours to send; each of them may come back in the words of a server.
_SECRETS = re.compile(r"(GWZ_\w*(?:TOKEN|PASSWORD|SECRET|KEY)|GWZ_ALERT_(?:WEBHOOK|SLACK)_URL)(?:_FILE)?")

if TYPE_CHECKING:  # its HTTP stack takes 0.3 s to import
    from gwz_provision.grafana import Grafana


def seconds(text: str) -> float:
    """Read an option's time, such as 120s, in seconds; raises `ArgumentTypeError` for what is none, or is more than a day."""
    try:
        found = normalise.milliseconds(text) / 1000
    except (ValueError, OverflowError):
        found = -1
    if not 0 <= found <= _LONGEST_SECONDS:
        shown = repr(text if len(text) <= 20 else f"{text[:20]}…")
        raise argparse.ArgumentTypeError(f"{shown} is not a time such as 60s or 2m, and at most 1d")
    return found


def require(problems: list[str]) -> None:
    """Raise `Misconfigured` if there are any."""
    if problems:
        raise Misconfigured(problems, "`gwz-provision --help` lists the variables.")


@contextmanager
def connected(options: argparse.Namespace, environ: Environment) -> "Iterator[Grafana]":
    """Log in as the environment says; what is secret in it is hidden in all output from now on."""
    from gwz_provision.grafana import Grafana  # noqa: PLC0415 - as above

    console: Console = options.console
    found = access.Access.from_environment(environ)
    console.redactor.learn([*found.secrets, *_known_secrets(environ)])
    for warning in found.warnings:
        console.say(f"warning: {warning}")
    with Grafana(found, trace=console.say if options.debug else None) as grafana:
        yield grafana


def _known_secrets(environ: Environment) -> list[str]:
    names = {known[1] for name in environ if (known := _SECRETS.fullmatch(name))}
    return [value for name in sorted(names) if (value := _readable(environ, name))]


def _readable(environ: Environment, name: str) -> str:
    """Return a value that may be somebody else's, and whose faults are no fault then."""
    try:
        return environ.get(name, "")
    except Misconfigured:
        return ""
