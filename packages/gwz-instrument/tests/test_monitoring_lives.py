import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwz_instrument.monitoring.lives import (
    Life,
    Readings,
    increases,
    interval,
    lives_of,
    longest_gap,
    times_to_read,
)
from gwz_instrument.monitoring.quantiles import by_group, quantile

ONE = ("job", "app:1")


def readings(values):
    return Readings({at: {ONE: {("groq",): value}} for at, value in values.items()})


def grown(lives, edges, values):
    return [sums.get(("groq",), 0.0) for sums in increases(lives, edges, readings(values))]


def test_a_process_that_lives_throughout_grew_by_what_lies_between_the_edges():
    life = Life(ONE, 0.0, 100.0, born=False)
    assert grown([life], [0.0, 50.0, 100.0], {0.0: 7.0, 50.0: 9.0, 100.0: 14.0}) == [2.0, 5.0]


def test_a_process_that_was_born_began_at_zero():
    life = Life(ONE, 30.0, 100.0, born=True)
    assert grown([life], [0.0, 50.0, 100.0], {50.0: 4.0, 100.0: 9.0}) == [4.0, 5.0]


def test_a_process_that_lived_unseen_is_counted_from_where_it_was_first_seen():
    life = Life(ONE, 30.0, 100.0, born=False)
    assert times_to_read(life, [0.0, 100.0]) == [30.0]
    assert grown([life], [0.0, 50.0, 100.0], {30.0: 1000.0, 50.0: 1004.0, 100.0: 1009.0}) == [4.0, 5.0]


def test_a_process_that_ended_is_read_at_its_last_scrape():
    life = Life(ONE, 0.0, 70.0, born=False)
    assert times_to_read(life, [0.0, 50.0, 100.0]) == [70.0]
    assert grown([life], [0.0, 50.0, 100.0], {0.0: 1.0, 50.0: 2.0, 70.0: 8.0}) == [1.0, 6.0]


def test_a_restart_behind_the_same_address_makes_two_lives():
    heartbeat = [(0.0, 90.0), (10.0, 91.0), (20.0, 0.0), (30.0, 1.0)]
    before, after = lives_of(ONE, heartbeat)
    assert (before, after) == (Life(ONE, 0.0, 10.0, born=False), Life(ONE, 20.0, 30.0, born=True))
    assert grown([before, after], [0.0, 30.0], {0.0: 100.0, 10.0: 130.0, 30.0: 150.0}) == [180.0]


def test_a_scrape_that_is_missing_at_an_edge_moves_counts_to_the_next_time_and_loses_none():
    life = Life(ONE, 0.0, 100.0, born=False)
    assert grown([life], [0.0, 50.0, 100.0], {0.0: 1.0, 100.0: 8.0}) == [0.0, 7.0]


def test_two_processes_are_added_up():
    other = ("job", "app:2")
    read = Readings({0.0: {ONE: {(): 1.0}, other: {(): 5.0}}, 10.0: {ONE: {(): 2.0}, other: {(): 9.0}}})
    lives = [Life(ONE, 0.0, 10.0, born=False), Life(other, 0.0, 10.0, born=False)]
    assert increases(lives, [0.0, 10.0], read) == [{(): 5.0}]


def test_nothing_was_scraped_of_an_instance_without_a_heartbeat():
    assert lives_of(ONE, []) == []


def test_the_longest_gap_reaches_to_the_edges():
    assert longest_gap([[(10.0, 1.0), (20.0, 2.0)], [(60.0, 1.0)]], 0.0, 100.0) == 40.0
    assert longest_gap([], 0.0, 100.0) == 100.0


def test_the_pace_of_scrapes_is_told_from_the_heartbeats():
    assert interval([[(0.0, 4.0), (60.0, 8.0)], [(0.0, 0.0), (60.0, 12.0)]]) == 15.0
    assert interval([]) == 60.0
    assert interval([[(0.0, 4.0), (86400.0, 5.0)]]) == 300.0


@given(
    restarts=st.lists(st.lists(st.floats(0, 9), min_size=2, max_size=6), min_size=1, max_size=4),
    edges=st.lists(st.integers(0, 30), min_size=2, max_size=5, unique=True),
)
def test_the_parts_add_up_to_what_was_counted_and_never_go_back(restarts, edges):
    """Whatever restarts there are, and wherever the edges lie, the whole is the sum of what each process counted."""
    values, lives, at = {}, [], 0.0
    for number, steps in enumerate(restarts):
        total, first = 0.0, at
        for step in steps:
            total += step
            values[at] = total
            last, at = at, at + 1.0
        lives.append(Life(ONE, first, last, born=number > 0))
    end = at - 1.0
    whole = grown(lives, [0.0, end], values)[0]
    inner = sorted({0.0, end, *(float(edge) for edge in edges if 0 < edge < end)})
    parts = grown(lives, inner, values)
    assert all(part >= 0 for part in parts)
    assert sum(parts) == pytest.approx(whole)
    assert whole == pytest.approx(sum(map(sum, restarts)) - restarts[0][0])


@pytest.mark.parametrize(
    ("share", "buckets", "wanted"),
    [
        (0.5, {}, None),
        (0.5, {1.0: 0.0, float("inf"): 0.0}, None),
        (0.5, {1.0: 10.0, 2.0: 10.0, float("inf"): 10.0}, 0.5),
        (0.95, {1.0: 0.0, 2.0: 100.0, float("inf"): 100.0}, 1.95),
        (0.99, {1.0: 1.0, 2.0: 1.0, float("inf"): 100.0}, 2.0),
        (0.5, {1.0: 5.0, 2.0: 5.0, float("inf"): 10.0}, 1.0),
    ],
)
def test_a_quantile_is_interpolated_within_its_bucket_and_at_most_the_last_bound(share, buckets, wanted):
    found = quantile(share, buckets)
    assert found == wanted if wanted is None else found == pytest.approx(wanted)


def test_buckets_are_told_apart_by_group():
    sums = {("groq", "1"): 2.0, ("groq", "+Inf"): 3.0, ("xai", "+Inf"): 1.0}
    assert by_group(sums) == {("groq",): {1.0: 2.0, float("inf"): 3.0}, ("xai",): {float("inf"): 1.0}}
