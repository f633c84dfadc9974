"""One expectation for each query of each panel, and for each recording rule: what it has to return by the ledger."""

from gwz_dashboards import links
from gwz_dashboards.expectations import (
    backend_health,
    executive_overview,
    gateway_comparison,
    golden_signals,
    logs_diagnostics,
    model_performance,
    request_flow,
)
from gwz_dashboards.expectations.kinds import Expect, Key
from gwz_dashboards.expectations.rules import RULES

__all__ = ["EXPECTATIONS", "RULES", "Expect", "Key"]

_DASHBOARDS = {
    "executive-overview-v1": executive_overview.PANELS,
    links.SIGNALS_UID: golden_signals.PANELS,
    links.BACKEND_UID: backend_health.PANELS,
    links.FLOW_UID: request_flow.PANELS,
    links.GATEWAY_UID: gateway_comparison.PANELS,
    links.MODELS_UID: model_performance.PANELS,
    links.LOGS_UID: logs_diagnostics.PANELS,
}

EXPECTATIONS: dict[Key, Expect] = {
    (uid, panel, letter): expect for uid, panels in _DASHBOARDS.items() for (panel, letter), expect in panels.items()
}
