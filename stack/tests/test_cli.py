"""The command line prints a table, one sentence per fault, and no traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gwz_stack import cli
from gwz_stack.cli import main

Script = Callable[[Path, str], Path]


def test_find_prints_what_was_found_and_says_what_is_missing(
    bare: Path, script: Script, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script(bare / "tempo", "echo tempo, version 2.8.0-pre")
    monkeypatch.setenv("GWZ_LOKI_BIN", "/nowhere")
    assert main(["find", "tempo", "loki"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == ["SERVER", "VERSION", "PINNED", "SOURCE", "PATH"]
    assert out.splitlines()[1].split() == ["tempo", "2.8.0-pre", "2.7.1", "PATH", str(bare / "tempo")]
    assert err.startswith("loki cannot be had. GWZ_LOKI_BIN names /nowhere")
    assert "Traceback" not in err


def test_all_found_is_success(bare: Path, script: Script) -> None:
    script(bare / "tempo", "echo tempo, version 2.7.1")
    assert main(["find", "tempo"]) == 0


def test_an_unknown_server_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", "tempoo"]) == 1
    assert capsys.readouterr().err.startswith("Unknown: tempoo.")


def test_env_writes_the_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ".env"
    assert main(["env", "--file", str(path)]) == 0
    assert (
        capsys.readouterr().out
        == f"{path}: added GF_SECURITY_ADMIN_PASSWORD, GF_SECURITY_SECRET_KEY, GWZ_METRICS_TOKEN\n"
    )
    main(["env", "--file", str(path)])
    assert capsys.readouterr().out == f"{path}: complete already, left as it is\n"


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "find", interrupt)
    assert main(["find", "tempo"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


@pytest.mark.parametrize("arguments", [[], ["find", "--nonsense"]])
def test_wrong_usage_is_explained(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
