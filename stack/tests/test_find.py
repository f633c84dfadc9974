"""The order in which a server's binary is sought, and what becomes of unusable ones."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from gwz_stack import archive, find, gobuild
from gwz_stack.cache import Cache
from gwz_stack.errors import ServerUnavailable, VersionRefused
from gwz_stack.miss import Miss
from gwz_stack.versions import STACK, pin

Script = Callable[[Path, str], Path]
PINNED = pin("tempo").pinned
find_module = import_module("gwz_stack.find")  # the package's attribute of that name is the function


def says(version: str) -> str:
    return f'echo "tempo, version {version} (branch: HEAD, revision: abc)"'


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No archive can be had."""

    def refuse(*_: object) -> Path:
        raise Miss("example.com cannot be reached")

    monkeypatch.setattr(archive, "download", refuse)


def test_the_environment_comes_before_path(
    bare: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(bare / "tempo", says(PINNED))
    chosen = script(tmp_path / "mine", says("2.8.0-pre"))
    monkeypatch.setenv("GWZ_TEMPO_BIN", str(chosen))
    found = find("tempo")
    assert (found.version, found.pinned, found.source, found.path) == ("2.8.0-pre", PINNED, "GWZ_TEMPO_BIN", chosen)
    assert str(found) == f"tempo 2.8.0-pre (pinned {PINNED})"


def test_path_comes_next(bare: Path, script: Script) -> None:
    path = script(bare / "tempo", says(PINNED))
    found = find("tempo")
    assert (found.version, found.source, found.path) == (PINNED, "PATH", path)
    assert str(found) == f"tempo {PINNED}"


def test_another_version_that_was_named_explicitly_is_an_error(
    bare: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(bare / "tempo", says(PINNED))
    monkeypatch.setenv("GWZ_TEMPO_BIN", str(script(tmp_path / "old", says("2.6.0"))))
    with pytest.raises(
        VersionRefused,
        match=rf"tempo 2\.6\.0 .*was refused\. Usable are {re.escape(PINNED)}, 2\.8\.0-pre\. .*GWZ_TEMPO_BIN",
    ):
        find("tempo")


def test_a_binary_that_was_named_explicitly_and_does_not_exist_is_an_error(
    bare: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(bare / "tempo", says(PINNED))
    monkeypatch.setenv("GWZ_TEMPO_BIN", "/nowhere/tempo")
    with pytest.raises(
        ServerUnavailable, match=r"GWZ_TEMPO_BIN names /nowhere/tempo, but .*Correct or unset GWZ_TEMPO_BIN"
    ):
        find("tempo")


def test_another_version_on_path_is_passed_over_and_the_cached_archive_runs(
    bare: Path, script: Script, tmp_path: Path
) -> None:
    script(bare / "tempo", says("2.6.0"))
    release = pin("tempo").archive
    assert release
    folder = archive._folder(release, Cache(tmp_path / "cache"))
    path = script(folder / release.member, says(PINNED))
    found = find("tempo")
    assert (found.source, found.path) == ("release archive (cached)", path)


@pytest.mark.usefixtures("bare")
def test_an_archive_comes_before_a_build(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(tmp_path / "unpacked", says(PINNED))
    monkeypatch.setattr(archive, "download", lambda *_: path)
    assert find("tempo").source == "release archive"


def fake_go(bare: Path, script: Script) -> Path:
    """A compiler that writes a program which calls itself what -ldflags says, and counts its calls."""
    return script(
        bare / "go",
        f"""
        case "$1" in env) echo go1.24.0; exit;; esac
        echo called >> {bare}/calls
        while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
        echo '#!/bin/sh' > $out; echo 'echo tempo, version 2.8.0-pre' >> $out; /bin/chmod +x $out
        """,
    )


@pytest.mark.usefixtures("offline")
def test_a_build_is_the_way_when_there_is_no_archive_and_happens_once(bare: Path, script: Script) -> None:
    fake_go(bare, script)
    lines: list[str] = []
    assert find("tempo", progress=lines.append).source == "Go module"
    assert "building tempo 2.8.0-pre from its Go module" in lines[0]
    assert find("tempo").source == "Go module (cached)"
    assert (bare / "calls").read_text().count("called") == 1


@pytest.mark.usefixtures("offline")
def test_a_changed_module_is_built_anew(
    bare: Path, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_go(bare, script)
    stack = tmp_path / "stack"
    shutil.copytree(STACK / "tempo", stack / "tempo")
    monkeypatch.setattr(gobuild, "STACK", stack)
    find("tempo")
    (stack / "tempo" / "go.sum").write_text("changed\n")
    assert find("tempo").source == "Go module"


@pytest.mark.usefixtures("offline")
def test_a_failed_build_tells_the_compilers_words_and_leaves_nothing_in_the_cache(
    bare: Path, script: Script, tmp_path: Path
) -> None:
    script(bare / "go", 'case "$1" in env) echo go1.24.0;; *) echo "main.go:1: syntax error"; exit 1;; esac')
    with pytest.raises(ServerUnavailable, match=r"`go build` failed \(main.go:1: syntax error\)"):
        find("tempo")
    assert not list((tmp_path / "cache" / "go").iterdir())


@pytest.mark.usefixtures("bare", "offline")
def test_what_cannot_be_had_is_named_with_every_reason_and_the_cures() -> None:
    with pytest.raises(ServerUnavailable) as caught:
        find("tempo")
    message = str(caught.value)
    for part in (
        "tempo cannot be had.",
        "PATH: no tempo",
        "release archive: example.com cannot be reached",
        "Go module: Go is not installed",
        f"Set GWZ_TEMPO_BIN to a binary of version {PINNED} or 2.8.0-pre",
        "install Go 1.24",
    ):
        assert part in message


@pytest.mark.usefixtures("offline")
def test_a_refused_version_on_path_is_among_the_reasons(bare: Path, script: Script) -> None:
    script(bare / "tempo", says("2.6.0"))
    with pytest.raises(ServerUnavailable, match=r"PATH: .*/tempo is 2\.6\.0, usable are .*2\.8\.0-pre"):
        find("tempo")


def test_redis_without_root_names_the_package_to_install(
    bare: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(bare / "apt-get", "exit 1")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ServerUnavailable, match="sudo apt-get install redis-server"):
        find("redis")


def test_root_installs_the_distributions_package(bare: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    script(
        bare / "apt-get",
        f'[ "$1" = install ] || exit 0\nprintf "#!/bin/sh\\necho Redis server v=7.0.15\\n" > {bare}/redis-server\n'
        f"/bin/chmod +x {bare}/redis-server",
    )
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert find("redis").source == "distribution"


@pytest.mark.parametrize(
    ("server", "binary", "output"),
    [
        ("prometheus", "prometheus", "prometheus, version 9.8.7 (branch: , revision: unknown)\n  go version: go1.26.8"),
        ("loki", "loki", "loki, version 9.8.7 (branch: , revision: )"),
        ("grafana", "grafana", "grafana version 9.8.7"),
        ("redis", "redis-server", "Redis server v=9.8.7 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"),
        (
            "redis_exporter",
            "prometheus-redis-exporter",
            'time="2026-11-24T10:43:45Z" level=info msg="Redis Metrics Exporter 9.8.7-2+b4    build date: 20230409"',
        ),
        ("redis_exporter", "redis_exporter", "INFO[0000] Redis Metrics Exporter v9.8.7    build date: 2025-03-15"),
    ],
)
def test_the_version_is_read_from_what_the_binary_says(  # noqa: PLR0917 - pytest passes them by name
    bare: Path, script: Script, monkeypatch: pytest.MonkeyPatch, server: str, binary: str, output: str
) -> None:
    monkeypatch.setattr(find_module, "pin", lambda name: replace(pin(name), accepted=("9.8.7",)))
    script(bare / binary, f"cat >&2 <<'END'\n{output}\nEND".replace("cat", "/bin/cat"))
    assert find(server).version == "9.8.7"


def plugin(folder: Path, version: str) -> Path:
    (folder / "infinity" / "dist").mkdir(parents=True)
    (folder / "infinity" / "dist" / "plugin.json").write_text(
        json.dumps({"id": "yesoreyeram-infinity-datasource", "info": {"version": version}})
    )
    return folder


@pytest.mark.usefixtures("bare")
def test_the_plugin_is_found_in_the_plugins_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GWZ_GRAFANA_PLUGINS", str(plugin(tmp_path / "plugins", pin("infinity").pinned)))
    found = find("infinity")
    assert (found.version, found.path) == (pin("infinity").pinned, tmp_path / "plugins")


@pytest.mark.usefixtures("bare")
def test_a_plugin_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GWZ_GRAFANA_PLUGINS", str(plugin(tmp_path / "plugins", "2.0.0")))
    with pytest.raises(VersionRefused, match=r"infinity 2\.0\.0"):
        find("infinity")
