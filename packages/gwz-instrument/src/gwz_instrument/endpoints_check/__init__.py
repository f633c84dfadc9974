"""`gwz-instrument endpoints`: every JSON endpoint of an instance is called, and its answers are held against what they promise."""

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from gwz_instrument.check import CheckError, WrongArgumentError, address, printable, token_of

if TYPE_CHECKING:
    from .report import Report

BASE_ADDRESS: Final = "an application: give one like http://localhost:8000"
TOKEN_VARIABLE: Final = "GWZ_API_TOKEN"  # noqa: S105  # its name
ADMIN_VARIABLE: Final = "GWZ_ADMIN_TOKEN"
_PEERS: Final = ("pydantic", "fastapi")


def run(arguments: Any) -> int:
    """The command: the report goes to stdout, what kept us from making it to stderr; returns the exit code."""
    try:
        report = _report(arguments)
    except CheckError as error:
        sys.stderr.write(f"gwz-instrument endpoints: {printable(str(error))}\n")
        return error.exit_code
    sys.stdout.write(report.as_json() if arguments.json else report.as_text())
    sys.stdout.flush()
    return report.exit_code


def _report(arguments: Any) -> "Report":
    token = token_of(arguments.token, os.environ, option="--token", variable=TOKEN_VARIABLE)
    admin = token_of(arguments.admin_token, os.environ, option="--admin-token", variable=ADMIN_VARIABLE)
    if arguments.instrumentation and not admin:
        raise WrongArgumentError(
            f"--instrumentation wants the administrator's token, which opens /api/instrumentation: give {ADMIN_VARIABLE} "
            "in the environment, or --admin-token"
        )
    base = address(arguments.base_url, BASE_ADDRESS, TOKEN_VARIABLE)
    try:
        from .cases import Access  # noqa: PLC0415
        from .examine import examine  # noqa: PLC0415  # pydantic, which only the endpoints need
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _PEERS:
            raise
        raise WrongArgumentError(
            f"the answers are held against models of pydantic, and {error.name} is not installed here: "
            "pip install 'gwz-instrument[monitoring]'"
        ) from error
    return examine(base, Access(token, admin), instrumentation=arguments.instrumentation)
