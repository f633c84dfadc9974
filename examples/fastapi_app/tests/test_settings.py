"""The gateway's settings."""

import pytest

from fastapi_app.settings import Settings


def test_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()


def test_environment_overrides_the_defaults() -> None:
    environment = {
        "HOST": "::1",
        "PORT": "9000",
        "PROVIDERS_URL": "http://127.0.0.1:9001/",
        "REDIS_URL": "redis://127.0.0.1:9002/0",
        "DATABASE_URL": "sqlite:////tmp/gateway.db",
        "POSTGREST_URL": "http://127.0.0.1:9003/rest/v1/",
        "PROVIDER_TIMEOUT_S": "0.5",
        "REDIS_TIMEOUT_S": "2",
        "GAUGES_EVERY_S": "1",
        "NAMESPACE": "staging",
    }

    assert Settings.from_environment(environment) == Settings(
        host="::1",
        port=9000,
        providers_url="http://127.0.0.1:9001",
        redis_url="redis://127.0.0.1:9002/0",
        database_url="sqlite:////tmp/gateway.db",
        postgrest_url="http://127.0.0.1:9003/rest/v1",
        provider_timeout_s=0.5,
        redis_timeout_s=2.0,
        gauges_every_s=1.0,
        namespace="staging",
    )


@pytest.mark.parametrize("text", ["eighty", "", "-1", "0"])
def test_bad_number_is_named_with_its_variable(text: str) -> None:
    with pytest.raises(ValueError, match=rf"PORT is '{text}', but must be a number above zero such as 8000; correct"):
        Settings.from_environment({"PORT": text})
