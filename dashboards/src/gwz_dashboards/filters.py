"""The variables that dashboards share, and the conditions that put them into queries."""

from grafana_foundation_sdk.builders.dashboard import QueryVariable

from gwz_dashboards.common import filter_
from gwz_dashboards.queries import Match, label_values
from gwz_dashboards.scrape_metrics import JOB
from gwz_instrument.semconv import http, inference

IN_ENVIRONMENT = Match(JOB, "$environment", "=~")
ON_PATH = Match(http.PATH, "$path", "=~")
AT_PROVIDER = Match(inference.PROVIDER, "$provider", "=~")
OF_MODEL = Match(inference.MODEL, "$model", "=~")


def environment() -> QueryVariable:
    """Choose among the jobs that scrape applications: `gatewayz_production`, `gatewayz_staging`."""
    return filter_("environment", "Environment", label_values(http.APP_INFO, JOB))


def path() -> QueryVariable:
    """Choose routes."""
    return filter_("path", "Path", label_values(http.REQUESTS, http.PATH, IN_ENVIRONMENT), multi=True)


def provider() -> QueryVariable:
    """Choose providers."""
    return filter_(
        "provider", "Provider", label_values(inference.REQUESTS, inference.PROVIDER, IN_ENVIRONMENT), multi=True
    )


def model() -> QueryVariable:
    """Choose models."""
    return filter_("model", "Model", label_values(inference.REQUESTS, inference.MODEL, IN_ENVIRONMENT), multi=True)
