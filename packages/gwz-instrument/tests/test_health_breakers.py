"""The shadow of a breaker goes as a breaker would; the application's own is asked without waiting for it."""

import enum
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwz_instrument.health.breakers import Breaker, Observed, after, at, state_of


def states(outcomes, open_s=60.0):
    """The state after each outcome of (time, whether it succeeded)."""
    breaker, found = Breaker(), []
    for now, succeeded in outcomes:
        breaker = after(breaker, now, succeeded=succeeded, open_s=open_s)
        found.append(breaker.state)
    return found


def test_five_failures_in_a_row_open_it():
    """A success between them starts the row anew."""
    assert states([(n, False) for n in range(5)]) == ["closed"] * 4 + ["open"]
    assert states([(n, n == 4) for n in range(9)]) == ["closed"] * 9


def test_it_is_half_open_after_its_time():
    """Without any attempt: time alone does it."""
    opened = Breaker("open", opened_at=100.0)
    assert at(opened, 159.9, open_s=60.0).state == "open"
    assert at(opened, 160.0, open_s=60.0).state == "half_open"


def test_what_happens_while_it_is_open_changes_nothing():
    """A breaker would have refused these attempts."""
    later = [(30, True), (31, True), (32, False), (59, False)]
    assert states([*[(0, False)] * 5, *later, (60, True)])[5:] == ["open"] * 4 + ["half_open"]


def test_two_successes_close_it_and_one_failure_opens_it_again():
    """From half open, for another sixty seconds."""
    opened = [(0, False)] * 5
    assert states([*opened, (60, True), (61, True)])[-2:] == ["half_open", "closed"]
    assert states([*opened, (60, True), (61, False), (120, True), (121, True)])[-3:] == ["open", "open", "half_open"]


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans())))
def test_it_opens_only_upon_a_failure(steps):
    """And is always in one of three states."""
    now, outcomes = 0.0, []
    for step, succeeded in steps:
        now += step
        outcomes.append((now, succeeded))
    before = "closed"
    for state, (_, succeeded) in zip(states(outcomes), outcomes, strict=True):
        assert state in ("closed", "half_open", "open")
        assert state != "open" or before == "open" or not succeeded
        before = state


class State(enum.Enum):
    OPEN = "OPEN"


@pytest.mark.parametrize(
    ("said", "state"),
    [("closed", "closed"), ("HALF_OPEN", "half_open"), (State.OPEN, "open"), ("ajar", None), (None, None), (1, None)],
)
def test_a_state_is_known_in_capitals_and_as_a_member(said, state):
    """As the backend has it."""
    assert state_of(said) == state


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def observed(callback, clock, complaints=None):
    return Observed(callback, dict, clock=clock, complain=(complaints if complaints is not None else []).append)


def test_a_callback_is_asked_every_five_seconds_at_most():
    """And what it said last holds in between."""
    asked, clock = [], Clock()
    made = observed(lambda: asked.append(1) or {"p": f"{len(asked)}"}, clock)
    for now, said in ((0.0, "1"), (4.9, "1"), (5.0, "2")):
        clock.now = now
        made.states()
        made.wait(5)
        assert made.states() == {"p": said}


def test_a_callback_that_hangs_delays_nobody_and_its_last_answer_goes_out():
    """One thread hangs, not one for each scrape."""
    clock, release, asked = Clock(), threading.Event(), []

    def callback():
        asked.append(1)
        if len(asked) == 2:
            release.wait(30)
        return {"p": f"{len(asked)}"}

    made = observed(callback, clock)
    try:
        made.states()
        made.wait(5)
        for clock.now, said in ((10.0, {"p": "1"}), (69.9, {"p": "1"}), (70.0, {}), (500.0, {})):
            assert made.states() == said
        assert len(asked) == 2
    finally:
        release.set()
    made.wait(5)
    made.states()
    made.wait(5)
    assert made.states() == {"p": "3"}


def test_a_callback_that_raises_leaves_no_states():
    """An old one would be as good as a wrong one."""
    clock, answers, complaints = Clock(), [{"p": "open"}], []
    made = observed(answers.pop, clock, complaints)
    made.states()
    made.wait(5)
    assert made.states() == {"p": "open"}
    clock.now = 5.0
    made.states()
    made.wait(5)
    assert made.states() == {}
    assert complaints == ["observe_breaker"]
