import pytest

from gwz_bench.options import parse
from gwz_bench.programs.recorders import CACHE, COUNTER, DATABASE, HISTOGRAM, NOTHING, STORE
from gwz_bench.report import Row
from gwz_bench.rows import ROWS, recorders
from gwz_bench.rows.hostile import hostile_rows
from gwz_bench.rows.memory import memory_row
from gwz_bench.scrape import grown, label_sets, total
from gwz_bench.variants import OURS

PAGE = """\
# TYPE requests_total counter
requests_total{path="/a",status="200"} 3.0
requests_total{path="/a",status="404"} 2.0
requests_total{path="/b",status="200"} 7.0
# TYPE seconds histogram
seconds_bucket{path="/a",le="1.0"} 1.0
seconds_bucket{path="/a",le="+Inf"} 1.0
seconds_count{path="/a"} 1.0
seconds_sum{path="/a"} 0.5
"""


def test_a_total_is_over_all_samples_of_a_path():
    assert total(PAGE, "requests_total", "path", "/a") == 5


def test_the_buckets_of_a_histogram_are_one_label_set():
    found = label_sets(PAGE, ["requests", "seconds"])
    assert {name: len(sets) for name, sets in found.items()} == {"requests": 3, "seconds": 1}


def test_only_new_label_sets_count_as_grown():
    before = label_sets(PAGE, ["requests"])
    after = label_sets(PAGE.replace('status="404"', 'status="418"'), ["requests"])
    assert grown(before, after) == {"requests": 1}
    assert grown(after, after) == {"requests": 0}


def test_hostile_values_become_no_label_sets():
    """The smoke test of the harness: a real child, a real application, the real middleware."""
    rows = hostile_rows([OURS], values=5)
    assert [row.variant for row in rows] == [
        f"{OURS}, {kind}" for kind in ("path", "method", "host", "mount parameter")
    ]
    assert all(row.holds and row.value is not None and row.value <= 1 for row in rows)


@pytest.mark.parametrize(
    ("row", "ours", "peer"),
    [
        (recorders.database, DATABASE, HISTOGRAM),
        (recorders.cache, CACHE, COUNTER),
        (recorders.local_store, STORE, HISTOGRAM),
    ],
)
def test_a_recorder_is_held_against_what_it_costs_by_hand(row, ours, peer):
    """A smoke test too: real children, a real application."""
    found = {each.variant: each for each in row(parse(["--quick", "--rounds", "1"], tuple(ROWS)))}
    assert list(found) == [NOTHING, ours, peer]
    assert found[ours].ratio == found[ours].median_us / found[peer].median_us
    assert found[ours].reach.endswith(("× one labelled observe", "× one labelled inc"))


@pytest.mark.parametrize(
    ("mebibytes", "holds", "far"),
    [
        ([60.0, 61.0, 60.5, 61.0], True, False),
        ([60.0, 62.0, 64.0, 66.0], False, False),
        ([60.0, 66.0, 72.0, 78.0], False, True),
    ],
)
def test_memory_that_grows_is_seen(mebibytes, holds, far):
    row = memory_row([100, 200, 300, 400], mebibytes)
    assert (row.holds, row.far) == (holds, far)


def test_growth_that_the_last_size_hides_is_seen_by_the_line():
    assert memory_row([100, 200, 300, 400, 500], [60.0, 70.0, 80.0, 90.0, 60.0]).holds is False


@pytest.mark.parametrize(
    ("arguments", "only", "rounds"),
    [([], tuple(ROWS), 7), (["--quick"], tuple(ROWS), 3), (["--only", "memory", "--rounds", "9"], ("memory",), 9)],
)
def test_options(arguments, only, rounds):
    options = parse(arguments, tuple(ROWS))
    assert (options.only, options.rounds) == (only, rounds)


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--rounds", "0"]])
def test_a_wrong_option_ends_the_program(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(arguments, tuple(ROWS))
    assert ended.value.code == 2
    assert arguments[1] in capsys.readouterr().err


def test_a_row_fails_only_when_it_is_wrong_or_far():
    assert not Row(quantity="q", variant="v", holds=False).failed
