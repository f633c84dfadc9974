"""What a seed decides."""

import json
from itertools import pairwise

import pytest

from fastapi_app.catalog import PROVIDERS
from fastapi_app.load.ledger import Outcome
from fastapi_app.load.plan import KINDS, LONGEST_GAP_S, Planned, make_plan
from fastapi_app.load.workload import Sample, built_in

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


def plan(seed: int = 1, requests: int = 100, *, traced: bool = True) -> list[Planned]:
    return make_plan(seed, requests, built_in(seed), traced=traced)


def test_same_seed_gives_the_same_plan() -> None:
    assert plan(3) == plan(3)


def test_other_seeds_give_other_ids_and_trace_ids() -> None:
    first, second = plan(3), plan(4)

    assert not {one.entry.id for one in first} & {one.entry.id for one in second}
    assert not {one.entry.trace_id for one in first} & {one.entry.trace_id for one in second}


def test_ids_and_trace_ids_occur_once() -> None:
    planned = plan(requests=2000)

    assert len({one.entry.id for one in planned}) == 2000
    assert len({one.entry.trace_id for one in planned}) == 2000


@pytest.mark.parametrize("seed", range(20))
def test_hundred_requests_hold_every_kind_and_every_provider(seed: int) -> None:
    planned = plan(seed)

    assert {one.kind for one in planned} == set(KINDS)
    assert {one.entry.provider for one in planned} == {*PROVIDERS, None}


@pytest.mark.parametrize("requests", [1, 5])
def test_short_plan_has_as_many_requests_as_asked(requests: int) -> None:
    assert len(plan(requests=requests)) == requests


@pytest.mark.parametrize("seed", range(5))
def test_arrivals_fit_into_the_time_that_a_run_has(seed: int) -> None:
    assert plan(seed)[-1].at_s < 4
    assert 50 < plan(seed, 2000)[-1].at_s < 70


def test_long_gaps_are_clipped_and_divided_by_the_speed() -> None:
    planned = make_plan(1, 2, iter([Sample(0, 1, 1), Sample(3600, 1, 1)]), speed=3)

    assert planned[1].at_s == LONGEST_GAP_S / 3


def test_delays_stand_in_the_middle_of_a_bucket() -> None:
    """A fifth of the bucket's width is left on both sides for what the gateway itself takes."""
    for delay in {one.entry.planned_delay_s for one in plan(requests=2000) if one.entry.provider}:
        low, high = next((a, b) for a, b in pairwise(BUCKETS_S) if a < delay <= b)
        assert low + (high - low) / 5 <= delay <= high - (high - low) / 5


def test_timeouts_and_slow_answers_are_few() -> None:
    planned = plan(requests=2000)

    assert sum(one.entry.planned_delay_s > 1 for one in planned) < 0.05 * len(planned)


def test_only_completions_have_tokens_and_cost() -> None:
    for one in plan(requests=500):
        completed = one.entry.provider is not None and one.entry.outcome is Outcome.SUCCESS
        figures = (one.entry.input_tokens, one.entry.output_tokens, one.entry.cost_usd)
        assert all(figure is not None for figure in figures) == completed
        assert any(figure is not None for figure in figures) == completed


def test_span_id_in_the_trace_id_is_never_zero() -> None:
    assert all(int(str(one.entry.trace_id)[16:], 16) for one in plan(requests=2000))


def test_untraced_plan_differs_in_the_trace_ids_only() -> None:
    traced, untraced = plan(), plan(traced=False)

    assert {one.entry.trace_id for one in untraced} == {None}
    assert [one.body for one in traced] == [one.body for one in untraced]


def test_provider_is_told_its_deed_in_metadata_that_openai_would_accept() -> None:
    bodies = [one.body for one in plan() if one.entry.provider and one.body]

    assert all(len(body["metadata"]["plan"]) <= 512 for body in bodies)
    assert {json.loads(body["metadata"]["plan"])["deed"] for body in bodies} == {
        "ok", "error", "busy", "malformed", "reset", "hang", "break", "hold",
    }  # fmt: skip
