"""One line in a FastAPI backend: the metrics, log lines and traces that the GatewayZ dashboards expect.

from gwz_instrument import instrument

telemetry = instrument(app)
"""

from .http import annotate
from .metrics import NameTakenError
from .settings import Settings, SettingsError
from .telemetry import Telemetry, instrument

__all__ = ["NameTakenError", "Settings", "SettingsError", "Telemetry", "annotate", "instrument"]
