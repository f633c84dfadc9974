"""What the doctor is asked: for which range, with which values, in which time."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from gwz_provision.bundle import Bundle
from gwz_provision.errors import Misconfigured
from gwz_provision.queries import period
from gwz_provision.variables import Choice, variables

DEADLINE_SECONDS = 60.0
# As many points as a wide panel asks for; a range of twelve hours then has a step of a minute.
_POINTS = 720
_SHORTEST_STEP_MS = 15_000


@dataclass(frozen=True)
class Question:
    """The range that every query is asked for, the panels' own when there is none, and the variables' values that somebody chose."""

    since: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    seconds: float = DEADLINE_SECONDS

    def check(self, bundle: Bundle) -> None:
        """Raise `Misconfigured` for a range that cannot be read, or a value of a variable that no dashboard has."""
        if self.since is not None:
            period(self.since)
        known = sorted({variable.name for dashboard in bundle.dashboards for variable in variables(dashboard)})
        if unknown := [name for name in self.values if name not in known]:
            raise Misconfigured(
                [f"--var {name}: no dashboard has a variable of that name" for name in unknown],
                f"The dashboards' variables are: {', '.join(known) or 'none'}.",
            )


def seconds_of(since: str) -> int:
    """Return how long a range is."""
    return int(period(since).total_seconds())


def edges(since: str) -> dict[str, int]:
    """Return a range's edges in seconds since the epoch; it ends now."""
    now = int(time.time())
    return {"start": now - seconds_of(since), "end": now}


def builtins(since: str) -> dict[str, Choice]:
    """Return the variables of the browser that say where the range begins and ends."""
    found = edges(since)
    return {"__from": Choice((f"{found['start']}000",)), "__to": Choice((f"{found['end']}000",))}


def resolution(since: str) -> dict[str, int]:
    """Return the step and the points that a browser would ask a range with."""
    return {"intervalMs": max(_SHORTEST_STEP_MS, 1000 * seconds_of(since) // _POINTS), "maxDataPoints": _POINTS}
