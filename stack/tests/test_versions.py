"""versions.toml agrees with itself, with the images and with the Go modules."""

import re
import tomllib

import pytest

from gwz_stack.dockerfile import dockerfile
from gwz_stack.layout import compose_file
from gwz_stack.render import shipped
from gwz_stack.versions import SERVERS, STACK, pin, pins


def test_every_server_of_the_stack_is_pinned() -> None:
    assert set(SERVERS) | {"promtool", "infinity", "nginx"} == set(pins())


@pytest.mark.parametrize(
    ("server", "version"),
    [
        ("prometheus", "3.2.1"),
        ("loki", "3.4.2"),
        ("tempo", "2.7.1"),
        ("grafana", "11.5.2"),
        ("redis_exporter", "1.69.0"),
    ],
)
def test_the_pins_are_those_that_the_project_is_made_for(server: str, version: str) -> None:
    assert pin(server).pinned == version


@pytest.mark.parametrize("server", SERVERS)
def test_the_image_of_a_server_carries_its_pinned_version_and_is_the_base_of_its_dockerfile(server: str) -> None:
    image = pin(server).image
    assert image
    assert re.fullmatch(rf"[\w./-]+:v?{re.escape(pin(server).pinned)}(-alpine)?", image)
    assert dockerfile(server).base == image


def test_compose_runs_no_server_that_is_not_pinned() -> None:
    assert set(compose_file()["services"]) == {*SERVERS, "gate", "provision"}


def test_the_images_install_the_pinned_plugin_and_the_pinned_nginx() -> None:
    assert dockerfile("grafana").runs[0].endswith(f"yesoreyeram-infinity-datasource {pin('infinity').pinned}")
    assert f" nginx={pin('nginx').pinned}-* " in dockerfile("gate").runs[0]


def test_grafana_looks_for_plugins_where_the_image_puts_them() -> None:
    """Its base image sets this variable, which goes over grafana.ini."""
    (folder,) = re.findall(r"--pluginsDir (\S+) ", dockerfile("grafana").runs[0])
    assert dockerfile("grafana").environment == (f"GF_PATHS_PLUGINS={folder}",)
    assert shipped("grafana")["paths"]["plugins"] == folder


def test_promtool_comes_with_prometheus() -> None:
    promtool, prometheus = pin("promtool"), pin("prometheus")
    assert promtool.usable == prometheus.usable
    assert promtool.archive
    assert prometheus.archive
    assert promtool.archive.url == prometheus.archive.url
    assert promtool.go
    assert prometheus.go
    assert (promtool.go.directory, promtool.go.tags) == (prometheus.go.directory, prometheus.go.tags)


@pytest.mark.parametrize("server", ["prometheus", "promtool", "loki", "tempo"])
def test_what_a_go_module_builds_is_usable_and_names_its_version(server: str) -> None:
    module = pin(server).go
    assert module
    assert module.version in pin(server).usable
    assert module.ldflags.endswith(f"ersion={module.version}")
    assert f"tool {module.package}\n" in (STACK / module.directory / "go.mod").read_text()
    assert (STACK / module.directory / "go.sum").exists()


def test_every_archive_has_a_checksum_file_and_no_placeholder_is_left() -> None:
    for entry in pins().values():
        if entry.archive:
            for text in (entry.archive.url, entry.archive.checksums, entry.archive.member):
                assert "{" not in text
            assert entry.archive.url.startswith("https://")
            assert entry.archive.checksums.startswith("https://")


def test_no_entry_has_a_key_that_nobody_reads() -> None:
    known = {"pinned", "accepted", "image", "archive", "go", "binary", "aliases", "package", "asks"}
    entries = tomllib.loads((STACK / "versions.toml").read_text())
    assert {key for entry in entries.values() for key in entry} <= known
