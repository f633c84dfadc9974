"""Both ways run the same configuration, and the end-to-end run differs only in what e2e.toml lists."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwz_stack.layout import PORTS, Layout, environment, places
from gwz_stack.render import FILES, changed_paths, differences, dump, e2e_overrides, get, parse, put, render, shipped
from gwz_stack.versions import STACK

Expand = Callable[[Path, Mapping[str, str], Path], str]
SECRETS = dict.fromkeys(
    (
        "GF_SECURITY_ADMIN_PASSWORD",
        "GF_SECURITY_SECRET_KEY",
        "GF_METRICS_BASIC_AUTH_PASSWORD",
        "GATEWAYZ_PRODUCTION_TOKEN",
        "GATEWAYZ_STAGING_TOKEN",
    ),
    "s" * 16,
)
LAYOUT = Layout(Path("/run/gatewayz"), {name: 20_000 + index for index, name in enumerate(PORTS)})


@pytest.mark.parametrize("server", FILES)
def test_the_native_configuration_is_the_shipped_one_but_for_its_places(server: str) -> None:
    config = shipped(server)
    native = parse(server, dump(server, render(server, config, places=places(server, LAYOUT))))
    assert changed_paths(server, config, native) <= expected_paths(server)
    back = {path: get(server, config, path) for path in places(server, LAYOUT)}
    assert render(server, native, places=back) == config


@pytest.mark.parametrize("server", FILES)
def test_with_overrides_it_differs_exactly_in_what_e2e_toml_lists(server: str) -> None:
    config = shipped(server)
    changed = render(server, config, places={}, overrides=e2e_overrides(server))
    assert changed_paths(server, config, changed) == set(e2e_overrides(server))


@pytest.mark.parametrize("server", FILES)
def test_no_address_or_folder_of_a_container_is_left(server: str, tmp_path: Path, expanded: Expand) -> None:
    template = tmp_path / FILES[server].name
    template.write_text(dump(server, render(server, shipped(server), places=places(server, LAYOUT))))
    native = expanded(template, environment(server, LAYOUT, SECRETS), tmp_path / "rendered")
    for text in (
        "0.0.0.0",
        "prometheus:9090",
        "loki:3100",
        "tempo:3200",
        "redis_exporter:9121",
        "grafana:3000",
        "/var/",
        "/etc/",
        "${",
    ):
        assert text not in native
    assert ": /loki" not in native


def expected_paths(server: str) -> set[str]:
    return {path.removesuffix(".0") for path in places(server, LAYOUT)}  # a list of plain values counts as one


def test_every_override_is_one_that_was_agreed() -> None:
    """A longer list would let the end-to-end run prove something else than what is shipped."""
    declared = tomllib.loads((STACK / "e2e.toml").read_text())
    assert {server: len(paths) for server, paths in declared.items()} == {"prometheus": 2, "tempo": 4, "grafana": 5}
    assert {str(value) for paths in declared.values() for value in paths.values()} == {
        "1s",
        "configurableSchedulerTick",
    }


def test_differences_can_be_printed() -> None:
    assert "tempo ingester.trace_idle_period: 10s → 1s" in differences()
    assert "grafana feature_toggles.enable: default → configurableSchedulerTick" in differences()
    assert len(differences()) == 11


def test_a_place_that_the_shipped_file_no_longer_has_is_an_error() -> None:
    with pytest.raises(KeyError, match=r"loki\.yml has no server\.gone"):
        render("loki", shipped("loki"), places={"server.gone": 1})


def test_rendering_leaves_its_input_alone() -> None:
    config = shipped("tempo")
    render("tempo", config, places=places("tempo", LAYOUT), overrides={"ingester.trace_idle_period": "1s"})
    assert config == shipped("tempo")


def test_paths_reach_jobs_by_name_and_lists_by_number() -> None:
    config = shipped("prometheus")
    put("prometheus", config, "scrape_configs.loki.static_configs.0.targets.0", "x:1")
    assert get("prometheus", config, "scrape_configs.loki.static_configs.0.targets") == ["x:1"]
    assert get("prometheus", config, "scrape_configs.nobody.static_configs") is None


def test_a_section_of_grafana_may_hold_dots() -> None:
    assert get("grafana", shipped("grafana"), "auth.anonymous.enabled") == "false"


@given(st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), min_size=1, max_size=4), st.integers())
def test_what_is_put_can_be_got(parts: list[str], value: int) -> None:
    config: dict[str, object] = {}
    put("loki", config, ".".join(parts), value)
    assert get("loki", config, ".".join(parts)) == value


PROMISED: Mapping[str, Mapping[str, object]] = {
    "prometheus": {
        "global.scrape_interval": "15s",
        "scrape_configs.redis_exporter.scrape_interval": "30s",
        "scrape_configs.gatewayz_production.dns_sd_configs.0.type": "AAAA",
        "scrape_configs.gatewayz_staging.dns_sd_configs.0.type": "AAAA",
        "storage.tsdb.out_of_order_time_window": "10m",
    },
    "loki": {
        "limits_config.retention_period": "720h",
        "compactor.retention_enabled": True,
        "compactor.compaction_interval": "10m",
        "limits_config.ingestion_rate_mb": 10,
        "limits_config.ingestion_burst_size_mb": 20,
        "limits_config.per_stream_rate_limit": "20MB",
        "limits_config.per_stream_rate_limit_burst": "40MB",
        "limits_config.discover_service_name": [],
        "schema_config.configs.0.store": "tsdb",
        "schema_config.configs.0.schema": "v13",
    },
    "tempo": {
        "server.http_listen_port": 3200,
        "distributor.receivers.otlp.protocols.grpc.endpoint": "0.0.0.0:4317",
        "distributor.receivers.otlp.protocols.http.endpoint": "0.0.0.0:4318",
        "ingester.max_block_duration": "5m",
        "metrics_generator.storage.remote_write.0.send_exemplars": True,
        "overrides.defaults.metrics_generator": {
            "processors": ["service-graphs", "span-metrics", "local-blocks"],
            "trace_id_label_name": "trace_id",
        },
    },
    "grafana": {"auth.anonymous.enabled": "false", "users.allow_sign_up": "false", "security.cookie_secure": "true"},
}


@pytest.mark.parametrize("server", PROMISED)
def test_the_promised_settings_are_shipped(server: str) -> None:
    config = shipped(server)
    assert {path: get(server, config, path) for path in PROMISED[server]} == PROMISED[server]


def test_every_job_is_scraped() -> None:
    assert {job["job_name"] for job in shipped("prometheus")["scrape_configs"]} == {
        "prometheus", "loki", "tempo", "grafana", "redis_exporter", "gatewayz_production", "gatewayz_staging",
    }  # fmt: skip
