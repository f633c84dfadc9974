import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwz_instrument.monitoring.lives import (
    Frame,
    Life,
    Readings,
    comers,
    doubled,
    increases,
    last_scrapes,
    lives_of,
    pace,
    places_to_read,
    with_origins,
)
from gwz_instrument.monitoring.quantiles import by_group, quantile

ONE = (("instance", "app:1"), ("job", "job"))
RELABELLED = (("cluster", "eu"), *ONE)
OTHER = (("instance", "app:2"), ("job", "job"))
FRAME = Frame(0.0, 100.0, 10.0)


def readings(values, target=ONE):
    return Readings({at: {target: {("groq",): value}} for at, value in values.items()})


def grown(lives, edges, values):
    return [sums.get(("groq",), 0.0) for sums in increases(lives, edges, readings(values))]


def spans(lives):
    return [(life.first, life.last, life.born) for life in lives]


def test_a_process_that_lives_throughout_grew_by_what_lies_between_the_edges():
    life = Life(ONE, 0.0, 100.0, born=False)
    assert grown([life], [0.0, 50.0, 100.0], {0.0: 7.0, 50.0: 9.0, 100.0: 14.0}) == [2.0, 5.0]


def test_a_process_that_was_born_began_at_zero():
    life = Life(ONE, 30.0, 100.0, born=True)
    assert grown([life], [0.0, 50.0, 100.0], {50.0: 4.0, 100.0: 9.0}) == [4.0, 5.0]


def test_a_process_that_lived_unseen_is_counted_from_where_it_was_first_seen():
    life = Life(ONE, 30.0, 100.0, born=False)
    assert places_to_read(life, [0.0, 100.0]) == [(ONE, 30.0)]
    assert not life.is_known(0.0)
    assert grown([life], [0.0, 50.0, 100.0], {30.0: 1000.0, 50.0: 1004.0, 100.0: 1009.0}) == [4.0, 5.0]


def test_a_process_that_ended_is_read_at_its_last_scrape():
    life = Life(ONE, 0.0, 70.0, born=False)
    assert places_to_read(life, [0.0, 50.0, 100.0]) == [(ONE, 70.0)]
    assert grown([life], [0.0, 50.0, 100.0], {0.0: 1.0, 50.0: 2.0, 70.0: 8.0}) == [1.0, 6.0]


def test_a_restart_behind_the_same_address_makes_two_lives():
    heartbeat = [(10.0, 91.0), (20.0, 0.0), (30.0, 1.0)]
    lives = lives_of(ONE, heartbeat, FRAME, seen=0.0, alive=True)
    assert spans(lives) == [(0.0, 10.0, False), (20.0, 100.0, True)]
    assert grown(lives, [0.0, 100.0], {0.0: 100.0, 10.0: 130.0, 100.0: 150.0}) == [180.0]


def test_a_heartbeat_that_has_not_grown_is_another_process_s():
    lives = lives_of(ONE, [(10.0, 0.0), (20.0, 0.0), (30.0, 0.0)], FRAME)
    assert spans(lives) == [(10.0, 10.0, True), (20.0, 20.0, True), (30.0, 30.0, True)]


def test_a_restart_just_before_the_window_leaves_one_life_in_it():
    (life,) = lives_of(ONE, [(-20.0, 50.0), (-5.0, 0.0), (5.0, 1.0)], FRAME, seen=-5.0, alive=True)
    assert spans([life]) == [(0.0, 100.0, False)]


def test_a_series_that_was_taken_for_ended_at_the_start_is_counted_from_its_last_scrape_before():
    (life,) = lives_of(ONE, [(-20.0, 50.0), (15.0, 51.0)], FRAME, alive=True)
    assert life.origin == (ONE, -20.0)
    assert life.is_known(0.0)
    assert grown([life], [0.0, 100.0], {-20.0: 7.0, 100.0: 9.0}) == [2.0]


