"""The containers' entrypoint: variables are put in, and what is wrong is told in one sentence with its name."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gwz_stack.dockerfile import dockerfile
from gwz_stack.layout import ENTRYPOINT
from gwz_stack.variables import samples

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
        ("REDIS_ADDR", f"redis://a:{TOKEN}@:6379", 'REDIS_ADDR is mis-expanded: "...@:6379" has no host'),
        ("REDIS_ADDR", f"redis://a:{TOKEN}#@r:6379", 'REDIS_ADDR is mis-expanded: "...@r:6379" holds a space'),
    ],
)
def test_a_wrong_value_stops_the_start_with_its_name(start: Start, name: str, value: str, sentence: str) -> None:
    result = start(name, "--", "echo", "started", **{name: value})
    assert (result.returncode, result.stdout) == (78, "")
    assert result.stderr.startswith(f"gwz: {sentence}")
    assert len(result.stderr.splitlines()) == 1
    assert TOKEN not in result.stderr


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("GWZ_ALERT_SLACK_URL", "", None),
        ("GWZ_ALERT_SLACK_URL", "https://hooks.example/T0/B0", None),
        ("GWZ_ALERT_EMAIL", "a@b.example; c@d.example", None),
        ("REDIS_PASSWORD", "a}$ b", None),
        ("GWZ_ALERT_SLACK_URL", "${{shared.SLACK}}", "is mis-expanded: a reference is left in"),
        ("GWZ_ALERT_SLACK_URL", "https://", 'is mis-expanded: "https://" has no host'),
        ("GWZ_ALERT_SLACK_URL", "hooks.example/T0", "is no URL with http:// or https://"),
        ("REDIS_PASSWORD", "${{Redis.REDIS_PASSWORD}}", "is mis-expanded: a reference is left in its value"),
    ],
)
def test_what_may_be_missing_is_wrong_only_where_a_reference_came_to_nothing(
    start: Start, name: str, value: str, sentence: str | None
) -> None:
    result = start(f"{name}?", "--", "echo", "on", **{name: value})
    if sentence:
        assert (result.returncode, result.stdout) == (78, "")
        assert result.stderr.startswith(f"gwz: {name} {sentence}")
    else:
        assert (result.stdout, result.stderr) == ("on\n", "")


def test_all_that_is_wrong_is_told_at_once_and_each_only_once(start: Start, template: Callable[[str], Path]) -> None:
    wrong = [template("${A} ${A}\n${B_PORT}\n"), "/nowhere/", "/gone.yml", "@D_TARGET", "C"]
    result = start(*wrong, "--", "true", B_PORT="x", D_TARGET="nobody.invalid:1")
    told = ["A", "B_PORT", "/nowhere/", "/gone.yml", "D_TARGET", "C"]
    assert [line.split()[1] for line in result.stderr.splitlines()] == told


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


UNKNOWN = "has no address: it is misspelt, or not running yet."


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("nobody.invalid:3100", "nobody.invalid"),
        ("http://nobody.invalid", "nobody.invalid"),
        ("http://nobody.invalid:3100/loki", "nobody.invalid"),
        (f"redis://default:{TOKEN}@nobody.invalid:6379/0", "nobody.invalid"),
        ("localhost:3100", None),
        (f"redis://:{TOKEN}@localhost:6379", None),
        # Of these nobody has a name to ask for.
        ("192.0.2.1:3100", None),
        ("http://[2001:db8::1]:3100/", None),
    ],
)
def test_a_host_without_an_address_is_named(start: Start, value: str, host: str | None) -> None:
    result = start("@A_PEER", "--", "echo", "on", A_PEER=value)
    if host:
        assert (result.returncode, result.stdout) == (78, "")
        assert result.stderr == f"gwz: A_PEER names the host {host}, which {UNKNOWN}\n"
    else:
        assert (result.stdout, result.stderr) == ("on\n", "")


# Whose work is nothing without that peer. A server that has work of its own waits for its peers: docs/decisions/0015.
PEERS = {
    "gate": ["GATE_LOKI_TARGET", "GATE_OTLP_HTTP_TARGET", "GATE_OTLP_GRPC_TARGET"],
    "redis_exporter": ["REDIS_ADDR"],
    "provision": ["PROMETHEUS_INTERNAL_URL", "LOKI_URL", "TEMPO_INTERNAL_URL"],
}


@pytest.mark.parametrize("service", ["prometheus", "loki", "tempo", "grafana", *PEERS])
def test_what_works_for_a_peer_alone_does_not_start_without_its_address(start: Start, service: str) -> None:
    needs = [need for need in dockerfile(service).needs if "/" not in need and not need.endswith("?")]
    assert [need[1:] for need in needs if need.startswith("@")] == PEERS.get(service, [])
    for peer in PEERS.get(service, []):
        misspelt = samples(service) | {peer: samples(service)[peer].replace("localhost", "nobody.invalid")}
        result = start(*needs, "--", "echo", "on", **misspelt)
        assert (result.returncode, result.stdout) == (78, "")
        assert result.stderr == f"gwz: {peer} names the host nobody.invalid, which {UNKNOWN}\n"


def test_the_command_takes_the_place_of_the_shell(start: Start) -> None:
    """So that signals reach the server."""
    assert start("--", "sh", "-c", 'read -r name < /proc/$PPID/comm; echo "$name"').stdout.strip() not in {
        "sh",
        "busybox",
    }
