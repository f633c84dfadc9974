"""The audit is content with what is shipped, and turns red for each hole that is planted."""

import json
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gwz_stack import SERVERS, Found, Gate, NativeStack, Supervisor, cli
from gwz_stack.audit import Audit
from gwz_stack.audit.files import inspect
from gwz_stack.audit.judge import EXPECTED, Observed, judge
from gwz_stack.audit.observe import observe
from gwz_stack.audit.probes import NOBODY, Answer
from gwz_stack.audit.secrets import scan
from gwz_stack.audit.sockets import Socket, listening
from gwz_stack.errors import StackError
from gwz_stack.findings import Finding
from gwz_stack.versions import STACK, pin

Here = Callable[..., dict[str, Found]]
TEMPO = pin("tempo").image or ""
QUIET = Observed(sockets=(), ports=frozenset(), answers=(), loose_files=(), loud_processes=())


# --- files


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STACK, tmp_path / "stack", ignore=shutil.ignore_patterns("src", "tests", "go.*")))


def test_the_shipped_files_open_nothing() -> None:
    assert inspect(STACK) == []


@pytest.mark.parametrize(
    ("file", "right", "wrong", "wanted"),
    [
        ("tempo/Dockerfile", TEMPO, "grafana/tempo:latest", "image"),
        ("tempo/Dockerfile", TEMPO, "grafana/tempo", "image"),
        ("loki/Dockerfile", "USER 10001", "", "root"),
        ("grafana/Dockerfile", "USER 472", "", "root"),
        ("compose.yaml", '"127.0.0.1:3100:3100"', '"3100:3100"', "port-published"),
        ("compose.yaml", '"127.0.0.1:3100:3100"', '"0.0.0.0:3100:3100"', "port-published"),
        ("compose.yaml", "  loki:\n    build", "  loki:\n    privileged: true\n    build", "privilege"),
        ("compose.yaml", "  loki:\n    build", "  loki:\n    network_mode: host\n    build", "privilege"),
        ("compose.yaml", "  loki:\n    build", "  loki:\n    user: root\n    build", "root"),
        ("compose.yaml", "      - loki:/loki", "      - /var/run/docker.sock:/x", "privilege"),
        ("compose.yaml", '"${GATE_STAGING_TOKEN:?', '"word-of-a-human" # ', "secret-tree"),
    ],
)  # fmt: skip
def test_a_hole_in_a_file_is_seen(copy: Path, file: str, right: str, wrong: str, wanted: str) -> None:
    text = (copy / file).read_text()
    assert right in text
    (copy / file).write_text(text.replace(right, wrong, 1))
    assert [finding.id for finding in inspect(copy)] == [wanted]


# --- secrets


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    commit(
        folder, "README.md", "password: read it in the environment\ntoken = os.environ['GWZ_METRICS_TOKEN_OF_2026']\n"
    )
    return folder


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def commit(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", name)


# Drawn anew in each run: written here they would be findings themselves.
SECRETS = {
    "a GatewayZ key": lambda: f"curl -H 'Authorization: Bearer {'gw_' + 'live_'}{secrets.token_urlsafe(24)}'",
    "a private key": lambda: "-----BEGIN RSA " + "PRIVATE KEY-----",
    "a Grafana token": lambda: f"{'gl' + 'sa_'}{secrets.token_hex(16)}_{secrets.token_hex(4)}",
    "a key of a model's provider": lambda: f"{'s' + 'k-proj-'}{secrets.token_hex(24)}",
    "a value of a secret's name": lambda: f'GF_SECURITY_ADMIN_PASSWORD: "{secrets.token_hex(16)}"',
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_in_a_file_is_seen_whether_or_not_it_is_committed(repository: Path, kind: str) -> None:
    assert scan(repository) == []
    (repository / "prom.yml").write_text(f"a: 1\n{SECRETS[kind]()}\n")
    (finding,) = scan(repository)
    assert (finding.id, finding.subject) == ("secret-tree", "prom.yml:2")
    assert kind in finding.sentence


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_that_was_taken_out_is_still_in_the_history(repository: Path, kind: str) -> None:
    text = SECRETS[kind]()
    commit(repository, "prom.yml", f"{text}\n")
    commit(repository, "prom.yml", "nothing\n")
    git(repository, "checkout", "--quiet", "-b", "other")
    (finding,) = scan(repository)
    assert finding.id == "secret-history"
    assert finding.subject.startswith("commit ")
    assert text.split()[-1].strip("'\"")[:16] not in str(finding)


def test_a_secret_on_another_branch_is_seen(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "other")
    commit(repository, "x", SECRETS["a Grafana token"]())
    git(repository, "checkout", "--quiet", "-")
    assert [finding.id for finding in scan(repository)] == ["secret-history"]


def test_what_git_ignores_and_what_is_made_up_is_no_finding(repository: Path) -> None:
    commit(repository, ".gitignore", ".env\n")
    (repository / ".env").write_text(SECRETS["a value of a secret's name"]())
    (repository / "test.py").write_text('token = "abcdef0123456789abcdef"\nAPI_KEY=sample-api_key-of-2026-x1y2z3\n')
    assert scan(repository) == []


def test_without_a_history_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"`git ls-files` failed in .*not a git repository"):
        scan(tmp_path)


# --- what a running stack does


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda expected: expected.id)
def test_every_wrong_answer_has_its_name(expected: object) -> None:
    for asked in expected.asked:
        for credentials in expected.credentials:
            right = [Answer("x", asked, credentials, status) for status in expected.statuses]
            found = judge(replace(QUIET, answers=(*right, Answer("x", asked, credentials, 299))))
            assert expected.id in {finding.id for finding in found}
            refused = judge(replace(QUIET, answers=tuple(right)))
            assert expected.id not in {finding.id for finding in refused}


