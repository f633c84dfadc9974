import threading
import time

import pytest

from gwz_e2e.hops import Aborted, Finding, Hop, descendants, first_broken, walk


def good(sentence="fine"):
    return lambda: Finding(ok=True, sentence=sentence)


def bad():
    return Finding(ok=False, sentence="broken")


def verdicts(results):
    return {result.id: result.ok for result in results}


def quiet():
    pass


def test_a_broken_hop_leaves_those_behind_it_unreached_and_the_others_true():
    hops = [
        Hop("a", good()),
        Hop("b", bad, ("a",)),
        Hop("c", good(), ("b",)),
        Hop("d", good(), ("c",)),
        Hop("e", good(), ("a",)),
    ]
    results = walk(hops, watch=quiet)
    assert verdicts(results) == {"a": True, "b": False, "c": None, "d": None, "e": True}
    assert first_broken(results).id == "b"
    assert results[2].sentence == "not reached: b does not hold"


def test_results_come_in_the_order_of_the_hops():
    hops = [Hop("slow", lambda: time.sleep(0.1) or Finding(ok=True, sentence="")), Hop("fast", good())]
    assert [result.id for result in walk(hops, watch=quiet)] == ["slow", "fast"]


def test_a_check_is_repeated_until_it_holds():
    answers = iter([False, False, True])
    hop = Hop("late", lambda: Finding(ok=next(answers), sentence=""), patience_s=5)
    assert verdicts(walk([hop], watch=quiet)) == {"late": True}


def test_a_check_that_never_holds_ends_with_its_patience():
    start = time.monotonic()
    assert verdicts(walk([Hop("never", bad, patience_s=0.5)], watch=quiet)) == {"never": False}
    assert 0.5 <= time.monotonic() - start < 5


def test_a_check_that_raises_breaks_its_hop_and_says_why():
    def raising():
        raise KeyError("data")

    (result,) = walk([Hop("x", raising)], watch=quiet)
    assert (result.ok, result.sentence) == (False, "the check itself failed: KeyError: 'data'")


def test_hops_that_do_not_need_each_other_are_checked_at_once():
    def slow():
        time.sleep(0.3)
        return Finding(ok=True, sentence="")

    start = time.monotonic()
    walk([Hop(str(number), slow) for number in range(10)], watch=quiet)
    assert time.monotonic() - start < 2


def test_what_the_watch_raises_ends_the_walk_though_a_hop_is_waiting():
    def watch():
        raise RuntimeError("a server died")

    start = time.monotonic()
    with pytest.raises(RuntimeError, match="a server died"):
        walk([Hop("waiting", bad, patience_s=60), Hop("behind", good(), ("waiting",))], watch=watch)
    assert time.monotonic() - start < 5


def test_a_check_that_takes_long_is_told_when_the_walk_is_given_up():
    stop = threading.Event()

    def long():
        if stop.wait(60):
            raise Aborted("long")
        return Finding(ok=True, sentence="")

    def watch():
        raise RuntimeError("a server died")

    start = time.monotonic()
    with pytest.raises(RuntimeError, match="a server died"):
        walk([Hop("long", long), Hop("behind", good(), ("long",))], watch=watch, stop=stop)
    assert time.monotonic() - start < 5


def test_an_unknown_need_is_an_error():
    with pytest.raises(ValueError, match="nothing"):
        walk([Hop("a", good(), ("nothing",))], watch=quiet)


def test_descendants_are_all_that_needs_a_hop():
    hops = [Hop("a", good()), Hop("b", good(), ("a",)), Hop("c", good(), ("b",)), Hop("d", good())]
    assert descendants(hops, "a") == {"b", "c"}
    assert descendants(hops, "d") == set()
