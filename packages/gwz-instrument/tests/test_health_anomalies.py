"""An anomaly is a departure from a baseline that does not contain it, and is counted when it begins."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwz_instrument.health.anomalies import Alarm, Period, after, anomalies, begins
from gwz_instrument.health.scores import Tally

DAY = Period(86400.0, Tally(successes=2300, failures=100, answering_s=4600.0, cost=24.0))
"""100 attempts an hour, of which 4.2 fail, 2 s each, one dollar an hour."""


def hour(**numbers):
    usual = {"successes": 96.0, "failures": 4.0, "answering_s": 192.0, "cost": 1.0}
    return Period(3600.0, Tally(**{**usual, **numbers}))


@pytest.mark.parametrize(
    ("window", "found"),
    [
        (hour(), set()),
        (hour(cost=2.0), set()),
        (hour(cost=2.1), {"cost_spike"}),
        (hour(answering_s=380.0), set()),
        (hour(answering_s=390.0), {"latency_spike"}),
        (hour(successes=90.0, failures=10.0, answering_s=180.0), set()),
        (hour(successes=85.0, failures=15.0, answering_s=170.0), {"error_surge"}),
        (hour(successes=0.0, failures=100.0, answering_s=0.0), {"error_surge"}),
        (hour(successes=396.0), set()),
        (hour(successes=397.0), {"unusual_pattern"}),
        (hour(successes=21.0, answering_s=42.0), set()),
        (hour(successes=20.0, answering_s=40.0), {"unusual_pattern"}),
        (hour(successes=0.0, failures=0.0, answering_s=0.0, cost=0.0), {"unusual_pattern"}),
        (hour(successes=0.0, given_up=500.0, failures=0.0, answering_s=0.0), {"unusual_pattern"}),
    ],
)
def test_departures_from_a_day(window, found):
    """Twice the money, twice the time, twice the errors and every tenth, four times the traffic or a quarter."""
    assert anomalies(window, DAY) == found


def test_few_failures_are_chance():
    """Three of twelve are more than twice 4 %, and no surge."""
    assert "error_surge" not in anomalies(hour(successes=9.0, failures=3.0), DAY)


def test_a_surge_is_more_than_chance_explains():
    """Of twenty attempts three fail usually: seven may be chance, nine are none."""
    failing = Period(86400.0, Tally(successes=408.0, failures=72.0))
    assert anomalies(Period(3600.0, Tally(successes=13.0, failures=7.0)), failing) == set()
    assert anomalies(Period(3600.0, Tally(successes=11.0, failures=9.0)), failing) == {"error_surge"}


def test_a_few_attempts_are_no_spike():
    """One expensive call of a quiet provider is not its habit."""
    quiet = Period(86400.0, Tally(successes=24.0, answering_s=48.0, cost=0.24))
    assert anomalies(Period(3600.0, Tally(successes=1.0, answering_s=60.0, cost=5.0)), quiet) == set()


def test_a_baseline_shorter_than_the_window_says_nothing():
    """A process that has just started knows no habits."""
    window = hour(cost=100.0)
    assert anomalies(window, Period(3599.0, DAY.seen)) == set()
    assert "cost_spike" in anomalies(window, Period(3600.0, Tally(successes=100.0, answering_s=200.0, cost=1.0)))


def test_a_thin_baseline_says_nothing():
    """19 attempts."""
    assert anomalies(hour(cost=100.0), Period(86400.0, Tally(successes=19.0, cost=0.1))) == set()


def test_what_was_free_is_no_spike_when_it_costs():
    """Without a usual price there is none to exceed."""
    free = Period(86400.0, DAY.seen._replace(cost=0.0))
    assert anomalies(hour(), free) == set()


@given(st.integers(20, 10**6), st.integers(0, 10**5), st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 30))
def test_more_of_the_same_is_no_anomaly(successes, failures, answering_s, cost, days):
    """A window that is like its baseline departs in nothing."""
    seen = Tally(float(successes), float(failures), 0.0, answering_s, 0.0, cost)
    baseline = Period(3600.0 * days, Tally(*(number * days for number in seen)))
    assert anomalies(Period(3600.0, seen), baseline) == set()


@given(st.integers(0, 100), st.integers(0, 100))
def test_more_failures_never_end_a_surge(failures, more):
    """Of a hundred and more attempts."""
    fewer = anomalies(hour(failures=float(failures)), DAY)
    worse = anomalies(hour(failures=float(failures + more)), DAY)
    assert "error_surge" in worse or "error_surge" not in fewer


def counted(seen, window_slots=4):
    """The slots in which an anomaly is counted that is seen in these."""
    alarm, found = Alarm(), []
    for slot, is_seen in enumerate(seen):
        if begins(alarm, seen=is_seen, slot=slot, window_slots=window_slots):
            found.append(slot)
        alarm = after(alarm, seen=is_seen, slot=slot, window_slots=window_slots)
    return found


@pytest.mark.parametrize(
    ("seen", "slots"),
    [
        ((0, 1, 1, 1, 1, 1, 1, 1, 0), [1]),
        ((1, 0, 1, 0, 1, 0, 1, 0), [0, 4]),
        ((1, 0, 0, 0, 0, 1), [0, 5]),
        ((0, 0, 0), []),
    ],
)
def test_an_anomaly_is_counted_when_it_begins(seen, slots):
    """However long it goes on; one that flickers, once in a window."""
    assert counted(seen) == slots


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 8))
def test_at_most_one_is_counted_in_a_window(seen, window_slots):
    """Whatever is seen, and nothing that is not."""
    found = counted(seen, window_slots)
    assert all(later - earlier >= window_slots for earlier, later in itertools.pairwise(found))
    assert all(seen[slot] for slot in found)
    assert bool(found) == any(seen)
