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
        "PROVIDER_TIMEOUT_S": "0.5",
    }

    assert Settings.from_environment(environment) == Settings(
        "::1", 9000, "http://127.0.0.1:9001", "redis://127.0.0.1:9002/0", "sqlite:////tmp/gateway.db", 0.5
    )


@pytest.mark.parametrize("text", ["eighty", "", "-1", "0"])
def test_bad_number_is_named_with_its_variable(text: str) -> None:
    with pytest.raises(ValueError, match=rf"PORT is '{text}', but must be a number above zero such as 8000; correct"):
        Settings.from_environment({"PORT": text})
