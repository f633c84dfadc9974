"""The commands: they read the environment, call the quiet core, and print what it tells."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from gwz_provision import commands
from gwz_provision.check.command import add_validate
from gwz_provision.console import Console
from gwz_provision.doctor.command import add_doctor, add_rules
from gwz_provision.errors import EXIT_CANCELLED, ProvisionError
from gwz_provision.redaction import Redactor

_EPILOG = """environment:
  GRAFANA_URL                          where Grafana is
  GRAFANA_TOKEN                        a service account's token (Admin to apply, Viewer for doctor), or
  GRAFANA_USER, GRAFANA_PASSWORD       a user
  GRAFANA_ORG_ID                       the organisation in which a user works
  GRAFANA_CA_CERT                      who has signed Grafana's certificate: a PEM file, or its text
  GRAFANA_TLS_CERT, GRAFANA_TLS_KEY    a certificate of ours for Grafana, and its key: the same
  GRAFANA_INSECURE_SKIP_VERIFY         true takes any certificate
  PROMETHEUS_INTERNAL_URL, LOKI_URL,   where Grafana finds its data sources (plan, apply)
  TEMPO_INTERNAL_URL, GWZ_API_URL, GWZ_API_TOKEN
  PROMETHEUS_TENANT, LOKI_TENANT, TEMPO_TENANT
                                       sent to those servers as X-Scope-OrgID, if set
  GWZ_ALERT_WEBHOOK_URL, GWZ_ALERT_SLACK_URL, GWZ_ALERT_EMAIL, GWZ_ALERT_PAGERDUTY_KEY
                                       where alerts go; each receiver is there if its variable is set
  GWZ_RUNBOOKS_URL                     where the pages are that alerts lead to (default: the project's, on GitHub)
  NAME_FILE                            a file that holds the value of NAME, for each of them

exit codes:
  0 done, or no changes    1 failure               2 wrong use             3 login or permission
  4 done in part           5 interrupted           6 no Grafana, or one of an unknown version
  7 changes (plan --detailed-exitcode)             8 findings              9 the plan is stale
  141 who reads the results has gone, as in `| head`
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(argv)
    options.console = console = Console(Redactor())
    try:
        code = int(options.run(options, os.environ))
    except ProvisionError as error:
        console.say(f"gwz-provision: {error}")
        code = error.exit_code
    except KeyboardInterrupt:
        console.say("gwz-provision: interrupted.")
        code = EXIT_CANCELLED
    return console.ended(code)


def parser() -> argparse.ArgumentParser:
    """Describe the command line: each sub-command is registered by one function."""
    whole = argparse.ArgumentParser(
        prog="gwz-provision",
        description="Makes a Grafana exactly what the bundle says, and finds out why a panel is empty.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = whole.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--bundle", type=Path, metavar="DIR", help="a generated bundle (default: the shipped one)")
    shared.add_argument("--output", choices=("text", "json"), default="text", help="default: text")
    add_validate(subparsers)
    commands.add_plan(subparsers, shared)
    commands.add_apply(subparsers, shared)
    commands.add_status(subparsers, shared)
    commands.add_destroy(subparsers)
    commands.add_export(subparsers, shared)
    add_doctor(subparsers, shared)
    add_rules(subparsers)
    return whole
