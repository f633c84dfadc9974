import pytest

from gwz_bench.figures import Figure, Reach, added, percentile, same_within_noise, slope


def test_a_figure_is_the_median_and_the_quartiles():
    assert Figure.of([9, 1, 5, 3, 7]) == Figure(5, 3, 7)
    assert Figure.of([9, 1, 5, 3, 7]).iqr == 4


def test_a_single_round_has_no_spread():
    assert Figure.of([4.5]) == Figure(4.5, 4.5, 4.5)


def test_a_drifting_machine_adds_nothing():
    assert added([10, 20, 30, 40], [25, 35, 45]) == 10


def test_one_disturbed_slice_does_not_count():
    assert added([10, 10, 10, 10], [12, 900, 12]) == 2


def test_a_slice_without_both_neighbours_is_refused():
    with pytest.raises(ValueError, match="3 slices need 4 plain ones around them, not 3"):
        added([1, 1, 1], [2, 2, 2])


@pytest.mark.parametrize(
    ("reach", "ratio", "holds", "far"),
    [
        (Reach(0.25, "PFI"), 0.25, True, False),
        (Reach(0.25, "PFI"), 0.26, False, False),
        (Reach(0.25, "PFI"), 0.75, False, False),
        (Reach(0.25, "PFI"), 0.76, False, True),
        (Reach(40, "stock", "≥"), 40, True, False),
        (Reach(40, "stock", "≥"), 39, False, False),
        (Reach(40, "stock", "≥"), 13, False, True),
    ],
)
def test_a_reach_is_held_missed_or_far_away(reach, ratio, holds, far):
    assert (reach.holds(ratio), reach.far(ratio)) == (holds, far)


def test_a_reach_reads_as_it_is_meant():
    assert str(Reach(0.006, "stock")) == "≤ 0.006 × stock"
    assert str(Reach(40, "stock", "≥")) == "≥ 40 × stock"


@pytest.mark.parametrize(("median", "same"), [(7, True), (10, True), (14, True), (14.5, False)])
@pytest.mark.parametrize("control", [Figure(0, -4, 4), Figure(-3.5, -4, -3), Figure(3.5, 3, 4)])
def test_noise_is_how_far_a_plain_application_is_from_itself(control, median, same):
    assert same_within_noise(Figure(median, median - 1, median + 1), Figure(10, 9.5, 10.5), control) is same


@pytest.mark.parametrize(("figure", "same"), [(Figure(13, 11, 14), True), (Figure(13.5, 12, 15), False)])
def test_noise_is_the_spread_of_the_rounds(figure, same):
    assert same_within_noise(figure, Figure(10, 9.5, 10.5), Figure(0, 0, 0)) is same


def test_noise_that_would_hide_anything_proves_nothing():
    assert same_within_noise(Figure(60, 20, 100), Figure(10, 9, 11), Figure(0, -1, 1)) is None


@pytest.mark.parametrize(("colder", "same"), [(2.0, True), (1.5, False), (0.5, False)])
def test_what_is_dearer_as_everything_is_there_is_the_same(colder, same):
    assert same_within_noise(Figure(20, 19, 21), Figure(10, 9.5, 10.5), Figure(0, -1, 1), colder) is same


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_sample(share, value):
    assert percentile(range(1, 101), share) == value


def test_a_slope_is_that_of_the_line_with_the_least_squares():
    assert slope([0, 1, 2, 3], [1, 3, 5, 7]) == 2
