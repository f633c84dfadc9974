"""A pytest plugin: the fixture `telemetry` captures what an application emits, in memory, for its own tests.

def test_a_greeting_is_counted(telemetry):
    telemetry.instrument(app)
    TestClient(app).get("/hello/ada")
    assert telemetry.value("fastapi_requests_total", path="/hello/{name}", status_code="200") == 1
    assert telemetry.span("GET /hello/{name}").attributes["http.response.status_code"] == 200
    telemetry.assert_clean()
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # pytest loads this module in every run, also where nobody asks for the fixture
    from .capture import Capture

__all__ = ["telemetry"]


@pytest.fixture
def telemetry() -> "Iterator[Capture]":
    """What every application of this process emits during the test; nothing leaves the process."""
    from .capture import capture  # noqa: PLC0415  # the SDK and prometheus_client, as above

    with capture() as captured:
        yield captured