def test_an_open_socket_is_seen() -> None:
    sockets = (Socket("loki", "0.0.0.0", 3100), Socket("loki", "::ffff:127.0.0.1", 3101), Socket("tempo", "::", 3102))
    found = judge(replace(QUIET, sockets=sockets, ports=frozenset({3100, 3101})))
    assert [(finding.id, finding.subject) for finding in found] == [
        ("port-open", "loki 0.0.0.0:3100"),
        ("port-open", "tempo :::3102"),
        ("port-unknown", "tempo :::3102"),
    ]


def test_a_cookie_that_leaves_over_plain_http_and_missing_headers_are_seen() -> None:
    login = Answer("grafana", "GET /login", NOBODY, 200, {"x-frame-options": "deny"})
    session = Answer("grafana", "POST /login", "the right token", 200, {}, ("grafana_session=x; Path=/; HttpOnly",))
    found = judge(replace(QUIET, answers=(login, session)))
    assert [finding.id for finding in found] == ["grafana-headers"] * 3 + ["grafana-cookie"] * 2
    assert "not Secure" in found[3].sentence


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as supervisor:
        yield supervisor


@pytest.fixture(scope="module")
def nginx(here: Here) -> Found:
    return here("nginx")["nginx"]


@pytest.fixture(scope="module")
def stack(here: Here, supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """A stack without Grafana: what can be tested everywhere."""
    servers = here(*(name for name in SERVERS if name != "grafana"))
    stack = NativeStack(tmp_path_factory.mktemp("stack"), servers=servers, supervisor=supervisor)
    stack.start()
    yield stack
    stack.kill_server("tempo")  # it would take its seconds to write down what nobody reads


@pytest.fixture
def gate(
    stack: NativeStack, nginx: Found, supervisor: Supervisor, tmp_path: Path
) -> Iterator[Callable[[str, str], Gate]]:
    """Return a function that starts a gate with one thing in its configuration changed."""
    supervisor.stop(Gate.name)

    def start(right: str, wrong: str) -> Gate:
        text = (STACK / "gate" / "nginx.conf").read_text()
        assert right in text
        (tmp_path / "nginx.conf").write_text(text.replace(right, wrong))
        gate = Gate(
            tmp_path / "gate",
            nginx=nginx,
            urls=stack.urls,
            supervisor=supervisor,
            configuration=tmp_path / "nginx.conf",
        )
        gate.start()
        return gate

    yield start
    supervisor.stop(Gate.name)


def holes(observed: Observed) -> set[str]:
    return {finding.id for finding in judge(observed)}


@pytest.mark.slow
def test_a_sound_stack_has_no_hole_and_every_answer_is_held_against_something(
    stack: NativeStack, gate: Callable[[str, str], Gate], supervisor: Supervisor
) -> None:
    observed = observe(stack, gate("", ""), supervisor)
    assert judge(observed) == []
    assert {socket.server for socket in observed.sockets} == {*stack.servers, "gate"}
    assert all(
        any(answer.asked in expected.asked and answer.credentials in expected.credentials for expected in EXPECTED)
        for answer in observed.answers
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "hole",
    [
        ("return 401;", "set $nobody 1;", "write-open"),
        ('default "";', "default production;", "write-open"),
        ('"~^Bearer \\Q${GATE_PRODUCTION_TOKEN}\\E$"', '"~^Bearer nobody$"', "write-closed"),
        ("return 404;", "proxy_pass http://${GATE_LOKI_TARGET};", "read-open"),
        ("client_max_body_size ${GATE_BODY_MAX:-8m};", "client_max_body_size 0;", "body-unlimited"),
        ("limit_req zone=pushes burst=${GATE_BURST:-200} nodelay;", "", "rate-unlimited"),
    ],
)
def test_a_hole_in_the_gate_is_seen(
    stack: NativeStack, gate: Callable[[str, str], Gate], supervisor: Supervisor, hole: tuple[str, str, str]
) -> None:
    right, wrong, wanted = hole
    assert wanted in holes(observe(stack, gate(right, wrong), supervisor))


@pytest.mark.slow
def test_an_open_loki_port_is_seen(stack: NativeStack, supervisor: Supervisor) -> None:
    stack.restart("loki", overrides={"server.http_listen_address": "0.0.0.0"})
    try:
        assert holes(observe(stack, None, supervisor)) == {"port-open"}
    finally:
        stack.restart("loki")


@pytest.mark.slow
def test_a_token_in_a_file_that_others_read_and_on_a_command_line_is_seen(
    stack: NativeStack, supervisor: Supervisor, script: Callable[[Path, str], Path], tmp_path: Path
) -> None:
    loose = stack.run_dir / "token"
    loose.write_text(stack.metrics_token)
    loose.chmod(0o644)
    loud = script(tmp_path / "loud", "sleep 60; true")
    supervisor.stop("redis_exporter")
    supervisor.launch("redis_exporter", ["/bin/sh", str(loud), stack.metrics_token], log=tmp_path / "log")
    try:
        found = judge(observe(stack, None, supervisor))
        assert {(finding.id, finding.subject) for finding in found} == {
            ("secret-readable", "token"),
            ("secret-argument", "redis_exporter"),
        }
    finally:
        loose.unlink()
        stack.restart("redis_exporter")


def test_the_kernels_table_is_read_in_both_families(supervisor: Supervisor, tmp_path: Path) -> None:
    code = (
        "import socket, time\n"
        "four = socket.create_server(('127.0.0.1', 0))\n"
        "six = socket.create_server(('::', 0), family=socket.AF_INET6)\n"
        "print(four.getsockname()[1], six.getsockname()[1], flush=True)\n"
        "time.sleep(60)\n"
    )
    log = tmp_path / "log"
    process = supervisor.launch("listener", ["python3", "-c", code], log=log)
    supervisor.wait_ready({"listener": lambda: len(log.read_text().split()) == 2})
    four, six = map(int, log.read_text().split())
    found = {(socket.address, socket.port): socket.loopback for socket in listening("listener", process.pid)}
    assert found == {("127.0.0.1", four): True, ("::", six): False}
    supervisor.stop("listener")


# --- Grafana, where there is one


@pytest.fixture(scope="module")
def with_grafana(here: Here, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NativeStack, Supervisor]]:
    servers = here(*SERVERS)
    with Supervisor() as supervisor:
        stack = NativeStack(tmp_path_factory.mktemp("grafana"), servers=servers, supervisor=supervisor)
        stack.start()
        yield stack, supervisor
        stack.kill_server("tempo")


