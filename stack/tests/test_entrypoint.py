"""The containers' entrypoint: variables are put in, and what is wrong is told in one sentence with its name."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gwz_stack.layout import ENTRYPOINT

Start = Callable[..., subprocess.CompletedProcess[str]]
TOKEN = "0123456789abcdef"


@pytest.fixture(params=["sh", "busybox"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    """Return a function that runs the entrypoint with the shell and the awk of the images: Debian's, and busybox's."""
    tools = tmp_path / "tools"
    tools.mkdir()
    shell = ["/bin/sh"]
    if request.param == "busybox":
        if not shutil.which("busybox"):
            pytest.skip("no busybox here: `apt-get install busybox`")
        shell = ["busybox", "sh"]
        (tools / "awk").write_text('#!/bin/sh\nexec busybox awk "$@"\n')
        (tools / "awk").chmod(0o755)

    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "rendered").mkdir(exist_ok=True)
        environment = {"PATH": f"{tools}:{os.environ['PATH']}", "GWZ_RENDERED": str(tmp_path / "rendered"), **variables}
        return subprocess.run(
            [*shell, ENTRYPOINT, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def template(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "server.yml").write_text(text)
        return tmp_path / "server.yml"

    return write


def test_variables_and_defaults_are_put_in_and_the_command_runs(
    start: Start, template: Callable[[str], Path], tmp_path: Path
) -> None:
    path = template("# ${NOT_READ}\na: ${X_URL}/push ${LOKI_TARGET:-loki:3100}\nb: $${plain} & \\1 ${EMPTY:-}\n")
    result = start(path, "--", "cat", tmp_path / "rendered" / "server.yml", X_URL="http://a.b:1/c?d=e&f")
    assert (result.returncode, result.stderr) == (78, "gwz: plain is not set.\n")
    path = template("# ${NOT_READ}\na: ${X_URL}/push ${LOKI_TARGET:-loki:3100}\nb: $x & \\1 ${EMPTY:-}\n")
    result = start(path, "--", "cat", tmp_path / "rendered" / "server.yml", X_URL="http://a.b:1/c?d=e&f")
    assert result.stdout == "# ${NOT_READ}\na: http://a.b:1/c?d=e&f/push loki:3100\nb: $x & \\1 \n"


def test_a_variable_beats_a_default_and_an_empty_one_does_not(
    start: Start, template: Callable[[str], Path], tmp_path: Path
) -> None:
    path = template("${A:-1} ${B:-2}\n")
    assert start(path, "--", "cat", tmp_path / "rendered" / "server.yml", A="9", B="").stdout == "9 2\n"


def test_a_secret_may_lie_in_a_file_and_the_rendered_one_is_private(
    start: Start, template: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    path = template("${A_TOKEN}\n")
    rendered = tmp_path / "rendered" / "server.yml"
    assert start(path, "--", "cat", rendered, A_TOKEN_FILE=str(tmp_path / "token")).stdout == f"{TOKEN}\n"
    assert rendered.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LOKI_TARGET", "", "LOKI_TARGET is not set."),
        (
            "LOKI_TARGET",
            ":3100",
            'LOKI_TARGET is mis-expanded: ":3100" has no host, so a reference in it came to nothing.',
        ),
        ("TEMPO_URL", "http://:3200", 'TEMPO_URL is mis-expanded: "http://:3200" has no host, so'),
        ("LOKI_TARGET", "http://loki:3100", 'LOKI_TARGET is no host:port: "http://loki:3100".'),
        ("LOKI_TARGET", "loki", 'LOKI_TARGET is no host:port: "loki".'),
        ("LOKI_TARGET", "${{loki.X}}:1", 'LOKI_TARGET is mis-expanded: a reference is left in "${{loki.X}}:1".'),
        ("TEMPO_URL", "${TEMPO:-x}", 'TEMPO_URL is mis-expanded: a reference is left in "${TEMPO:-x}".'),
        ("TEMPO_URL", "tempo:3200", 'TEMPO_URL is no URL with http:// or https://: "tempo:3200".'),
        ("API_PORT", "80a", 'API_PORT is no number: "80a".'),
        ("A_TOKEN", "short", "A_TOKEN is too short for a secret: it has 5 characters of at least 16."),
        ("A_PASSWORD", f'{TOKEN}"', "A_PASSWORD is mis-expanded: its value holds a space, a quote, or one of"),
        ("REDIS_ADDR", "redis://:6379", 'REDIS_ADDR is mis-expanded: "redis://:6379" has no host'),
    ],
)
def test_a_wrong_value_stops_the_start_with_its_name(start: Start, name: str, value: str, sentence: str) -> None:
    result = start(name, "--", "echo", "started", **{name: value})
    assert (result.returncode, result.stdout) == (78, "")
    assert result.stderr.startswith(f"gwz: {sentence}")
    assert len(result.stderr.splitlines()) == 1
    assert TOKEN not in result.stderr


def test_all_that_is_wrong_is_told_at_once_and_each_only_once(start: Start, template: Callable[[str], Path]) -> None:
    result = start(template("${A} ${A}\n${B_PORT}\n"), "C", "--", "true", B_PORT="x")
    assert [line.split()[1] for line in result.stderr.splitlines()] == ["A", "B_PORT", "C"]


def test_a_folder_of_somebody_else_is_named(start: Start, tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path / "locked"):
        result = start(f"{folder}/", "--", "true")
        assert result.returncode == 78
        assert result.stderr.startswith(f"gwz: {folder}/ cannot be written by user {os.getuid()}")
    assert "set RAILWAY_RUN_UID=0" in result.stderr


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="only root can become somebody else")
def test_a_folder_without_write_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    argv = ["setpriv", "--reuid=65534", "--clear-groups", "/bin/sh", "-s", "/root/", "--", "true"]
    result = subprocess.run(argv, input=ENTRYPOINT.read_text(), capture_output=True, text=True, check=False)
    assert result.stderr.startswith("gwz: /root/ cannot be written by user 65534")


def test_a_configuration_that_is_not_there_is_named(start: Start, tmp_path: Path) -> None:
    assert start(tmp_path / "gone.yml", "--", "true").stderr.startswith(f"gwz: {tmp_path}/gone.yml cannot be read")


def test_a_host_without_an_address_is_named(start: Start) -> None:
    result = start("@GATE_TARGET", "--", "true", GATE_TARGET="nobody.invalid:3100")
    assert (result.returncode, result.stderr) == (
        78,
        "gwz: GATE_TARGET names the host nobody.invalid, which has no address: it is misspelt, or not running yet.\n",
    )
    assert start("@GATE_TARGET", "--", "echo", "on", GATE_TARGET="localhost:3100").stdout == "on\n"


def test_the_command_takes_the_place_of_the_shell(start: Start) -> None:
    """So that signals reach the server."""
    assert start("--", "sh", "-c", 'read -r name < /proc/$PPID/comm; echo "$name"').stdout.strip() not in {
        "sh",
        "busybox",
    }
