"""The command line prints a table, one sentence per fault, and no traceback."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gwz_stack import archive, cli
from gwz_stack.cli import main
from gwz_stack.versions import STACK, pin

Script = Callable[[Path, str], Path]


def test_find_prints_what_was_found_and_says_what_is_missing(
    bare: Path, script: Script, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script(bare / "tempo", "echo tempo, version 2.8.0-pre")
    monkeypatch.setenv("GWZ_LOKI_BIN", "/nowhere")
    assert main(["find", "tempo", "loki"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == ["SERVER", "VERSION", "PINNED", "SOURCE", "PATH"]
    assert out.splitlines()[1].split() == ["tempo", "2.8.0-pre", pin("tempo").pinned, "PATH", str(bare / "tempo")]
    assert err.startswith("loki cannot be had. GWZ_LOKI_BIN names /nowhere")
    assert "Traceback" not in err


def test_all_found_is_success(bare: Path, script: Script) -> None:
    script(bare / "tempo", f"echo tempo, version {pin('tempo').pinned}")
    assert main(["find", "tempo"]) == 0


def test_an_unknown_server_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", "tempoo"]) == 1
    assert capsys.readouterr().err.startswith("Unknown: tempoo.")


def test_env_writes_the_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ".env"
    assert main(["env", "--file", str(path)]) == 0
    assert capsys.readouterr().out == (
        f"{path}: added GF_SECURITY_ADMIN_PASSWORD, GF_SECURITY_SECRET_KEY, GF_METRICS_BASIC_AUTH_PASSWORD, "
        "GWZ_METRICS_TOKEN, GATE_PRODUCTION_TOKEN, GATE_STAGING_TOKEN, GWZ_API_TOKEN\n"
    )
    main(["env", "--file", str(path)])
    assert capsys.readouterr().out == f"{path}: complete already, left as it is\n"


def test_what_cannot_be_checked_here_is_named_and_the_rest_is_checked(
    bare: Path, script: Script, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script(
        bare / "loki",
        '[ "$1" = --version ] && echo "loki, version 3.4.2" && exit; echo "line 3: no such field"; exit 1',
    )
    monkeypatch.setenv("PATH", f"{bare}:/usr/bin:/bin")
    assert main(["check"]) == 8
    out, err = capsys.readouterr()
    assert out.startswith("config stack/loki/loki.yml: loki refuses it: line 3: no such field Correct the file.")
    assert "tempo was not checked: tempo is not here" in err


def test_a_check_by_the_pinned_version_takes_no_other_and_fails_without(
    bare: Path, script: Script, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a bump wants it: tempo 2.8.0-pre may run, and is not what was bumped to."""
    monkeypatch.setattr(archive, "download", lambda *_: script(bare / "none", "exit 1"))
    script(bare / "tempo", '[ "$1" = --version ] && echo "tempo, version 2.8.0-pre"; exit 0')
    monkeypatch.setenv("PATH", f"{bare}:/usr/bin:/bin")
    assert main(["check", "tempo"]) == 0
    assert "tempo is checked by tempo 2.8.0-pre (pinned " in capsys.readouterr().err
    assert main(["check", "--pinned", "tempo"]) == 1
    assert re.search(
        r"tempo cannot be had\. Tried PATH: .* is 2\.8\.0-pre, usable are [\d.]+;", capsys.readouterr().err
    )


@pytest.mark.parametrize(("server", "said"), [("redis", "has no check of its own"), ("nginx", "gate was not checked")])
@pytest.mark.usefixtures("bare")
def test_a_server_is_checked_under_either_name(server: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", server]) == 0
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("nobody_answers")
def test_a_bump_says_what_it_wrote_and_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = shutil.copytree(STACK, tmp_path / "stack", ignore=shutil.ignore_patterns("src", "tests", "go.*"))
    monkeypatch.setattr(cli, "STACK", stack)
    assert main(["bump", "loki", "3.4.6"]) == 0
    dockerfile, written, after = capsys.readouterr().out.splitlines()
    assert (dockerfile, written) == (f"written: {stack}/loki/Dockerfile", f"written: {stack}/versions.toml")
    assert after.startswith("Next: stack/tests/test_versions.py")
    assert main(["bump", "loki", "3.4.6"]) == 0
    assert capsys.readouterr().out == "loki is pinned to 3.4.6 already.\n"


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
