"""The .env file: random, private, and never overwritten."""

import stat
from pathlib import Path

import pytest

from gwz_stack.dotenv import PASSWORD, read_env, write_env
from gwz_stack.errors import StackError


def test_secrets_are_random_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    assert PASSWORD in write_env(tmp_path / "a")
    write_env(tmp_path / "b")
    one, other = read_env(tmp_path / "a"), read_env(tmp_path / "b")
    assert len(one[PASSWORD]) >= 24
    assert not set(one.values()) & set(other.values())
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_what_has_a_value_keeps_it_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(f"# mine\n{PASSWORD}=chosen by hand\nOTHER=1\n")
    added = write_env(path)
    assert {"GF_SECURITY_SECRET_KEY", "GWZ_METRICS_TOKEN"} < set(added)
    assert PASSWORD not in added
    assert path.read_text().startswith(f"# mine\n{PASSWORD}=chosen by hand\nOTHER=1\n")
    before = path.read_text()
    assert write_env(path) == []
    assert path.read_text() == before


def test_an_empty_value_is_filled(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(f"{PASSWORD}=\n")
    assert PASSWORD in write_env(path)
    assert path.read_text().count(PASSWORD) == 1
    assert read_env(path)[PASSWORD]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"Could not write .*/file/\.env"):
        write_env(tmp_path / "file" / ".env")
