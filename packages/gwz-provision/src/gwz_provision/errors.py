"""One class per situation that ends a command, each with its exit code."""
# ruff: noqa: N818 - ProvisionError is the suffix they share; each name says its situation

from collections.abc import Sequence
from typing import ClassVar

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_PARTIAL = 4
EXIT_CANCELLED = 5
EXIT_CHANGES = 7
EXIT_FINDINGS = 8
EXIT_UNREAD = 141
"""What a shell reports of a program that writes on after its reader has gone, as in `| head`."""


class ProvisionError(Exception):
    """Something went wrong: `cause` says what with the value that caused it, `cure` what to do."""

    exit_code: ClassVar[int] = 1

    def __init__(self, cause: str, cure: str) -> None:
        """Keep both sentences apart, so that a check can report them in two fields."""
        super().__init__(f"{cause}\n  {cure}")
        self.cause = cause
        self.cure = cure


class Interrupted(ProvisionError):
    """Somebody ended the command before it wrote anything."""

    exit_code = EXIT_CANCELLED


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


class Redirected(Unreachable):
    """The address answers with a redirect, which is never followed: a POST would become a GET, token included."""


class Distrusted(Unreachable):
    """One side does not accept the other's certificate: waiting changes nothing."""


class NotGrafana(Unreachable):
    """What answered is a login page or a proxy, not Grafana's API."""


class UnsupportedVersion(Unreachable):
    """This Grafana is older or newer than those that the reconciler knows."""


class Unclear(ProvisionError):
    """A write may or may not have been stored: the answer was lost or was an error of the server."""

    exit_code = 6


class NotAllowed(ProvisionError):
    """Grafana refused the credentials."""

    exit_code = 3


class Unauthorized(NotAllowed):
    """Grafana does not know who asks."""


class Forbidden(NotAllowed):
    """Grafana knows who asks, and does not let them."""


class Refused(ProvisionError):
    """Grafana answered a call with an error."""


class ServerFault(Refused):
    """Grafana failed at a call, and says so: the next try may succeed, as when its database is locked."""


class NotFound(Refused):
    """Grafana does not know the uid."""


class ForeignServer(ProvisionError):
    """What answers behind a data source is no server of its type."""


class Conflict(Refused):
    """Something else in Grafana stands where ours should be."""


class PreconditionFailed(Conflict):
    """Somebody saved the object after it was read."""


class ReadOnly(Refused):
    """Grafana reads the object from a file, so that no call may change it."""


class Blocked(ProvisionError):
    """The plan holds what must not be done; nothing was written."""


class Braked(ProvisionError):
    """More would be deleted than anybody deletes by the way; nothing was written."""


class Unfaithful(ProvisionError):
    """Grafana accepted the writes, and what it shows afterwards is not the plan."""


class Stale(ProvisionError):
    """Grafana or the bundle has moved since the plan was made; nothing was written."""

    exit_code = 9


class Unanswered(Unreachable):
    """Grafana took a question and did not answer it in time."""


class OutOfTime(ProvisionError):
    """The time that was given for all calls together is over."""


class QueryFailed(ProvisionError):
    """A query was answered with an error, or could not be asked."""
