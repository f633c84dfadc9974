import pytest
from hypothesis import given
from hypothesis.strategies import binary, floats, integers, none, one_of, text
from prometheus_client import CollectorRegistry

from gwz_instrument.labels import Bounded, HttpLabels
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
