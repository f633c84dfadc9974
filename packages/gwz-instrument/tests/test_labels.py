import pytest
from hypothesis import given
from hypothesis.strategies import binary, floats, integers, none, one_of, text
from prometheus_client import CollectorRegistry

from gwz_instrument.labels import Bounded, CallLabels, HttpLabels
from gwz_instrument.metrics import Collectors
from gwz_instrument.semconv import inference


@pytest.fixture
def collectors():
    return Collectors()


def refused(collectors):
    registry = CollectorRegistry()
    registry.register(collectors)
    return {
        (sample.labels["metric"], sample.labels["label"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "gwz_label_values_refused_total"
    }


def test_only_declared_and_admitted_values_become_label_values(collectors):
    models = Bounded(collectors, inference.REQUESTS, "model", budget=1, declared=("gpt-4o",))
    assert models.of("gpt-4o") == "gpt-4o"
    assert models.of("invented") == "_other"
    assert models.admit("llama") == "llama"
    assert models.of("llama") == "llama"
    assert models.admit("one-too-many") == "_other"
    assert models.admit("gpt-4o") == "gpt-4o", "declared ones do not use the budget up"
    assert refused(collectors) == {("model_inference_requests_total", "model"): 2}


def test_a_bounded_label_shows_no_refusals_from_the_start(collectors):
    Bounded(collectors, inference.REQUESTS, "model", budget=1)
    assert refused(collectors) == {("model_inference_requests_total", "model"): 0}


@given(value=one_of(none(), integers(), floats(), binary(), text(min_size=201), text(max_size=0)))
def test_what_is_no_name_is_refused_and_never_raises(value):
    bounded = Bounded(Collectors(), inference.REQUESTS, "model", budget=10)
    assert bounded.admit(value) == bounded.of(value) == "_other"


def test_exception_classes_made_at_run_time_use_their_budget_up(collectors):
    labels = HttpLabels(collectors, max_paths=1)
    names = {labels.exception(type(f"E{number}", (Exception,), {})()) for number in range(200)}
    assert len(names) == 101
    assert "_other" in names
    assert refused(collectors)["fastapi_exceptions_total", "exception_type"] == 100


def test_methods_are_those_of_the_contract(collectors):
    labels = HttpLabels(collectors, max_paths=1)
    assert [labels.method(method) for method in ("GET", "get", "BREW")] == ["GET", "_OTHER", "_OTHER"]
    assert refused(collectors)["fastapi_requests_total", "method"] == 2


@pytest.fixture
def calls(collectors):
    return CallLabels(collectors, models=("gpt-4o",), providers=("groq",), max_models=3, max_providers=2)


def test_invented_models_and_providers_that_fail_are_one_label_value(calls, collectors):
    models = {calls.model(f"model-{number}", answered=False) for number in range(200)}
    providers = {calls.provider(f"evilprov-{number}", lambda: False) for number in range(200)}
    assert models == providers == {"_other"}
    assert refused(collectors)["model_inference_requests_total", "model"] == 200
    assert refused(collectors)["model_inference_requests_total", "provider"] == 200


def test_a_model_that_an_upstream_answered_is_known_from_then_on_within_the_budget(calls):
    assert calls.model("llama", answered=False) == "_other"
    assert [calls.model(name, answered=True) for name in ("llama", "mistral", "qwen")] == ["llama", "mistral", "_other"]
    assert calls.model("llama", answered=False) == "llama"
    assert calls.model("gpt-4o", answered=False) == "gpt-4o", "the settings' names need no proof"


def test_a_provider_is_known_by_the_settings_or_by_a_constant_only(calls):
    assert calls.provider("groq", lambda: False) == "groq"
    assert calls.provider("openrouter", lambda: True) == "openrouter"
    assert calls.provider("openrouter", lambda: False) == "openrouter"
    assert calls.provider("one-too-many", lambda: True) == "_other"
