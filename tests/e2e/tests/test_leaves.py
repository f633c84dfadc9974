from math import nan

import pytest

from gwz_e2e.leaves import Among, Between, Comparison, Moment, Number, Ranked, Summed, seconds


def differences(found, wanted):
    comparison = Comparison()
    comparison.compare(found, wanted, "it")
    return comparison.differences


def test_what_is_as_it_has_to_be_makes_no_difference_and_each_leaf_is_counted():
    comparison = Comparison()
    found = {"total": 2, "rows": [{"name": "a", "ms": 1.0000001}, {"name": "b", "ms": None}], "ok": True}
    wanted = {"total": 2, "rows": [{"name": "a", "ms": Number(1.0, relative=1e-6)}, {"name": "b", "ms": None}]}
    comparison.compare(found, {**wanted, "ok": True}, "it")
    assert comparison.differences == []
    assert comparison.leaves == 6


def test_a_field_that_nobody_expects_is_a_difference():
    assert differences({"a": 1, "b": 2}, {"a": 1}) == ["nobody expects it.b: 2"]


def test_a_field_that_is_missing_is_a_difference():
    assert differences({}, {"a": 1}) == ["it.a is missing"]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [(0, None), (None, 0), (1, True), (1.0, 1), (True, Number(1.0)), ([], {}), ({}, []), ("x", Number(1.0)), ([1], [])],
)
def test_null_is_no_zero_and_a_number_no_flag(found, wanted):
    assert len(differences(found, wanted)) == 1


def test_money_may_be_a_billionth_beside():
    assert differences(1.0000000009, Number(1.0, absolute=1e-9)) == []
    assert differences(1.000000002, Number(1.0, absolute=1e-9)) == ["it is 1.000000002 instead of 1"]


def test_a_quantile_that_is_faster_than_it_can_be_is_a_difference_though_it_is_prometheuss():
    assert differences(90.0, Number(90.0, at_least=100.0)) == ["it is 90.0 instead of 90 and at least 100"]


def test_the_order_of_a_ranking_counts_and_of_another_object_does_not():
    assert differences({"b": 1, "a": 2}, {"a": 2, "b": 1}) == []
    assert differences({"b": 1, "a": 2}, Ranked({"a": 2, "b": 1})) == ["it is in the order b, a instead of a, b"]


def test_rows_of_which_only_the_sum_is_known_are_added_up():
    wanted = Summed({"calls": 5, "failed": None}, frozenset({"time"}))
    rows = [{"calls": 2, "failed": None, "time": "x"}, {"calls": 3, "failed": None, "time": "y"}]
    assert differences(rows, wanted) == []
    assert differences(dict(enumerate(rows)), wanted) == []
    assert differences(rows[:1], wanted) == ["the sum of it[].calls is 2 instead of 5"]
    assert differences([{**rows[0], "mood": 1}], wanted)[0].startswith("it[0] has the keys calls, failed, time, mood")


def test_times_have_a_zone_and_a_place():
    assert differences("1970-01-01T00:00:10Z", Moment(10.0, 11.0)) == []
    assert len(differences("1970-01-01T00:00:12Z", Moment(10.0, 11.0))) == 1
    assert len(differences("1970-01-01T00:00:10", Moment(10.0, 11.0))) == 1
    assert str(seconds("soon")) == str(nan)


def test_a_number_in_a_range_and_one_of_several_values():
    assert differences([0.5, None], [Between(0.0, 1.0), Among((None, 1))]) == []
    assert differences([2.0, 3], [Between(0.0, 1.0), Among((None, 1))]) == [
        "it[0] is 2.0 instead of 0 to 1",
        "it[1] is 3 instead of one of (None, 1)",
    ]
