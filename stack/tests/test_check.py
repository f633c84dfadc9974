"""Each server accepts the configuration that is shipped for it, and a wrong one is seen before it runs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from gwz_stack import SERVERS, Found, NativeStack, Supervisor
from gwz_stack.check import CHECKS, check, expand
from gwz_stack.errors import StackError
from gwz_stack.versions import STACK

Here = Callable[..., dict[str, Found]]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the stack's folder, to plant mistakes in."""
    return Path(
        shutil.copytree(STACK, tmp_path / "repository" / "stack", ignore=shutil.ignore_patterns("src", "tests"))
    )


@pytest.mark.parametrize("server", CHECKS)
def test_the_server_accepts_what_is_shipped(here: Here, server: str, tmp_path: Path) -> None:
    (found,) = here(CHECKS[server][0]).values()
    assert check(server, found, tmp_path) == []


@pytest.mark.parametrize(
    ("file", "edit", "said"),
    [
        ("prometheus/prometheus.yml", ("scrape_interval: 15s", "scrape_intervall: 15s"), "scrape_intervall"),
        ("prometheus/rules/gwz-http.yml", ("sum by", "sum bye"), "gwz-http.yml"),
        # A setting of another version, as the predecessor shipped several.
        ("loki/loki.yml", ("  retention_period: 720h", "  enforce_metric_name: false"), "enforce_metric_name"),
        ("loki/loki.yml", ("  delete_request_store: filesystem\n", ""), "delete-request-store"),
        ("tempo/tempo.yml", ("  log_level: warn", "  log_levell: warn"), "log_levell"),
        ("tempo/tempo.yml", ("max_duration: 24h", "max_duration: a day"), "a day"),
        ("gate/nginx.conf", ("limit_req_status 429;", "limit_req_state 429;"), "limit_req_state"),
    ],
)
def test_the_server_refuses_a_mistake(here: Here, copy: Path, file: str, edit: tuple[str, str], said: str) -> None:
    server = file.partition("/")[0]
    (found,) = here(CHECKS[server][0]).values()
    path = copy / file
    assert edit[0] in path.read_text()
    path.write_text(path.read_text().replace(*edit))
    (finding,) = check(server, found, copy.parent / "out", stack=copy)
    assert said in finding.sentence
    assert finding.subject.startswith(f"stack/{server}/")


def test_a_variable_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"gwz: GF_METRICS_BASIC_AUTH_PASSWORD is not set"):
        expand(STACK / "prometheus" / "prometheus.yml", {}, tmp_path)


@pytest.mark.slow
def test_grafana_boots_on_what_is_shipped_and_is_closed(here: Here, tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        stack = NativeStack(tmp_path, servers=here(*SERVERS), supervisor=supervisor)
        stack.start()
        assert stack.urls.grafana
        with httpx.Client(base_url=stack.urls.grafana, trust_env=False) as client:
            assert client.get("/api/search").status_code == 401
            assert client.get("/metrics").status_code == 401
            assert client.get("/api/org", auth=("admin", "admin")).status_code == 401
            settings = client.get("/api/frontend/settings", auth=("admin", stack.grafana_password)).json()
        stack.kill_server("tempo")
        assert settings["datasources"].keys() == {"-- Grafana --", "-- Mixed --", "-- Dashboard --"}
