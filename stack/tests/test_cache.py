"""The cache stays whole when two processes fill it, and when one is stopped half-way."""

import subprocess
import sys
from pathlib import Path

import pytest

from gwz_stack.cache import Cache
from gwz_stack.errors import StackError

FILL = """
import sys
from pathlib import Path
from gwz_stack.cache import Cache
cache, folder = Cache(Path(sys.argv[1])), Path(sys.argv[1]) / "tempo"
print("ready", flush=True)
sys.stdin.readline()
with cache.locked("tempo"):
    if folder.exists():
        print("reused")
    else:
        with cache.filling(folder) as draft:
            (draft / "binary").write_text("whole")
        print("built")
"""


def test_of_two_processes_one_fills_the_cache_and_the_other_uses_it(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", FILL, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("go\n")
        worker.stdin.flush()
    assert sorted(worker.communicate(timeout=20)[0].strip() for worker in workers) == ["built", "reused"]
    assert (tmp_path / "tempo" / "binary").read_text() == "whole"


def interrupted(cache: Cache, folder: Path) -> None:
    with cache.filling(folder) as draft:
        (draft / "binary").write_text("half")
        raise RuntimeError


def test_a_failure_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.filling(tmp_path / "tempo") as draft:
        (draft / "binary").write_text("old")
    with pytest.raises(RuntimeError):
        interrupted(cache, tmp_path / "tempo")
    assert [path.name for path in tmp_path.iterdir()] == ["tempo"]
    assert (tmp_path / "tempo" / "binary").read_text() == "old"


@pytest.mark.parametrize(
    ("variables", "root"),
    [
        ({"GWZ_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/gatewayz-observability"),
        ({"HOME": "/c"}, "/c/.cache/gatewayz-observability"),
    ],
)
def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], root: str) -> None:
    for name in ("GWZ_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Cache.from_environment().root == Path(root)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"Could not write .*/file/locks\."), Cache(tmp_path / "file").locked("x"):
        pass
