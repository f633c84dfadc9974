"""The native commands are those of the images, with addresses and folders of their own."""

from pathlib import Path

import pytest

from gwz_stack.dockerfile import dockerfile
from gwz_stack.layout import ENTRYPOINT, PORTS, Layout, command, environment, replace_flags, service

LAYOUT = Layout(Path("/run/gatewayz"), {name: 20_000 + index for index, name in enumerate(PORTS)})


@pytest.mark.parametrize("server", ["prometheus", "loki", "tempo", "redis"])
def test_a_native_command_is_the_containers_but_for_addresses_and_folders(server: str) -> None:
    _, *shipped = dockerfile(server).command
    given = command(server, Path("/bin/server"), LAYOUT)
    _, *native = given[given.index("/bin/server") :]
    assert len(native) == len(shipped)
    changed = {before.partition("=")[0] for before, after in zip(shipped, native, strict=True) if before != after}
    assert (
        changed
        == {
            "prometheus": {"--config.file", "--storage.tsdb.path", "--web.listen-address"},
            "loki": {"-config.file"},
            "tempo": {"-config.file"},
            "redis": {"0.0.0.0", "6379", "/data"},
        }[server]
    )


def test_prometheus_takes_what_tempo_writes_and_keeps_exemplars() -> None:
    flags = dockerfile("prometheus").command
    assert {"--web.enable-remote-write-receiver", "--web.enable-lifecycle", "--enable-feature=exemplar-storage"} <= set(
        flags
    )


@pytest.mark.parametrize("server", ["prometheus", "loki", "tempo", "redis"])
def test_a_native_server_listens_on_loopback_only(server: str) -> None:
    assert not [flag for flag in command(server, Path("x"), LAYOUT) if "0.0.0.0" in flag]


def test_the_exporter_asks_the_stacks_own_redis() -> None:
    own = environment("redis_exporter", LAYOUT, {})
    assert own["REDIS_ADDR"] == f"redis://127.0.0.1:{LAYOUT.ports['redis']}"
    assert set(service("redis_exporter")["environment"]) <= set(own)


def test_a_server_gets_the_secrets_that_it_takes_and_no_others() -> None:
    secrets = {
        "GF_SECURITY_ADMIN_PASSWORD": "a",
        "GATEWAYZ_PRODUCTION_TOKEN": "b",
        "GF_METRICS_BASIC_AUTH_PASSWORD": "c",
    }
    assert set(environment("prometheus", LAYOUT, secrets).values()) & {"a", "b", "c"} == {"b", "c"}
    assert set(environment("loki", LAYOUT, secrets).values()) & {"a", "b", "c"} == set()


@pytest.mark.parametrize("server", ["prometheus", "loki", "tempo", "redis_exporter"])
def test_a_server_is_started_by_the_containers_entrypoint_with_what_it_checks_there(server: str) -> None:
    image = dockerfile(server)
    shell, script, *needs = command(server, Path("x"), LAYOUT)[: 2 + len(image.needs)]
    assert (shell, script) == ("/bin/sh", str(ENTRYPOINT))
    assert [need.endswith("/") for need in needs] == [need.endswith("/") for need in image.needs]
    assert all(need.startswith("/run/gatewayz/") for need in needs if "/" in need)


@pytest.mark.parametrize("server", ["tempo", "grafana", "redis_exporter"])
def test_a_server_inherits_nothing_that_would_configure_it(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "GF_SERVER_HTTP_PORT", "REDIS_PASSWORD", "REDIS_ADDR"):
        monkeypatch.setenv(name, "poison")
    assert "poison" not in environment(server, LAYOUT, {}).values()


def test_temporary_files_stay_in_the_run_unless_its_path_is_too_long_for_a_socket() -> None:
    assert environment("grafana", LAYOUT, {})["TMPDIR"] == "/run/gatewayz/tmp"
    assert "TMPDIR" not in environment("grafana", Layout(Path("/" + "x" * 90), LAYOUT.ports), {})


def test_flags_are_replaced_in_both_forms_and_a_missing_one_is_an_error() -> None:
    assert replace_flags(["--a=1", "--b", "2", "--c"], {"--a": "x", "--b": "y"}) == ["--a=x", "--b", "y", "--c"]
    with pytest.raises(KeyError, match="no flag --z"):
        replace_flags(["--a=1"], {"--z": "1"})


def test_urls_have_no_grafana_in_a_stack_without_one() -> None:
    assert LAYOUT.urls(grafana=False).grafana is None
    assert LAYOUT.urls(grafana=True).grafana == f"http://127.0.0.1:{LAYOUT.ports['grafana']}"
