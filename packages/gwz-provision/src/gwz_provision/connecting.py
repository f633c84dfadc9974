"""How every command gets to Grafana: nothing is asked before all that is wrong with the environment has been told."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gwz_provision import access
from gwz_provision.console import Console
from gwz_provision.environment import Environment
from gwz_provision.errors import Misconfigured

if TYPE_CHECKING:  # its HTTP stack takes 0.3 s to import
    from gwz_provision.grafana import Grafana


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
    console.redactor.learn(found.secrets)
    for warning in found.warnings:
        console.say(f"warning: {warning}")
    with Grafana(found, trace=console.say if options.debug else None) as grafana:
        yield grafana
