import threading

import pytest

from gwz_e2e.engines import Series
from gwz_e2e.hops import Aborted
from gwz_e2e.outage import ALIVE, ASKED, DEAD, FALLEN, HEALTHY, Errands, History, Missed, Point, Took, Waiting, shown

SCORE = "gatewayz_provider_health_score"
BREAKER = "gatewayz_circuit_breaker_state"
ONE, OTHER = ASKED


def series(name, *samples, **labels):
    return Series({"__name__": name, "instance": "127.0.0.1:1", **labels}, samples)


def scrapes(*samples):
    return series("up", *samples)


def scores(one, other):
    return [series(SCORE, *one, provider=ONE), series(SCORE, *other, provider=OTHER)]


def quiet():
    pass


def waiting(history, now=0.0):
    """One who sees this history, at a time that it takes for the present."""
    return Waiting(lambda: history, quiet, lambda: now)


def test_a_sign_has_come_when_the_last_provider_shows_it():
    history = History(scores([(1, 1.0), (2, 0.29)], [(1, 1.0), (2, 0.5), (3, 0.2), (4, 0.1)]))
    assert history.shown([FALLEN], 0) == Point(3, 0.2)


def test_a_sign_of_which_one_provider_has_no_series_has_not_come():
    assert History([series(SCORE, (1, 0.1), provider=ONE)]).shown([FALLEN], 0) is None
    assert History([]).shown([FALLEN], 0) is None


def test_a_score_of_thirty_percent_has_not_fallen_below_it():
    assert History(scores([(1, 0.3)], [(1, 0.3)])).shown([FALLEN], 0) is None


def test_what_was_scraped_before_does_not_count():
    history = History(scores([(1, 1.0), (2, 0.0), (3, 0.96)], [(1, 1.0), (2, 0.0), (3, 0.97)]))
    assert history.shown([HEALTHY], 1) == Point(3, 0.97)


def test_a_breaker_is_judged_by_the_state_that_is_asked_for():
    states = {"closed": 0.0, "half_open": 0.0, "open": 1.0}
    history = History(
        [
            one
            for name in ASKED
            for one in [
                series("provider_availability", (5, 0.0), provider=name),
                series("provider_error_rate", (5, 1.0), provider=name),
                *(series(BREAKER, (5, value), provider=name, state=state) for state, value in states.items()),
            ]
        ]
    )
    assert history.shown(DEAD, 0) is not None
    assert history.shown(ALIVE, 0) is None


def test_series_are_gone_with_the_first_scrape_after_their_last_sample():
    history = History([*scores([(1, 1.0), (2, 1.0)], [(1, 1.0)]), scrapes((1, 1), (2, 1), (3, 1), (4, 1))])
    assert history.gone(1) == Point(3, 1)


def test_series_of_which_the_last_scrape_brought_samples_are_not_gone():
    assert History([*scores([(1, 1.0)], [(1, 1.0), (2, 1.0)]), scrapes((1, 1), (2, 1))]).gone(1) is None


def test_a_scrape_that_failed_does_not_say_that_series_are_gone():
    assert History([*scores([(1, 1.0)], [(1, 1.0)]), scrapes((1, 1), (2, 0), (3, 0))]).gone(1) is None


def test_a_wait_tells_how_long_it_took_by_the_time_of_the_scrape():
    history = History(scores([(114.0, 0.2)], [(114.5, 0.1)]))
    assert waiting(history, now=900.0).until("fallen", shown(FALLEN), 100.0, 23.0) == Took(14.5, 0.1)


def test_what_comes_too_late_is_missed_with_the_time_it_took():
    history = History(scores([(127.5, 0.29)], [(120.0, 0.1)]))
    with pytest.raises(Missed, match=r"^fallen: after 27.5 s, 23 s are allowed; last said .*portkey 0\.10 \(8 s old\)"):
        waiting(history).until("fallen", shown(FALLEN), 100.0, 23.0)


def test_what_never_comes_is_missed_with_what_the_series_said():
    with pytest.raises(Missed, match=rf"^fallen: not within 46 s; last said {SCORE} openrouter 0\.54 \(0 s old\), "):
        waiting(History(scores([(1, 0.54)], [(1, 0.55)])), now=147.0).until("fallen", shown(FALLEN), 100.0, 23.0)
    with pytest.raises(Missed, match="last said no series of a provider"):
        waiting(History([scrapes((1, 1))]), now=147.0).until("fallen", shown(FALLEN), 100.0, 23.0)


def test_an_errand_is_done_by_the_other_thread_and_its_result_comes_back():
    errands, done = Errands(), threading.Event()

    def other():
        while not done.wait(0.01):
            errands.do()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        assert errands.hand_over(threading.current_thread, quiet) is thread
        with pytest.raises(ZeroDivisionError):
            errands.hand_over(lambda: 1 / 0, quiet)
    finally:
        done.set()
        thread.join()


def test_who_waits_for_an_errand_that_nobody_does_can_be_told_to_give_up():
    def pause():
        raise Aborted("provider_health")

    with pytest.raises(Aborted):
        Errands().hand_over(quiet, pause)
