"""compose.yaml keeps its promises: loopback only, healthy means answering, and no secret in the repository."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gwz_stack import compose
from gwz_stack.compose import ComposeStack, available
from gwz_stack.dockerfile import dockerfile
from gwz_stack.dotenv import write_env
from gwz_stack.errors import StackError
from gwz_stack.layout import COMPOSE_FILE, compose_file
from gwz_stack.render import changed_paths, e2e_overrides, parse, shipped
from gwz_stack.variables import declared
from gwz_stack.versions import SERVERS, STACK

Script = Callable[[Path, str], Path]


def test_ports_are_published_on_loopback_only_and_are_the_documented_ones() -> None:
    published = [port for service in compose_file()["services"].values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert sorted(int(port.split(":")[1]) for port in published) == [
        3000, 3100, 3200, 4317, 4318, 6379, 9090, 9121, 14317, 14318,
    ]  # fmt: skip


@pytest.mark.parametrize("server", [*SERVERS, "gate"])
def test_every_image_has_a_health_check_that_asks_a_port_of_its_own(server: str) -> None:
    image = dockerfile(server)
    *_, asked = image.health
    assert asked == "ping" or int(asked.split(":")[2].split("/")[0]) in image.exposed


@pytest.mark.parametrize("service", compose_file()["services"])
def test_a_secret_comes_from_the_environment_or_the_start_stops_with_its_name(service: str) -> None:
    for name, value in compose_file()["services"][service].get("environment", {}).items():
        if name in declared(service) and declared(service)[name].secret and declared(service)[name].required:
            assert re.match(r"\$\{[A-Z_]+:\?has no value: run `python -m gwz_stack env`", value)


def test_it_ends_with_the_one_shot_that_provisions_a_healthy_grafana() -> None:
    *_, last = compose_file()["services"]
    provision = compose_file()["services"][last]
    assert provision["command"][:2] == ["gwz-provision", "apply"]
    assert provision["depends_on"] == {"grafana": {"condition": "service_healthy"}}
    assert provision["restart"] == "no"


@pytest.mark.parametrize("service", compose_file()["services"])
def test_every_service_is_built_from_its_folder_as_railway_does(service: str) -> None:
    assert compose_file()["services"][service]["build"] == {
        "context": "..",
        "dockerfile": f"stack/{service}/Dockerfile",
    }


@pytest.mark.parametrize("service", compose_file()["services"])
def test_every_file_that_an_image_takes_exists_and_only_such_folders_are_written_that_have_a_volume(
    service: str,
) -> None:
    image = dockerfile(service)
    for source, _ in image.copies:
        assert (STACK.parent / source).exists()
    volumes = [volume.split(":")[1] for volume in compose_file()["services"][service].get("volumes", [])]
    assert set(image.folders) <= set(volumes)


def test_every_mounted_file_exists_and_every_volume_is_named() -> None:
    for service in compose_file()["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (STACK / source).exists() if source.startswith("./") else source in compose_file()["volumes"]


def test_the_urls_are_the_published_ports(tmp_path: Path) -> None:
    urls = ComposeStack(tmp_path).urls
    assert (urls.grafana, urls.otlp_grpc) == ("http://127.0.0.1:3000", "http://127.0.0.1:4317")
    assert urls.redis == "redis://127.0.0.1:6379/0"


@pytest.fixture
def docker(bare: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker command that does nothing and writes down what it was asked to do."""
    script(bare / "docker", f'echo "$@" >> {tmp_path}/calls')
    monkeypatch.setattr(compose, "available", lambda: (True, ""))
    return tmp_path / "calls"


def test_an_end_to_end_run_mounts_the_overridden_configuration_over_the_shipped_one(
    docker: Path, tmp_path: Path
) -> None:
    stack = ComposeStack(tmp_path / "run", e2e=True, env_file=tmp_path / ".env")
    stack.start()
    stack.stop()
    up, down = docker.read_text().splitlines()
    assert f"--file {COMPOSE_FILE} --file {tmp_path}/run/compose.override.yaml up --detach --wait" in up
    assert up.endswith(" ".join(SERVERS))
    assert "--project-name gatewayz-e2e" in up
    assert down.endswith("down --volumes")
    services = yaml.safe_load((tmp_path / "run" / "compose.override.yaml").read_text())["services"]
    source, target, _ = next(text for text in services["tempo"]["volumes"]).split(":")
    assert target == "/etc/tempo/tempo.yml"
    assert changed_paths("tempo", shipped("tempo"), parse("tempo", Path(source).read_text())) == set(
        e2e_overrides("tempo")
    )
    assert json.loads(stack.targets_file.read_text()) == []
    assert stack.grafana_password


def test_a_persons_own_stack_keeps_its_data(docker: Path, tmp_path: Path) -> None:
    ComposeStack(tmp_path / "run", env_file=tmp_path / ".env").stop()
    assert docker.read_text().splitlines()[-1].endswith(" down")


def test_a_failure_of_compose_is_told_in_its_words(bare: Path, script: Script, tmp_path: Path) -> None:
    script(bare / "docker", "echo no such image; exit 1")
    with pytest.raises(StackError, match=r"`docker compose down` failed\. It said: no such image\."):
        ComposeStack(tmp_path, env_file=tmp_path / ".env").stop()


@pytest.mark.usefixtures("bare")
def test_without_docker_the_reason_is_named(tmp_path: Path) -> None:
    assert available() == (False, "the docker command is not installed")
    with pytest.raises(StackError, match=r"The containers cannot run\. the docker command is not installed"):
        ComposeStack(tmp_path).start()


def test_without_an_engine_the_reason_is_named(bare: Path, script: Script) -> None:
    script(bare / "docker", 'case "$1" in info) echo "Cannot connect to the Docker daemon"; exit 1;; esac')
    assert available() == (False, "Cannot connect to the Docker daemon")


def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    """Where the command is there; it needs no engine."""
    try:
        missing = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    except FileNotFoundError:
        missing = 1
    if missing:
        pytest.skip("no docker compose command here")
    write_env(tmp_path / ".env")
    subprocess.run(
        ["docker", "compose", "--env-file", tmp_path / ".env", "--file", COMPOSE_FILE, "config", "--quiet"], check=True
    )
    bare_run = subprocess.run(
        ["docker", "compose", "--env-file", "/dev/null", "--file", COMPOSE_FILE, "config", "--quiet"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "python -m gwz_stack env" in bare_run.stderr
