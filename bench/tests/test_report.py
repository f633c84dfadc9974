import json

import pytest

from gwz_bench import page
from gwz_bench.figures import Figure, Reach
from gwz_bench.report import Report, Row, compared, table, timed
from gwz_bench.rows import ROWS

OURS = Figure(10.0, 9.0, 12.0)
PEER = Figure(50.0, 45.0, 55.0)


def whole(*rows):
    return Report("nox -s bench", {"cpu": "a cpu", "cores": 2}, {"fastapi": "0.165.0"}, list(ROWS), list(rows))


def test_a_row_has_the_raw_median_beside_its_ratio():
    row = compared("JSON", "ours", OURS, PEER, Reach(0.25, "PFI"))
    assert (row.median_us, row.iqr, row.ratio, row.reach, row.holds, row.far) == (
        10.0, 3.0, 0.2, "≤ 0.25 × PFI", True, False,
    )  # fmt: skip


def test_a_row_without_a_reach_is_not_judged():
    row = compared("JSON", "ours", OURS, PEER)
    assert (row.ratio, row.reach, row.holds, row.failed) == (0.2, None, None, False)


@pytest.mark.parametrize(
    ("row", "failed"),
    [
        (timed("JSON", "ours", OURS), False),
        (timed("JSON", "ours", OURS, exact=True), False),
        (timed("JSON", "ours", OURS, exact=False), True),
        (compared("JSON", "ours", OURS, PEER, Reach(0.19, "PFI")), False),  # missed, but by no more than noise
        (compared("JSON", "ours", OURS, PEER, Reach(0.06, "PFI")), True),
    ],
)
def test_a_run_fails_for_a_wrong_count_or_a_reach_that_is_far(row, failed):
    assert whole(row).failed == ([row] if failed else [])


def test_the_report_survives_its_file(tmp_path):
    report = whole(timed("JSON", "ours", OURS, cpu_us=11.0, exact=True, note="5 of 5"))
    path = report.write(tmp_path / "new")
    assert path == tmp_path / "new/report.json"
    assert Report.read(path) == report


def test_the_file_has_what_the_issue_names(tmp_path):
    found = json.loads(whole(compared("JSON", "ours", OURS, PEER)).write(tmp_path).read_text())
    assert {"machine", "versions", "rows"} <= set(found)
    assert {
        name: found["rows"][0][name] for name in ("quantity", "variant", "median_us", "iqr", "ratio")
    } == {"quantity": "JSON", "variant": "ours", "median_us": 10.0, "iqr": 3.0, "ratio": 0.2}  # fmt: skip


def test_the_table_groups_by_quantity():
    rows = [
        timed("JSON", "ours", OURS),
        Row(quantity="leave", variant="ours", value=1.5, unit="s", reach="≤ 2 s", holds=True),
    ]
    lines = [" ".join(line.split()) for line in table(rows).splitlines()]
    assert lines == [
        "variant median IQR CPU µs ratio reach holds what was seen",
        "", "JSON", "ours 10 µs 3",
        "", "leave", "ours 1.5 s ≤ 2 s yes",
    ]  # fmt: skip


def test_a_wrong_count_shouts():
    assert "WRONG: 4 of 5" in table([timed("JSON", "ours", OURS, exact=False, note="4 of 5")])


def test_the_page_has_the_table_the_machine_and_the_versions(tmp_path):
    source, to = whole(compared("JSON", "ours", OURS, PEER, Reach(0.25, "PFI"))).write(tmp_path), tmp_path / "page.md"
    assert page.main(["--report", str(source), "--to", str(to)]) == 0
    text = to.read_text()
    assert "measured by `nox -s bench` on" in text
    assert "- cpu: a cpu\n- cores: 2\n" in text
    assert "- fastapi: 0.165.0\n" in text
    assert "### JSON\n\n| variant |" in text
    assert "| ours | 10 µs | 3 |  | 0.2 | ≤ 0.25 × PFI | yes |  |" in text


def test_no_page_is_written_of_a_part(tmp_path, capsys):
    report = whole()
    report.ran.remove("memory")
    source = report.write(tmp_path)
    assert page.main(["--report", str(source), "--to", str(tmp_path / "page.md")]) == 2
    assert "lacks memory: the page needs a run without --only" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_a_missing_report_is_one_sentence(tmp_path, capsys):
    assert page.main(["--report", str(tmp_path / "none.json"), "--to", str(tmp_path / "page.md")]) == 2
    assert "does not exist: run `nox -s bench` first" in capsys.readouterr().err
