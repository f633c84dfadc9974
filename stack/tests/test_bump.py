"""A bump moves a server everywhere, and nothing else."""

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gwz_stack.bump import bump
from gwz_stack.dockerfile import read
from gwz_stack.errors import StackError
from gwz_stack.railway import load, verify
from gwz_stack.versions import STACK, pins


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STACK, tmp_path / "stack", ignore=shutil.ignore_patterns("src", "tests", "go.*")))


def entries(stack: Path) -> dict[str, Any]:
    return tomllib.loads((stack / "versions.toml").read_text())


@pytest.mark.parametrize("server", [name for name in pins() if name != "promtool"])
def test_a_server_moves_everywhere_and_the_others_stay(copy: Path, server: str) -> None:
    before = entries(copy)
    folder = {"infinity": "grafana", "nginx": "gate"}.get(server, server)
    assert bump(server, "99.1.2", stack=copy) == [copy / "versions.toml", copy / folder / "Dockerfile"]
    after = entries(copy)
    moved = {name for name in after if after[name]["pinned"] != before[name]["pinned"]}
    assert moved == ({"prometheus", "promtool"} if server == "prometheus" else {server})
    image = read(copy / folder / "Dockerfile")
    if "image" in after[server]:
        assert (
            image.base == after[server]["image"] == before[server]["image"].replace(before[server]["pinned"], "99.1.2")
        )
    else:
        assert "99.1.2" in image.runs[0]
    assert verify(load(copy)) == []
    # What Go builds is a usable version still.
    for name in moved & {name for name in after if "go" in after[name]}:
        assert after[name]["go"] == before[name]["go"]
        assert after[name]["go"]["version"] in [*after[name]["accepted"]]


def test_what_is_pinned_already_is_left_alone(copy: Path) -> None:
    text = (copy / "versions.toml").read_text()
    assert bump("loki", pins()["loki"].pinned, stack=copy) == []
    assert (copy / "versions.toml").read_text() == text


def test_back_again_is_the_same_pin(copy: Path) -> None:
    bump("grafana", "99.1.2", stack=copy)
    bump("grafana", pins()["grafana"].pinned, stack=copy)
    assert (copy / "grafana" / "Dockerfile").read_text() == (STACK / "grafana" / "Dockerfile").read_text()
    assert (copy / "versions.toml").read_text() == (STACK / "versions.toml").read_text()


@pytest.mark.parametrize(
    ("server", "version", "said"),
    [
        ("lokki", "1.2.3", r"lokki is not pinned by itself\..*Pinned are prometheus, loki"),
        ("promtool", "1.2.3", "promtool is not pinned by itself"),
        ("loki", "v3.4.3", r"v3\.4\.3 is no version\."),
        ("loki", "latest", "latest is no version"),
    ],
)
def test_a_wrong_word_is_told(copy: Path, server: str, version: str, said: str) -> None:
    with pytest.raises(StackError, match=said):
        bump(server, version, stack=copy)


def test_a_dockerfile_that_says_something_else_stops_it_before_anything_is_written(copy: Path) -> None:
    (copy / "loki" / "Dockerfile").write_text("FROM grafana/loki:latest\n")
    text = (copy / "versions.toml").read_text()
    with pytest.raises(StackError, match=r"does not have loki 3\.4\.2"):
        bump("loki", "3.4.3", stack=copy)
    assert (copy / "versions.toml").read_text() == text