def test_a_process_that_shows_nothing_but_what_it_showed_at_the_start_lives_on():
    assert spans(lives_of(ONE, [], FRAME, seen=-1.0, alive=True)) == [(0.0, 100.0, False)]
    assert lives_of(ONE, [(-20.0, 50.0)], FRAME) == []


@pytest.mark.parametrize(
    ("beat", "started", "born", "early"),
    [
        (3.0, None, True, False),
        (300.0, None, False, False),
        (300.0, 20.0, True, False),  # others read /metrics too
        (300.0, -100.0, True, True),  # a slow start: some of it may be before the window
        (3.0, -9000.0, False, False),  # nobody ever read /metrics
    ],
)
def test_when_a_process_was_started_tells_better_than_its_heartbeat_whether_it_was_born(beat, started, born, early):
    lives = lives_of(ONE, [(30.0, beat), (40.0, beat + 1)], FRAME, alive=True)
    assert comers(lives, FRAME) == lives
    (life,) = with_origins(lives, {} if started is None else {ONE: started}, FRAME)
    assert (life.born, life.early) == (born, early)


@pytest.mark.parametrize(("started", "origin"), [(None, (ONE, 40.0)), (-500.0, (ONE, 40.0)), (45.0, None)])
def test_a_process_that_got_another_label_goes_on(started, origin):
    before = lives_of(ONE, [(30.0, 60.0), (40.0, 61.0)], FRAME, seen=0.0)
    after = lives_of(RELABELLED, [(50.0, 62.0)], FRAME, alive=True)
    _, life = with_origins(before + after, {} if started is None else {RELABELLED: started}, FRAME)
    assert (life.origin, life.born) == (origin, origin is None)


def test_two_targets_of_one_address_may_follow_each_other_and_not_go_on_together():
    def of(target, first, last):
        return Life(target, first, last, born=False)

    assert doubled([of(ONE, 0.0, 50.0), of(RELABELLED, 60.0, 100.0), of(OTHER, 0.0, 100.0)], FRAME) is None
    assert doubled([of(ONE, 0.0, 50.0), of(ONE, 60.0, 100.0)], FRAME) is None
    assert doubled([of(RELABELLED, 20.0, 100.0), of(ONE, 0.0, 90.0)], FRAME) == (ONE, RELABELLED)


def test_a_scrape_that_is_missing_at_an_edge_moves_counts_to_the_next_time_and_loses_none():
    life = Life(ONE, 0.0, 100.0, born=False)
    assert grown([life], [0.0, 50.0, 100.0], {0.0: 1.0, 100.0: 8.0}) == [0.0, 7.0]


def test_two_processes_are_added_up():
    read = Readings({0.0: {ONE: {(): 1.0}, OTHER: {(): 5.0}}, 10.0: {ONE: {(): 2.0}, OTHER: {(): 9.0}}})
    lives = [Life(ONE, 0.0, 10.0, born=False), Life(OTHER, 0.0, 10.0, born=False)]
    assert increases(lives, [0.0, 10.0], read) == [{(): 5.0}]


def test_nothing_was_scraped_of_a_target_without_a_heartbeat():
    assert lives_of(ONE, [], FRAME) == []


def test_the_pace_of_scrapes_is_their_usual_pause_whatever_the_heartbeat_says():
    inflated = [(at * 15.0, at * 300.0) for at in range(9)]
    assert pace([inflated, [(0.0, 1.0), (10.0, 2.0), (20.0, 3.0), (120.0, 4.0)]]) == 15.0
    assert pace([]) == pace([[(0.0, 4.0)]]) == 60.0
    assert pace([[(0.0, 4.0), (86400.0, 5.0)]]) == 300.0


def test_a_window_ends_with_the_oldest_of_the_last_scrapes_of_those_that_are_alive():
    def ended(*lasts):
        return [[(at, 1.0)] for at in lasts]

    assert last_scrapes(ended(100.0, 93.0, 40.0), 10.0) == (93.0, 100.0)
    assert last_scrapes(ended(100.0), 10.0) == (100.0, 100.0)
    assert last_scrapes([], 10.0) is None


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
