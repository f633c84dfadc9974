"""Health is between 0 and 1, falls with failures and never rises with them, and is unknown without traffic."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwz_instrument.health.scores import (
    Answers,
    Tally,
    Tokens,
    availability,
    efficiency,
    error_rate,
    score,
    tally,
    uptime,
)

FAILED = ("error", "timeout", "stream_error")
NEITHER = ("cancelled", "client_disconnected", "abandoned")
attempts = st.lists(
    st.tuples(st.sampled_from(("success", *FAILED, *NEITHER)), st.floats(0, 1000)), min_size=1, max_size=50
)


def seen(made):
    return Tally(*map(sum, zip(*(tally(status, [seconds]) for status, seconds in made), strict=True)))


@pytest.mark.parametrize(
    ("made", "scored"),
    [
        ([("success", 0.5)] * 20, 1.0),
        ([("success", 5.0)] * 20, 1.0),
        ([("success", 32.5)], 0.85),  # half way between fast and slow
        ([("success", 60.0)], 0.7),
        ([("success", 3600.0)], 0.7),
        ([("success", 1.0), ("error", 1.0)], 0.5),
        ([("success", 1.0)] * 3 + [("timeout", 60.0)], 0.75),
        ([("error", 0.1)] * 20, 0.0),
        ([("stream_error", 0.1), ("timeout", 0.1)], 0.0),
    ],
)
def test_the_score_is_the_mean_worth_of_the_attempts(made, scored):
    """A failure is worth nothing, a success 0.7 to 1 by its speed."""
    assert score(seen(made)) == pytest.approx(scored, abs=1e-12)


def test_nothing_seen_is_unknown():
    """Neither healthy nor dead."""
    assert [judge(Tally()) for judge in (score, error_rate, availability)] == [None, None, None]
    assert uptime([]) is None
    assert uptime([Answers()]) is None
    assert efficiency(Tokens()) is None
    assert efficiency(Tokens(0.0, 5.0)) is None


@pytest.mark.parametrize("status", NEITHER)
def test_what_the_client_ended_is_neither_success_nor_failure(status):
    """Alone it leaves the health unknown, with others it changes nothing."""
    others = [("success", 1.0), ("error", 1.0), ("error", 1.0)]
    assert score(seen([(status, 1.0)])) is None
    assert error_rate(seen([(status, 1.0)])) is None
    assert score(seen([*others, (status, 1.0)])) == score(seen(others))
    assert error_rate(seen([*others, (status, 1.0)])) == error_rate(seen(others)) == 2 / 3


@pytest.mark.parametrize(("successes", "failures", "is_there"), [(1, 1, 1.0), (49, 51, 0.0), (1, 0, 1.0), (0, 1, 0.0)])
def test_a_provider_is_available_while_half_of_the_attempts_are_answered(successes, failures, is_there):
    """Half is enough."""
    assert availability(Tally(successes, failures)) == is_there


def test_uptime_is_a_share_of_the_time_with_traffic():
    """One answer makes a slot a good one, and slots without traffic do not count."""
    assert uptime([Answers(1, 2), Answers(0, 3), Answers(0, 0), Answers(5, 0)]) == 2 / 3


def test_efficiency_is_produced_per_given():
    """200 of 400."""
    assert efficiency(Tokens(400.0, 200.0)) == 0.5


@given(attempts)
def test_every_judgement_is_between_0_and_1(made):
    """Or unknown, when nothing was judged."""
    for judge in (score, error_rate, availability):
        assert judge(seen(made)) is None or 0.0 <= judge(seen(made)) <= 1.0


@given(attempts, st.sampled_from(FAILED), st.floats(0, 1000), st.data())
def test_a_failure_more_never_raises_the_score(made, status, seconds, data):
    """Wherever it comes."""
    at = data.draw(st.integers(0, len(made)))
    worse = [*made[:at], (status, seconds), *made[at:]]
    assert score(seen(worse)) <= (1.0 if score(seen(made)) is None else score(seen(made)))
    assert availability(seen(worse)) <= (1.0 if score(seen(made)) is None else availability(seen(made)))


@given(attempts, st.sampled_from(FAILED), st.data())
def test_a_failure_in_the_place_of_a_success_never_raises_the_score(made, status, data):
    """Not even of the slowest success."""
    at = data.draw(st.integers(0, len(made)))
    better = [*made[:at], ("success", data.draw(st.floats(0, 1000))), *made[at:]]
    worse = [*better[:at], (status, 1.0), *better[at + 1 :]]
    assert score(seen(worse)) <= score(seen(better))
    assert error_rate(seen(worse)) >= error_rate(seen(better))


@given(st.integers(1, 1000), st.floats(0, 5))
def test_only_fast_successes_score_at_least_095(number, seconds):
    """However many there are."""
    assert score(seen([("success", seconds)] * number)) >= 0.95


@given(st.lists(st.sampled_from(FAILED), min_size=1), st.floats(0, 5))
def test_only_failures_score_below_030(statuses, seconds):
    """However fast they fail."""
    assert score(seen([(status, seconds) for status in statuses])) < 0.30


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0])
def test_a_time_that_is_none_poisons_no_sum(seconds):
    """It is left out; the success is not."""
    assert tally("success", [seconds]) == Tally(successes=1.0, worth=1.0)
