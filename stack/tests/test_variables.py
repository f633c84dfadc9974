"""Every variable of the stack is declared once, and each that is declared is used."""

import re

import pytest

from gwz_stack.dockerfile import dockerfile
from gwz_stack.layout import COMPOSE_FILE, service
from gwz_stack.variables import VARIABLES, declared, env_example
from gwz_stack.versions import STACK

SERVICES = ("prometheus", "loki", "tempo", "grafana", "redis", "redis_exporter", "gate", "provision")


def used(service_name: str) -> dict[str, str | None]:
    """The variables that a service's files ask for, with the defaults that are written there."""
    image = dockerfile(service_name)
    sources = [source for source, target in image.copies if target in image.templates]
    found: dict[str, str | None] = dict.fromkeys(image.required)
    for source in sources:
        lines = (STACK.parent / source).read_text().splitlines()
        text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
        for name, default in re.findall(r"\$\{([A-Z_]+)(?::-([^}]*))?\}", text):
            found[name] = default or None
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_asks_for_is_declared_with_the_same_default(name: str) -> None:
    declarations = declared(name)
    assert {variable: declarations[variable].default for variable in used(name)} == used(name)


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_declared_for_a_service_is_looked_at_before_it_starts(name: str) -> None:
    assert {variable.name for variable in declared(name).values() if not variable.optional} == set(used(name))
    assert {variable.name for variable in declared(name).values() if variable.optional} == set(
        dockerfile(name).optional
    )


@pytest.mark.parametrize("name", SERVICES)
def test_compose_gives_a_service_all_that_it_needs_and_nothing_undeclared(name: str) -> None:
    given = {variable.removesuffix("_FILE") for variable in service(name).get("environment", {})}
    assert given <= set(declared(name))
    assert {variable.name for variable in declared(name).values() if variable.required} <= given


def test_the_one_shot_takes_all_that_the_bundle_asks_for() -> None:
    bundle = STACK.parent / "packages/gwz-provision/src/gwz_provision/bundle"
    asked = {name for file in bundle.rglob("*.json") for name in re.findall(r"\$\{([A-Z][A-Z_]+)", file.read_text())}
    logs_in = {"GRAFANA_URL", "GRAFANA_USER", "GRAFANA_PASSWORD"}
    assert asked == set(declared("provision")) - logs_in


def test_the_env_file_holds_what_compose_takes_from_it() -> None:
    taken = set(re.findall(r"\$\{([A-Z_]+):", COMPOSE_FILE.read_text())) | {"GWZ_METRICS_TOKEN"}
    assert taken == {variable.name for variable in VARIABLES if variable.laptop}


def test_the_example_shows_every_name_and_no_value() -> None:
    lines = [line for line in env_example().splitlines() if "=" in line]
    assert [line.removeprefix("# ") for line in lines] == [f"{one.name}=" for one in VARIABLES if one.laptop]
    assert (STACK / ".env.example").read_text() == env_example()


def test_the_seeds_hosts_are_the_defaults_of_production_and_staging() -> None:
    scraped = declared("prometheus")
    assert scraped["GATEWAYZ_PRODUCTION_TARGET"].default == "api.gatewayz.ai:443"
    assert scraped["GATEWAYZ_STAGING_TARGET"].default == "gatewayz-staging.up.railway.app:443"


def test_a_secret_is_told_by_its_name() -> None:
    secrets = {variable.name for variable in VARIABLES if variable.secret}
    assert {"GATE_PRODUCTION_TOKEN", "GF_SECURITY_SECRET_KEY", "GRAFANA_PASSWORD", "REDIS_PASSWORD"} < secrets
    assert {"GWZ_ALERT_SLACK_URL", "GWZ_ALERT_PAGERDUTY_KEY"} < secrets
    assert not secrets & {"GRAFANA_URL", "GATE_BODY_MAX", "GWZ_ALERT_EMAIL", "GWZ_RUNBOOKS_URL"}
