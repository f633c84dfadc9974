"""The OpenAPI document and the endpoints, held against each other by random requests, valid and not."""

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from prometheus_client import CollectorRegistry
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from gwz_instrument import inference, instrument
from gwz_instrument.settings import Settings

ADMIN = {"Authorization": "Bearer admin"}


# That parameters of other names are passed over is meant; who may ask is tested apart.
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.unsupported_method,
]


def application():
    app = FastAPI()
    given = Settings.load(
        {}, monitoring="local", api_token="reader", admin_token="admin", providers=("groq",), models=("m/1",),
        monitoring_rate=1e6,
    )  # fmt: skip
    instrument(app, given, registry=CollectorRegistry())

    @app.get("/call", include_in_schema=False)
    def call():
        with inference("groq", "m/1") as made:
            made.usage(input_tokens=10, output_tokens=5, cost_usd=0.25)

    return app


schema = schemathesis.openapi.from_asgi("/openapi.json", application())


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_meets_a_fault_or_an_answer_that_is_not_documented(case):
    case.call_and_validate(headers=ADMIN, checks=CHECKS)
