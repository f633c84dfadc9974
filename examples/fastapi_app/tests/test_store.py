"""The gateway's database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastapi_app.catalog import MODELS, PROVIDERS, Model, models_of
from fastapi_app.store import Completion, Store, Usage


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path / 'gateway.db'}", MODELS)
    yield store
    store.close()


def test_catalog_comes_back_with_exact_prices(store: Store) -> None:
    assert store.models() == sorted(MODELS, key=lambda model: model.id)
    assert store.model(MODELS[0].id) == MODELS[0]


def test_unknown_model_is_none(store: Store) -> None:
    assert store.model("nobody/knows-it") is None


def test_opening_again_updates_a_price_and_keeps_the_completions(store: Store, tmp_path: Path) -> None:
    store.add(Completion("a", "xai", "m", 1, 2, 0.5))
    dearer = Model(MODELS[0].id, ("xai",), 1.0, 2.0)
    again = Store(f"sqlite:///{tmp_path / 'gateway.db'}", [dearer])

    assert again.model(dearer.id) == dearer
    assert again.usage() == [Usage("xai", 1, 1, 2, 0.5)]
    again.close()


def test_usage_sums_by_provider(store: Store) -> None:
    for completion in (
        Completion("a", "xai", "m", 1, 2, 0.5),
        Completion("b", "fal", "m", 10, 20, 0.25),
        Completion("a", "xai", "n", 100, 200, 0.125),
    ):
        store.add(completion)

    assert store.usage() == [Usage("fal", 1, 10, 20, 0.25), Usage("xai", 2, 101, 202, 0.625)]


def test_every_provider_serves_something() -> None:
    assert len(PROVIDERS) == 17
    assert all(models_of(provider) for provider in PROVIDERS)
    assert {provider for model in MODELS for provider in model.providers} == set(PROVIDERS)
