"""What the native stack does before, and instead of, running: real servers are the end-to-end run's."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gwz_stack import Found, NativeStack, PortTaken, ServerDied, StackError, Supervisor
from gwz_stack.errors import ServerUnavailable
from gwz_stack.grafana import homepath
from gwz_stack.versions import SERVERS

Script = Callable[[Path, str], Path]


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor(grace_s=2) as supervisor:
        yield supervisor


@pytest.fixture
def servers(script: Script, tmp_path: Path) -> dict[str, Found]:
    """Servers that start, say so, and never answer."""
    names = [name for name in SERVERS if name != "grafana"]
    return {
        name: Found(name, "1", "1", "test", script(tmp_path / "bin" / name, "echo here; exec sleep 60"))
        for name in names
    }


def test_a_server_that_dies_at_start_ends_the_others(
    supervisor: Supervisor, servers: dict[str, Found], script: Script, tmp_path: Path
) -> None:
    script(servers["loki"].path, "echo 'mkdir data: no space left on device'; exit 1")
    stack = NativeStack(tmp_path / "run", servers=servers, supervisor=supervisor)
    with pytest.raises(ServerDied, match=r"loki ended with exit code 1\. The disk is full\."):
        stack.start()
    assert not [name for name in servers if name in supervisor]


def test_everything_is_written_below_the_run_folder(
    supervisor: Supervisor, servers: dict[str, Found], script: Script, tmp_path: Path
) -> None:
    script(servers["tempo"].path, "sleep 0.2; exit 1")
    with pytest.raises(ServerDied):
        NativeStack(tmp_path / "run", servers=servers, supervisor=supervisor, e2e=True).start()
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "run"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config", "data", "logs", "tmp"}
    assert "trace_idle_period: 1s" in (tmp_path / "run" / "config" / "tempo.yml").read_text()
    assert (tmp_path / "run" / "logs" / "redis.log").read_text() == "here\n"


def test_a_missing_server_is_named_but_grafana_may_be_missing(
    supervisor: Supervisor, servers: dict[str, Found], tmp_path: Path
) -> None:
    stack = NativeStack(tmp_path, servers=servers, supervisor=supervisor)
    assert stack.urls.grafana is None
    del servers["loki"]
    with pytest.raises(StackError, match=r"cannot start without loki\..*`python -m gwz_stack find loki`"):
        NativeStack(tmp_path, servers=servers, supervisor=supervisor)


def test_a_given_port_is_used_and_a_taken_one_is_named(
    supervisor: Supervisor, servers: dict[str, Found], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port}, wanted for tempo"):
            NativeStack(tmp_path, servers=servers, supervisor=supervisor, ports={"tempo": port})
    stack = NativeStack(tmp_path, servers=servers, supervisor=supervisor, ports={"tempo": port})
    assert stack.urls.tempo == f"http://127.0.0.1:{port}"


def test_targets_are_written_whole(supervisor: Supervisor, servers: dict[str, Found], tmp_path: Path) -> None:
    stack = NativeStack(tmp_path, servers=servers, supervisor=supervisor)
    targets = [{"targets": ["127.0.0.1:8000"], "labels": {"__metrics_path__": "/wrong"}}]
    stack.set_targets(targets)
    assert json.loads(stack.targets_file.read_text()) == targets
    assert [path.name for path in stack.targets_file.parent.iterdir()] == [stack.targets_file.name]


def test_each_stack_draws_its_own_password(supervisor: Supervisor, servers: dict[str, Found], tmp_path: Path) -> None:
    one, other = (NativeStack(tmp_path, servers=servers, supervisor=supervisor) for _ in range(2))
    assert one.grafana_password != other.grafana_password


def test_a_run_folder_that_cannot_be_written_is_named(
    supervisor: Supervisor, servers: dict[str, Found], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"Could not write .*/file/run"):
        NativeStack(tmp_path / "file" / "run", servers=servers, supervisor=supervisor).start()


def grafana_at(path: Path) -> Found:
    return Found("grafana", "11.5.2", "11.5.2", "test", path)


@pytest.mark.usefixtures("bare")
def test_grafanas_homepath_is_where_it_was_unpacked(tmp_path: Path) -> None:
    (tmp_path / "grafana" / "conf").mkdir(parents=True)
    (tmp_path / "grafana" / "conf" / "defaults.ini").write_text("")
    assert homepath(grafana_at(tmp_path / "grafana" / "bin" / "grafana")) == tmp_path / "grafana"


@pytest.mark.usefixtures("bare")
def test_a_grafana_without_its_homepath_is_an_error_with_a_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GWZ_GRAFANA_HOME", str(tmp_path))
    with pytest.raises(ServerUnavailable, match=r"conf/defaults\.ini is in none of .*Set GWZ_GRAFANA_HOME"):
        homepath(grafana_at(tmp_path / "bin" / "grafana"))
