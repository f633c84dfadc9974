"""A ring of slots holds exactly what was added in its time, whatever order it comes in."""

from hypothesis import given
from hypothesis import strategies as st

from gwz_instrument.health.window import Ring


def ring(slots=3):
    return Ring(tuple, 2, slot_s=10.0, slots=slots)


def test_sums_are_of_the_slots_asked_for():
    """Slot 1 is of the seconds 10 to 20."""
    made = ring()
    for at, amounts in ((5.0, (1, 10)), (12.0, (2, 20)), (19.9, (3, 30)), (20.0, (4, 40))):
        made.add("p", at, amounts)
    assert made.total("p", 0, 2) == (10, 100)
    assert made.total("p", 1, 1) == (5, 50)
    assert list(made.each("p", 0, 2)) == [(1, 10), (5, 50), (4, 40)]


def test_a_slot_that_comes_round_again_starts_at_zero():
    """Slot 3 takes the place of slot 0."""
    made = ring()
    made.add("p", 5.0, (1, 1))
    made.add("p", 35.0, (2, 2))
    assert made.total("p", 0, 3) == (2, 2)


def test_silence_leaves_nothing_of_before():
    """What was added is not taken for that of the slot that has its place now."""
    made = ring()
    made.add("p", 5.0, (1, 1))
    assert made.total("p", 3, 5) == (0, 0)


def test_what_is_older_than_the_ring_is_left_out():
    """It must not overwrite what is newer."""
    made = ring()
    made.add("p", 35.0, (1, 1))
    made.add("p", 5.0, (9, 9))
    assert made.total("p", 1, 3) == (1, 1)


def test_keys_are_apart_and_remember_when_they_came_up():
    """The first slot stays the first."""
    made = ring()
    made.add("p", 15.0, (1, 1))
    made.add("q", 95.0, (2, 2))
    made.add("p", 95.0, (4, 4))
    assert list(made) == ["p", "q"]
    assert (made.first_slot("p"), made.first_slot("q")) == (1, 9)
    assert made.total("q", 9, 9) == (2, 2)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 100)), max_size=60), st.integers(1, 8))
def test_a_ring_agrees_with_a_list_of_everything(added, slots):
    """Times only go on, as clocks do: the sum is that of the last slots."""
    made, everything = ring(slots), sorted(added)
    made.add("p", 0.0, (0, 0))
    for at, amount in everything:
        made.add("p", float(at), (amount, 1))
    last = max((at for at, _ in everything), default=0) // 10
    kept = [amount for at, amount in everything if last - slots < at // 10]
    assert made.total("p", last - slots + 1, last) == (sum(kept), len(kept))
