"""A bump moves a server everywhere, and nothing else."""

import io
import json
import os
import shutil
import subprocess
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gwz_stack import archive, gomodule
from gwz_stack.bump import bump
from gwz_stack.dockerfile import read
from gwz_stack.errors import StackError
from gwz_stack.miss import Absent, Miss
from gwz_stack.railway import load, verify
from gwz_stack.versions import STACK, Archive, pins

Script = Callable[[Path, str], Path]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STACK, tmp_path / "stack", ignore=shutil.ignore_patterns("src", "tests", "go.*")))


def entries(stack: Path) -> dict[str, Any]:
    return tomllib.loads((stack / "versions.toml").read_text())


@pytest.mark.usefixtures("nobody_answers")
@pytest.mark.parametrize("server", [name for name in pins() if name != "promtool"])
def test_a_server_moves_everywhere_and_the_others_stay(copy: Path, server: str) -> None:
    before = entries(copy)
    folder = {"infinity": "grafana", "nginx": "gate"}.get(server, server)
    assert bump(server, "99.1.2", stack=copy) == [copy / folder / "Dockerfile", copy / "versions.toml"]
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


@pytest.mark.usefixtures("nobody_answers")
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


def test_a_version_that_nobody_has_is_refused_before_anything_is_written(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def not_there(release: Archive) -> None:
        asked.append(release.checksums)
        raise Absent(f"{release.checksums} answered 404")

    monkeypatch.setattr(archive, "look_up", not_there)
    before = {path: path.read_text() for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(StackError, match=r"There is no prometheus 9\.9\.9\. https://.*/v9\.9\.9/.* answered 404\."):
        bump("prometheus", "9.9.9", stack=copy)
    assert len(asked) == 1
    assert {path: path.read_text() for path in copy.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("nobody_answers")
def test_what_could_not_be_asked_or_moved_is_told(copy: Path) -> None:
    told: list[str] = []
    bump("prometheus", "3.2.9", stack=copy, tell=told.append)
    assert told == [
        "whether there is such a release was not seen: example.com cannot be reached",
        f"Go goes on building {pins()['prometheus'].pinned}: example.com cannot be reached",
    ]


# --- the Go module


MODULE = "github.com/prometheus/prometheus"
COMMAND = f"{MODULE}/cmd/prometheus"


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Return a function that publishes a module, with a command, at the only proxy that Go asks."""
    if not shutil.which("go"):
        pytest.skip("needs Go")
    root = tmp_path / "proxy"
    for name, value in {
        "GOPROXY": root.as_uri(),
        "GOSUMDB": "off",
        "GOMODCACHE": str(tmp_path / "modules"),
        "GOFLAGS": "-modcacherw",
    }.items():
        monkeypatch.setenv(name, value)

    def publish(module: str, version: str, rest: str = "") -> None:
        folder = root / module / "@v"
        folder.mkdir(parents=True, exist_ok=True)
        go_mod = f"module {module}\n\ngo 1.24\n\n{rest}"
        (folder / f"{version}.mod").write_text(go_mod)
        (folder / f"{version}.info").write_text(json.dumps({"Version": version}))
        imports = "".join(f'import _ "{word}"\n' for word in rest.split() if word.startswith("example.com/dep"))
        sources = {"go.mod": go_mod, "go.sum": "", "lib.go": "package lib\n", "cmd/prometheus/main.go": ""}
        sources["cmd/prometheus/main.go"] = f"package main\n\n{imports}\nfunc main() {{}}\n"
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as file:
            for name, text in sources.items():
                file.writestr(f"{module}@{version}/{name}", text)
        (folder / f"{version}.zip").write_bytes(packed.getvalue())

    return publish


def test_its_go_module_moves_too_with_the_replacements_of_the_new_version(
    copy: Path, proxy: Callable[[str, str, str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(archive, "look_up", lambda _: None)
    for version in ("v1.0.0", "v1.1.0"):
        proxy("example.com/dep", version, "")
        proxy("example.com/fork", version, "")
    needs = "require example.com/dep v1.0.0\n"
    proxy(MODULE, "v0.302.1", f"{needs}\nreplace example.com/dep => example.com/fork v1.0.0\n")
    local = "replace example.com/beside => ./beside\n"
    proxy(MODULE, "v0.303.0", f"{needs}\nreplace example.com/dep => example.com/fork v1.1.0\n{local}")
    folder = copy / "prometheus"
    (folder / "go.mod").write_text(
        f"module x.example/prometheus\n\ngo 1.24\n\ntool {COMMAND}\n\nrequire (\n\t{MODULE} v0.302.1\n"
        "\texample.com/dep v1.0.0\n)\n\nreplace example.com/dep => example.com/fork v1.0.0\n"
    )
    (folder / "go.sum").write_text("")
    written = bump("prometheus", "3.3.0", stack=copy)
    assert {path.name for path in written} == {"versions.toml", "Dockerfile", "go.mod", "go.sum"}
    text = (folder / "go.mod").read_text()
    assert f"{MODULE} v0.303.0" in text
    assert text.count("=>") == text.count("replace example.com/dep => example.com/fork v1.1.0") == 1
    # It builds as gobuild builds it: nothing is missing in go.sum.
    build = ["go", "build", "-mod=readonly", "-o", str(tmp_path / "binary"), COMMAND]
    subprocess.run(build, cwd=folder, check=True, capture_output=True, env={**os.environ, "GOFLAGS": ""})
    after = entries(copy)
    for name in ("prometheus", "promtool"):
        assert after[name]["go"]["version"] == after[name]["pinned"] == "3.3.0"
        assert after[name]["go"]["ldflags"].endswith("version.Version=3.3.0")
        assert "accepted" not in after[name]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("reading https://proxy.example/@v/v0.309.0.info: 404 Not Found", Absent),
        ("v0.309.0: invalid version: unknown revision v0.309.0", Absent),
        ("dial tcp: lookup proxy.example: no such host", Miss),
        ("reading https://proxy.example/@v/v0.309.0.info: 502 Bad Gateway", Miss),
    ],
)
def test_gos_words_tell_what_is_not_there_from_who_is_not_there(
    bare: Path, script: Script, words: str, kind: type[Miss]
) -> None:
    script(bare / "go", f"echo '{words}' >&2; exit 1")
    with pytest.raises(Miss, match=r"`go mod download` failed \(") as caught:
        gomodule.moved("prometheus", "3.9.0", STACK / "prometheus")
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("server", "version", "said"),
    [
        ("tempo", "2.7.2", "no release of tempo is a Go module"),
        ("prometheus", "2.55.1", "how prometheus 2 is numbered as a Go module is not known here"),
    ],
)
def test_what_is_no_go_module_is_told(server: str, version: str, said: str) -> None:
    with pytest.raises(Miss, match=said):
        gomodule.moved(server, version, STACK / server)
