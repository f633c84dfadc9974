"""One class per situation that ends a command, each with its exit code."""
# ruff: noqa: N818 - ProvisionError is the suffix they share; each name says its situation

from collections.abc import Sequence
from typing import ClassVar

EXIT_OK = 0
EXIT_FINDINGS = 8


class ProvisionError(Exception):
    """Something went wrong: `cause` says what with the value that caused it, `cure` what to do."""

    exit_code: ClassVar[int] = 1

    def __init__(self, cause: str, cure: str) -> None:
        """Keep both sentences apart, so that a check can report them in two fields."""
        super().__init__(f"{cause}\n  {cure}")
        self.cause = cause
        self.cure = cure


class Misconfigured(ProvisionError):
    """The environment, an option or the bundle cannot be used; nothing was sent to Grafana."""

    exit_code = 2

    def __init__(self, problems: Sequence[str], cure: str) -> None:
        """List all problems at once: nobody wants to meet them one by one."""
        super().__init__("\n".join(problems), cure)
        self.problems = tuple(problems)


class Unreachable(ProvisionError):
    """Grafana did not answer, or what answered is not Grafana."""

    exit_code = 6


class NotAllowed(ProvisionError):
    """Grafana refused the credentials."""

    exit_code = 3


class Forbidden(NotAllowed):
    """Grafana knows who asks, and does not let them."""


class Refused(ProvisionError):
    """Grafana answered a call with an error."""


class NotFound(Refused):
    """Grafana does not know the uid."""


class Conflict(Refused):
    """Something else in Grafana stands where ours should be."""


class QueryFailed(ProvisionError):
    """A query was answered with an error, or could not be asked."""


class NoData(ProvisionError):
    """A query was answered, and the answer is empty."""
