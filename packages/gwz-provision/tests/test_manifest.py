"""The bundle with the environment's values: what is missing, what Grafana would refuse, and what is built."""

import json
from pathlib import Path
from typing import Any

import generated
import pytest
from test_apply import bend, with_tenant

from gwz_provision.bundle import load
from gwz_provision.environment import Environment
from gwz_provision.errors import Misconfigured
from gwz_provision.manifest import build, problems
from gwz_provision.resources import Key


def found(bundle: Path, environ: Any = generated.VARIABLES) -> list[str]:
    try:
        return problems(load(bundle), environ)
    except Misconfigured as error:
        return list(error.problems)


def test_a_whole_bundle_has_no_problems_and_all_its_resources(tiny: Path) -> None:
    assert found(tiny) == []
    kinds = [resource.key.kind for resource in build(load(tiny), generated.VARIABLES).resources]
    assert kinds == ["folder"] * 2 + ["datasource"] * 4 + ["template"] + ["contact-point"] * 2 + ["dashboard"] * 2 + ["alert-rule"] * 2 + ["policy"]  # fmt: skip


def test_every_variable_that_is_not_set_is_named_with_who_needs_it(tiny: Path) -> None:
    bend(
        tiny, "alerts/latency.json", lambda it: it["groups"][0]["rules"][0]["annotations"].update(page="${RUNBOOKS}/x")
    )
    assert found(tiny, {"GRAFANA_LOKI_URL": "http://h"}) == [
        "GRAFANA_PROMETHEUS_URL is not set, and data source grafana_prometheus needs it: export GRAFANA_PROMETHEUS_URL=http://host:port",
        "GRAFANA_TEMPO_URL is not set, and data source grafana_tempo needs it: export GRAFANA_TEMPO_URL=http://host:port",
        "GATEWAYZ_API_URL is not set, and data source gatewayz_api needs it: export GATEWAYZ_API_URL=http://host:port",
        "GWZ_API_TOKEN is not set, and data source gatewayz_api needs it: export GWZ_API_TOKEN=...",
        "RUNBOOKS is not set, and rule group latency a/b needs it: export RUNBOOKS=...",
    ]


@pytest.mark.parametrize("address", ["prometheus:9090", "http://", "http://a b", "/api", "http://loki:99999"])
def test_an_address_that_leads_nowhere_is_named_with_its_variable(tiny: Path, address: str) -> None:
    assert found(tiny, {**generated.VARIABLES, "GRAFANA_LOKI_URL": address}) == [
        f"data source grafana_loki has the url {address!r}, not an http:// or https:// address with a host: correct GRAFANA_LOKI_URL"
    ]


def test_a_receiver_with_some_of_its_variables_is_a_mistake(tiny: Path) -> None:
    bend(tiny, "contact-points.json", lambda it: it["contactPoints"][0]["settings"].update(username="${HOOK_USER}"))
    assert found(tiny) == ["HOOK_USER is not set, and contact point gwz-webhook needs it: export HOOK_USER=..."]


def test_a_default_stands_in_for_a_variable(tiny: Path) -> None:
    bend(tiny, "datasources.json", lambda it: it["datasources"][1].update(url="${NOWHERE:-http://loki:3100}"))
    assert found(tiny) == []
    (loki,) = [item for item in build(load(tiny), generated.VARIABLES).resources if item.key.uid == "grafana_loki"]
    assert loki.form["url"] == "http://loki:3100"


def test_the_header_of_a_tenant_is_there_if_the_tenant_is(tiny: Path) -> None:
    with_tenant(tiny)
    assert found(tiny) == []
    for environ, header, secrets in (
        (generated.VARIABLES, None, {}),
        ({**generated.VARIABLES, "LOKI_TENANT": "production"}, "X-Scope-OrgID", {"httpHeaderValue1": "production"}),
    ):
        built = build(load(tiny), environ)
        (loki,) = [item for item in built.resources if item.key.uid == "grafana_loki"]
        assert (loki.form["jsonData"].get("httpHeaderName1"), loki.secrets) == (header, secrets)
        assert "derivedFields" in loki.form["jsonData"]
        assert "production" not in built.secrets


