"""What is judged a failure, and by what name a health is called."""

from typing import Final

from gwz_instrument import outcomes
from gwz_instrument.health import scores

from . import models

FAILURE_STATUSES: Final = scores.FAILURES
SUCCESS: Final = outcomes.SUCCESS
HEALTHY: Final = 80.0
DEGRADED: Final = 50.0


def status_of(score: float | None) -> models.Status:
    """The word for a score of 0 to 100."""
    if score is None:
        return "unknown"
    return "healthy" if score >= HEALTHY else "degraded" if score >= DEGRADED else "unhealthy"