@pytest.mark.slow
def test_a_hole_in_grafana_is_seen(with_grafana: tuple[NativeStack, Supervisor]) -> None:
    stack, supervisor = with_grafana
    assert judge(observe(stack, None, supervisor)) == []
    planted = {
        "auth.anonymous.enabled": ("true", "grafana-anonymous"),
        "auth.anonymous.org_role": ("Admin", "grafana-anonymous"),
        "users.allow_sign_up": ("true", "grafana-sign-up"),
        "security.cookie_secure": ("false", "grafana-cookie"),
        "security.content_security_policy": ("false", "grafana-headers"),
        "security.allow_embedding": ("true", "grafana-headers"),
        "metrics.basic_auth_username": ("", "grafana-metrics"),
    }
    stack.restart("grafana", overrides={path: value for path, (value, _) in planted.items()})
    assert holes(observe(stack, None, supervisor)) == {wanted for _, wanted in planted.values()}


@pytest.mark.slow
def test_a_default_password_is_seen(with_grafana: tuple[NativeStack, Supervisor]) -> None:
    stack, supervisor = with_grafana
    stack.restart("grafana")
    for default in ("admin", "yourpassword" + "123"):
        answer = httpx.put(
            f"{stack.urls.grafana}/api/admin/users/1/password",
            json={"password": default},
            auth=("admin", stack.grafana_password),
            trust_env=False,
        )
        assert answer.is_success
        stack.grafana_password = default
        assert holes(observe(stack, None, supervisor)) == {"default-password"}


# --- the command


@pytest.mark.parametrize(("findings", "code"), [([], 0), ([Finding("root", "x", "It is root.", "Stop.")], 8)])
def test_the_report_is_written_and_findings_end_with_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, findings: list[Finding], code: int
) -> None:
    sockets = (Socket("loki", "127.0.0.1", 3100), Socket("tempo", "0.0.0.0", 3200))
    done = Audit(findings, replace(QUIET, sockets=sockets), {"loki": "3.4.2"}, ["Grafana was not asked."])
    monkeypatch.setattr(cli, "audit", lambda **_: done)
    assert cli.main(["audit", "--out", str(tmp_path)]) == code
    report = json.loads((tmp_path / "report.json").read_text())
    assert [port["to"] for port in report["ports"]] == ["this machine", "everybody"]
    assert [finding["id"] for finding in report["findings"]] == [finding.id for finding in findings]
    assert report["not_proved"] == ["Grafana was not asked."]