def test_another_header_s_value_is_a_secret(tiny: Path) -> None:
    with_tenant(tiny)
    bend(tiny, "datasources.json", lambda it: it["datasources"][1]["jsonData"].update(httpHeaderName1="X-Api-Key"))
    assert "key-canary" in build(load(tiny), {**generated.VARIABLES, "LOKI_TENANT": "key-canary"}).secrets


@pytest.mark.parametrize("value", ["a\nX-Evil: 1", "a\x00", " a", "\u65e5\u672c", "a\x7f"])
def test_what_no_header_can_carry_is_refused_without_repeating_it(tiny: Path, value: str) -> None:
    with_tenant(tiny)
    assert found(tiny, {**generated.VARIABLES, "LOKI_TENANT": value, "GWZ_API_TOKEN": value}) == [
        f"data source {uid} cannot be given {name}: it holds a line break, a space at its edge or a letter beyond ASCII, which no header may have"
        for uid, name in (("grafana_loki", "LOKI_TENANT"), ("gatewayz_api", "GWZ_API_TOKEN"))
    ]
    assert found(tiny, {**generated.VARIABLES, "LOKI_TENANT": "a|b c"}) == []


def test_grafana_s_own_variables_stay(tiny: Path) -> None:
    bend(tiny, "boards/gwz-board-0.json", lambda it: it.update(description="${DS_PROMETHEUS} ${__from}"))
    resources = {item.key: item for item in build(load(tiny), generated.VARIABLES).resources}
    assert resources[Key("dashboard", "gwz-board-0")].form["model"]["description"] == "${DS_PROMETHEUS} ${__from}"
    assert resources[Key("datasource", "grafana_loki")].form["jsonData"]["derivedFields"][0]["url"] == "${__value.raw}"


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("alerts/latency.json", lambda it: it["groups"][0]["rules"][0].update(uid="slow"), "alert-rule uid 'slow' does not begin with gwz-"),
        ("index.json", lambda it: it["folders"][1].update(parent="gwz-none"), "is in folder 'gwz-none', which is not declared"),
        ("index.json", lambda it: it["folders"][0].update(parent="gwz-deep"), "folder 'gwz-backend' is inside itself"),
        ("index.json", lambda it: it["folders"][1].update(title="Backend", parent=""), "2 folders in 'the root' are called 'Backend'"),
        ("datasources.json", lambda it: it["datasources"][1].update(isDefault=True), "are all the default: only one can be"),
        ("datasources.json", lambda it: it["datasources"][1].pop("type"), "datasources.json: datasources[1] has no type"),
        ("alerts/latency.json", lambda it: it["groups"][0].update(interval="often"), "has the interval 'often', not a duration"),
        ("alerts/latency.json", lambda it: it["groups"][0].update(folder="gwz-none"), "is in folder 'gwz-none', which is not declared"),
        ("alerts/latency.json", lambda it: it["groups"][0].pop("interval"), "rule group 'latency a/b' has no interval"),
        ("alerts/latency.json", lambda it: it["groups"][0]["rules"][0].update(uid="gwz-" + "x" * 40), "is not 1 to 40 of"),
        ("alerts/latency.json", lambda it: it["groups"][0]["rules"][0].update(title="Rule 1"), "has 2 alert rules 'Rule 1'"),
        ("alerts/latency.json", lambda it: it["groups"][0]["rules"][0].update(condition="Z"), "has the condition 'Z', which none of its queries is called"),
        ("alerts/latency.json", lambda it: it["groups"][0]["rules"][0].update(noDataState="Nope"), "has the noDataState 'Nope'"),
        ("alerts/latency.json", lambda it: it["groups"][0]["rules"][0].update({"for": "soon"}), "has for 'soon', which is not a duration"),
        ("alerts/latency.json", lambda it: it["groups"][0]["rules"][0].update(data=[]), "has no queries"),
        ("alerts/latency.json", lambda it: it["groups"][0]["rules"][0]["data"][0].pop("relativeTimeRange"), "ends before it begins"),
        ("alerts/latency.json", lambda it: it["groups"][0]["rules"][0]["labels"].update(managed_by="me"), "has the label managed_by, which is our mark"),
        ("contact-points.json", lambda it: it["contactPoints"][0].update(type="pigeon"), "has the type 'pigeon', not one of email, pagerduty, slack, webhook"),
        ("contact-points.json", lambda it: it["contactPoints"][0]["settings"].pop("url"), "contact point 'gwz-webhook' has the type webhook and not url in its settings"),
        ("contact-points.json", lambda it: it["contactPoints"][1].update(settings={"token": "x"}), "has the type slack and not url, or token and recipient in its settings"),
        ("contact-points.json", lambda it: it["contactPoints"][1].update(type="email"), "has the type email and not addresses in its settings"),
        ("contact-points.json", lambda it: it["contactPoints"][1].update(type="pagerduty"), "has the type pagerduty and not integrationKey in its settings"),
        ("alerts/latency.json", lambda it: it["groups"][0]["rules"][0].update(notification_settings={"receiver": "GatwayZ"}), "sends to 'GatwayZ', which is no contact point of the bundle"),
        ("contact-points.json", lambda it: it["contactPoints"][0].pop("name"), "contact-points.json: contactPoints[0] has no name"),
        ("policies.json", lambda it: it["routes"][0].update(receiver="Nobody"), "the route to 'Nobody' has a receiver that is no contact point"),
        ("policies.json", lambda it: it["routes"][0].update(group_by_str="a"), "has group_by_str, which we do not write"),
        ("policies.json", lambda it: it["routes"][0].update(group_wait="soon"), "has group_wait 'soon', which is not a duration"),
    ],
)  # fmt: skip
def test_what_grafana_would_refuse_is_found_before_the_first_call(
    tiny: Path, file: str, change: Any, words: str
) -> None:
    bend(tiny, file, change)
    assert any(words in problem for problem in found(tiny)), found(tiny)


