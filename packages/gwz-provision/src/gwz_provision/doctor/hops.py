"""Which hop an error broke."""

from gwz_provision.bundle import Json
from gwz_provision.doctor import sources
from gwz_provision.errors import (
    Forbidden,
    ForeignServer,
    OutOfTime,
    ProvisionError,
    Unanswered,
    Unauthorized,
    Unreachable,
)
from gwz_provision.report import Hop

VIEWER = "Give the service account the role Viewer, or a higher one."


def hop_of(error: ProvisionError, kind: str, subject: str, live: Json | None = None) -> Hop:  # noqa: PLR0911 - one return for each hop
    """Make an error the hop that it broke: the time, Grafana, the login, the data source that was asked, else that of its place."""
    match error:
        case OutOfTime():
            cure = "Give it more time (--deadline), or look what is slow: --debug tells."
            return Hop("deadline", "", error.cause, cure)
        case Unanswered() if live:
            cause = f"Data source {live['uid']} does not answer: {error.cause}"
            return Hop("health", live["uid"], cause, "Look whether its server is overloaded, and into its log.")
        case ForeignServer() if live:
            return Hop("health", live["uid"], error.cause, error.cure)
        case Unauthorized():
            return Hop("login", "", error.cause, error.cure)
        case Forbidden():
            return Hop("permission", "", error.cause, VIEWER)
        case Unreachable():
            return Hop("grafana", "", error.cause, error.cure)
    found = sources.unreachable(live, error.cause) if live else None
    return found or Hop(kind, subject, error.cause, error.cure)


def subject_of(id_: str) -> str:
    """Return what a check is about, without its kind."""
    return id_.partition(":")[2]
