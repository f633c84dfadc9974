import pytest

from gwz_e2e.stage import output_folder
from gwz_stack import StackError


def test_a_folder_that_is_not_a_runs_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").write_text("keep")
    (tmp_path / "report.json").write_text("keep")
    with pytest.raises(StackError, match="holds something that is not a run's"), output_folder(tmp_path):
        pass
    assert (tmp_path / "data" / "mine").read_text() == "keep"
    assert (tmp_path / "report.json").read_text() == "keep"


def test_a_run_empties_its_own_folder_and_keeps_no_data_of_servers(tmp_path):
    out = tmp_path / "out"
    with output_folder(out, ("loki-url",)):
        (out / "data" / "chunk").write_text("x")
        (out / "report.json").write_text("old")
        (out / "loki-url").mkdir()
    assert not (out / "data").exists()
    with output_folder(out, ("loki-url",)):
        assert sorted(path.name for path in out.iterdir()) == [".gwz-e2e", "data", "logs"]


def test_two_runs_do_not_share_a_folder(tmp_path):
    with output_folder(tmp_path), pytest.raises(StackError, match="is in use"), output_folder(tmp_path):
        pass
