"""What is judged a failure."""

from typing import Final

from gwz_instrument import outcomes
from gwz_instrument.health import scores

FAILURE_STATUSES: Final = scores.FAILURES
SUCCESS: Final = outcomes.SUCCESS