def test_a_template_without_a_definition_is_refused(tiny: Path) -> None:
    (tiny / "templates/gwz-message.tmpl").write_text("plain")
    assert found(tiny) == [
        "message template 'gwz-message' has no {{ define }}: Grafana would wrap it in one of its own"
    ]


def test_all_problems_come_at_once(tiny: Path) -> None:
    bend(tiny, "policies.json", lambda it: it["routes"][0].update(receiver="Nobody"))
    bend(tiny, "index.json", lambda it: it["folders"][1].update(parent="gwz-none"))
    assert len(found(tiny, {})) == 7


def test_a_value_may_come_from_a_file(tiny: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("from-a-file\n")
    environ = {**generated.VARIABLES, "GWZ_API_TOKEN_FILE": str(secret)}
    del environ["GWZ_API_TOKEN"]
    assert found(tiny, Environment(environ)) == []
    built = build(load(tiny), Environment(environ))
    assert [item.secrets for item in built.resources if item.secrets] == [{"bearerToken": "from-a-file"}]
    assert "from-a-file" in built.secrets


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"A": "x", "A_FILE": "/nowhere"}, "A is set, and so is A_FILE"),
        ({"A_FILE": "/nowhere/at/all"}, "A_FILE is '/nowhere/at/all', which cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_help_is_named(environ: dict[str, str], words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        Environment(environ).get("A")


def test_secrets_are_in_no_repr(tiny: Path) -> None:
    built = build(load(tiny), generated.VARIABLES)
    assert generated.VARIABLES["GWZ_API_TOKEN"] not in repr(
        [item for item in built.resources if item.key.kind == "datasource"]
    )
    assert json.dumps(sorted(str(key) for key in built.keys)).count("data source") == 4
