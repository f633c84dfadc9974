"""The fake against the real one: the same calls, the same answers. A difference is corrected in the fake."""

from typing import Any

import pytest
from fake_grafana import VERSION, FakeGrafana, served
from raw import Place

Call = tuple[str, str, Any, dict[str, str]]

EDITABLE = {"X-Disable-Provenance": "true"}
GROUP = "/v1/provisioning/folder/gwz-a/rule-groups/a%20b%2Fc"
# What the server counts, words for itself, or what only the browser reads.
VOLATILE = {
    *("id", "orgId", "orgID", "traceID", "updated", "created", "createdBy", "updatedBy", "typeLogoUrl", "typeName"),
    *(
        "slug",
        "uri",
        "hasAcl",
        "canSave",
        "canEdit",
        "canAdmin",
        "canDelete",
        "canStar",
        "isStarred",
        "sortMeta",
    ),
    *(
        "folderId",
        "folderUrl",
        "parents",
        "expires",
        "annotationsPermissions",
        "dashboardId",
        "parentVersion",
        "restoredFrom",
    ),
}


def rule(uid: str, **changes: Any) -> dict[str, Any]:
    query = {
        "refId": "A",
        "datasourceUid": "p",
        "relativeTimeRange": {"from": 600, "to": 0},
        "model": {"refId": "A", "expr": "up"},
    }
    threshold = {
        "refId": "B",
        "datasourceUid": "__expr__",
        "model": {
            "refId": "B",
            "type": "threshold",
            "expression": "A",
            "conditions": [{"evaluator": {"type": "gt", "params": [0]}}],
        },
    }
    base = {
        "uid": uid,
        "title": f"Rule {uid}",
        "ruleGroup": "a b/c",
        "folderUID": "gwz-a",
        "orgID": 1,
        "for": "90s",
        "condition": "B",
    }
    states = {
        "noDataState": "NoData",
        "execErrState": "Error",
        "labels": {"a": "b"},
        "annotations": {"__gwz__": "1", "summary": "{{ $labels.a }}"},
    }
    return {**base, **states, "data": [query, threshold], **changes}


def dashboard(uid: str, title: str = "Board", **changes: Any) -> dict[str, Any]:
    return {
        "dashboard": {"uid": uid, "title": title, "panels": [], **changes},
        "folderUid": "gwz-a",
        "overwrite": False,
        "message": "m",
    }


def source(uid: str, name: str, **changes: Any) -> dict[str, Any]:
    return {
        "uid": uid,
        "name": name,
        "type": "prometheus",
        "access": "proxy",
        "url": "http://h:1",
        "jsonData": {"gwz": {"b": 1, "a": 2}},
        **changes,
    }


def contact(uid: str, name: str, kind: str, **settings: Any) -> dict[str, Any]:
    return {"uid": uid, "name": name, "type": kind, "settings": settings}


def tree(*routes: dict[str, Any], receiver: str = "RECEIVER") -> dict[str, Any]:
    return {"receiver": receiver, "group_by": ["grafana_folder", "alertname"], "routes": list(routes)}


ROUTE = {
    "receiver": "GW",
    "object_matchers": [["c", "=~", "d|e"], ["a", "=", "b"], ["a", "!=", "a"]],
    "group_wait": "60s",
    "repeat_interval": "24h",
    "continue": True,
    "routes": [],
}
NIGHTS = {"name": "nights", "time_intervals": [{"times": [{"start_time": "22:00", "end_time": "24:00"}]}]}
MUTED = {"receiver": "GW", "object_matchers": [["a", "=", "b"]], "mute_time_intervals": ["nights"]}
OLD_ROUTE = {"receiver": "GW", "matchers": ["x=y"], "group_by": ["z"]}

SCRIPTS: dict[str, list[tuple[Any, ...]]] = {
    "folders": [
        ("POST", "/folders", {"uid": "gwz-a", "title": " A "}),
        ("POST", "/folders", {"uid": "gwz-a", "title": "B"}),
        ("POST", "/folders", {"uid": "gwz-z", "title": "A"}),
        ("POST", "/folders", {"uid": "gwz-b", "title": "A", "parentUid": "gwz-a"}),
        ("GET", "/folders/gwz-b"),
        ("GET", "/folders/none"),
        ("POST", "/dashboards/db", {**dashboard("gwz-b"), "folderUid": ""}),
        ("PUT", "/folders/gwz-a", {"title": "C"}),
        ("PUT", "/folders/gwz-a", {"title": "C", "overwrite": True}),
        ("GET", "/folders/gwz-a"),
        ("GET", "/search?limit=5000&page=1"),
        ("GET", "/search?limit=5000&page=2"),
        ("GET", "/folders/gwz-a/counts"),
        ("POST", "/folders/gwz-b/move", {"parentUid": ""}),
        ("GET", "/folders/gwz-b"),
        ("DELETE", "/folders/none"),
        ("DELETE", "/folders/gwz-b"),
        ("GET", "/search?limit=5000&page=1"),
    ],
    "data sources": [
        ("POST", "/datasources", source("p", "P", isDefault=True, secureJsonData={"k": "v"})),
        ("POST", "/datasources", source("p", "Other")),
        ("POST", "/datasources", source("q", "P")),
        ("GET", "/datasources/uid/p"),
        ("GET", "/datasources/uid/none"),
        ("POST", "/datasources", source("q", "Q", isDefault=True)),
        ("GET", "/datasources"),
        ("PUT", "/datasources/uid/p", source("p", "P", version=9)),
        ("PUT", "/datasources/uid/p", source("p", "P", version=1, secureJsonData={"k": "", "l": "w"})),
        ("GET", "/datasources/uid/p"),
        ("PUT", "/datasources/uid/p", source("p", "Q", version=2)),
        ("PUT", "/datasources/uid/p", source("p", "P")),
        ("GET", "/datasources/uid/p"),
        ("DELETE", "/datasources/uid/p"),
        ("DELETE", "/datasources/uid/p"),
        ("PUT", "/datasources/uid/p", source("p", "P")),
    ],
    "data sources without an address": [
        ("POST", "/datasources", source("p", "P", url="")),
        ("POST", "/datasources", source("l", "L", type="loki", url="")),
        ("POST", "/datasources", source("t", "T", type="tempo", url="")),
        ("POST", "/datasources", source("i", "I", type="yesoreyeram-infinity-datasource", url="")),
        ("POST", "/datasources", source("m", "M", url="not an address")),
        ("POST", "/datasources", source("n", "N", type="loki", url="not an address")),
    ],
    "the first data source": [
        ("POST", "/datasources", source("p", "P")),
        ("GET", "/datasources/uid/p"),
        ("PUT", "/datasources/uid/p", source("p", "P", version=1)),
        ("GET", "/datasources/uid/p"),
        ("POST", "/datasources", source("q", "Q")),
        ("GET", "/datasources"),
        ("PUT", "/datasources/uid/q", source("q", "Q", version=1, isDefault=True)),
        ("GET", "/datasources"),
        ("PUT", "/datasources/uid/q", source("q", "Q", version=2)),
        ("GET", "/datasources"),
    ],
    "dashboards": [
        ("POST", "/folders", {"uid": "gwz-a", "title": "A"}),
        ("POST", "/dashboards/db", dashboard("gwz-d", " Board ", refresh="1s", tags=["y", "x"], gwz={"spec": 1})),
        ("GET", "/dashboards/uid/gwz-d"),
        ("GET", "/search?limit=5000&page=1"),
        ("POST", "/dashboards/db", dashboard("gwz-d")),
        ("POST", "/dashboards/db", dashboard("gwz-d", version=1, refresh="10s")),
        ("POST", "/dashboards/db", dashboard("gwz-d", version=1)),
        ("GET", "/dashboards/uid/gwz-d/versions?limit=20"),
        ("POST", "/dashboards/db", dashboard("gwz-e")),
        ("POST", "/dashboards/db", dashboard("gwz-e", "")),
        ("POST", "/dashboards/db", dashboard("x" * 41, "T")),
        ("POST", "/dashboards/db", {**dashboard("gwz-e", "T"), "folderUid": "none"}),
        ("POST", "/dashboards/db", {**dashboard("gwz-e"), "overwrite": True}),
        ("GET", "/dashboards/uid/gwz-e"),
        ("GET", "/folders/gwz-a/counts"),
        ("POST", "/folders", {"uid": "gwz-d", "title": "D"}),
        ("DELETE", "/dashboards/uid/gwz-d"),
        ("DELETE", "/dashboards/uid/gwz-d"),
        ("DELETE", "/folders/gwz-a"),
    ],
    "alert rules": [
        ("POST", "/folders", {"uid": "gwz-a", "title": "A"}),
        ("GET", "/v1/provisioning/alert-rules"),
        ("GET", "/v1/provisioning/alert-rules/export?format=json"),
        ("POST", "/v1/provisioning/alert-rules", rule("gwz-r1")),
        ("POST", "/v1/provisioning/alert-rules", rule("gwz-r1")),
        ("POST", "/v1/provisioning/alert-rules", rule("gwz-r2", title="Rule gwz-r1")),
        ("POST", "/v1/provisioning/alert-rules", rule("gwz-r2", folderUID="none")),
        ("POST", "/v1/provisioning/alert-rules", rule("gwz-r2", data=[])),
        (
            "POST",
            "/v1/provisioning/alert-rules",
            rule("gwz-r2", isPaused=True, labels={}, annotations={}, **{"for": "24h"}),
            EDITABLE,
        ),
        ("GET", "/v1/provisioning/alert-rules"),
        ("GET", GROUP),
        ("PUT", "/v1/provisioning/alert-rules/gwz-r2", rule("gwz-r2", **{"for": "1w"}), EDITABLE),
        ("PUT", "/v1/provisioning/alert-rules/gwz-r1", rule("gwz-r1"), EDITABLE),
        ("PUT", "/v1/provisioning/alert-rules/gwz-r1", rule("gwz-r1", title="New", **{"for": "0s"})),
        ("PUT", "/v1/provisioning/alert-rules/none", rule("none", title="None")),
        ("PUT", GROUP, {"title": "a b/c", "folderUid": "gwz-a", "interval": 120}, EDITABLE),
        ("GET", "/v1/provisioning/alert-rules"),
        ("PUT", GROUP, {"title": "a b/c", "folderUid": "gwz-a", "interval": 300}),
        ("GET", "/v1/provisioning/alert-rules"),
        ("GET", GROUP),
        ("PUT", "/v1/provisioning/alert-rules/gwz-r1", rule("gwz-r1", ruleGroup="other")),
        ("GET", "/v1/provisioning/folder/gwz-a/rule-groups/other"),
        ("GET", "/folders/gwz-a/counts"),
        ("DELETE", "/folders/gwz-a"),
        ("DELETE", "/v1/provisioning/alert-rules/gwz-r1"),
        ("DELETE", "/v1/provisioning/alert-rules/gwz-r1"),
        ("GET", "/v1/provisioning/folder/gwz-a/rule-groups/other"),
        ("DELETE", "/v1/provisioning/alert-rules/gwz-r2"),
    ],
    "contact points": [
        (
            "POST",
            "/v1/provisioning/contact-points",
            contact("gwz-w", "GW", "webhook", url="http://h/x", httpMethod="POST", authorization_credentials="tok"),
        ),
        ("POST", "/v1/provisioning/contact-points", contact("gwz-w", "GW", "webhook", url="http://h/x")),
        ("POST", "/v1/provisioning/contact-points", contact("gwz-s", "GW", "slack", url="http://h/s")),
        ("POST", "/v1/provisioning/contact-points", contact("gwz-x", "GW", "slack", recipient="#a")),
        ("POST", "/v1/provisioning/contact-points", contact("gwz-x", "GW", "slack", recipient="#a", token="xoxb")),
        ("DELETE", "/v1/provisioning/contact-points/gwz-x"),
        ("POST", "/v1/provisioning/contact-points", contact("gwz-x", "GW", "pigeon", url="x")),
        ("POST", "/v1/provisioning/contact-points", contact("gwz-x", "GW", "webhook", httpMethod="POST")),
        ("POST", "/v1/provisioning/contact-points", contact("gwz-x", "GW", "email", singleEmail=True)),
        ("POST", "/v1/provisioning/contact-points", contact("gwz-x", "GW", "pagerduty", severity="x")),
        ("POST", "/v1/provisioning/contact-points", contact("gwz-e", "GW", "email", addresses="a@b.c;d@e.f")),
        ("POST", "/v1/provisioning/contact-points", contact("gwz-p", "PD", "pagerduty", integrationKey="k")),
        ("GET", "/v1/provisioning/contact-points"),
        ("GET", "/v1/provisioning/contact-points/export?decrypt=true&format=json"),
        (
            "PUT",
            "/v1/provisioning/contact-points/gwz-w",
            contact("gwz-w", "GW", "webhook", url="http://h/y", authorization_credentials="[REDACTED]"),
        ),
        ("PUT", "/v1/provisioning/contact-points/none", contact("none", "GW", "webhook", url="http://h/y")),
        ("GET", "/v1/provisioning/contact-points/export?decrypt=true&format=json"),
        ("PUT", "/v1/provisioning/policies", tree(ROUTE)),
        ("DELETE", "/v1/provisioning/contact-points/gwz-w"),
        ("DELETE", "/v1/provisioning/contact-points/gwz-s"),
        ("DELETE", "/v1/provisioning/contact-points/gwz-e"),
        ("DELETE", "/v1/provisioning/contact-points/none"),
        ("GET", "/v1/provisioning/contact-points"),
    ],
    "policies": [
        ("GET", "/v1/provisioning/policies"),
        ("PUT", "/v1/provisioning/policies", tree({"receiver": "none", "object_matchers": [["a", "=", "b"]]})),
        ("POST", "/v1/provisioning/contact-points", contact("gwz-w", "GW", "webhook", url="http://h/x")),
        ("PUT", "/v1/provisioning/policies", tree(ROUTE, OLD_ROUTE), EDITABLE),
        ("GET", "/v1/provisioning/policies"),
        ("PUT", "/v1/provisioning/policies", tree(OLD_ROUTE)),
        ("GET", "/v1/provisioning/policies"),
        ("PUT", "/v1/provisioning/policies", tree()),
        ("GET", "/v1/provisioning/policies"),
    ],
    "mute timings": [
        ("GET", "/v1/provisioning/mute-timings"),
        ("POST", "/v1/provisioning/mute-timings", NIGHTS),
        ("POST", "/v1/provisioning/mute-timings", {**NIGHTS, "name": "weekends"}, EDITABLE),
        ("GET", "/v1/provisioning/mute-timings"),
        ("POST", "/v1/provisioning/contact-points", contact("gwz-w", "GW", "webhook", url="http://h/x")),
        ("PUT", "/v1/provisioning/policies", tree({**MUTED, "mute_time_intervals": ["none"]})),
        ("PUT", "/v1/provisioning/policies", tree(MUTED)),
        ("GET", "/v1/provisioning/policies"),
        ("DELETE", "/v1/provisioning/mute-timings/nights"),
        ("DELETE", "/v1/provisioning/mute-timings/weekends"),
        ("GET", "/v1/provisioning/mute-timings"),
    ],
    "templates": [
        ("GET", "/v1/provisioning/templates"),
        (
            "PUT",
            "/v1/provisioning/templates/gwz-t",
            {"template": '\n{{/* m */}}\n{{ define "gwz.t" }} hi {{ end }}\n\n'},
        ),
        ("GET", "/v1/provisioning/templates"),
        ("PUT", "/v1/provisioning/templates/gwz-u", {"template": "plain"}, EDITABLE),
        ("GET", "/v1/provisioning/templates"),
        ("DELETE", "/v1/provisioning/templates/gwz-t"),
        ("DELETE", "/v1/provisioning/templates/gwz-t"),
        ("GET", "/v1/provisioning/templates"),
    ],
}


def scrubbed(value: Any) -> Any:
    match value:
        case dict():
            return {
                key: scrubbed(item) for key, item in sorted(value.items()) if key not in VOLATILE and not is_page(item)
            }
        case list() if value and all(isinstance(item, dict) and {"uid", "name"} & {*item} for item in value):
            return sorted(
                (scrubbed(item) for item in value),
                key=lambda item: (item.get("name", ""), item.get("uid", ""), item.get("title", "")),
            )
        case list():
            return [scrubbed(item) for item in value]
        case _:
            return value


def is_page(value: Any) -> bool:
    """Tell whether it is the address of a page in the browser."""
    return isinstance(value, str) and value.startswith(("/d/", "/dashboards/"))


def answers(place: Place, script: list[tuple[Any, ...]]) -> list[Any]:
    default = place.get("/v1/provisioning/policies")["receiver"]
    named = {"RECEIVER": default}

    def told(body: Any) -> Any:
        return (
            {**body, "receiver": named.get(body["receiver"], body["receiver"])}
            if isinstance(body, dict) and "routes" in body
            else body
        )

    found = []
    for method, path, *rest in script:
        status, answer = place.call(
            method, path, told(rest[0]) if rest else None, headers=rest[1] if len(rest) > 1 else None
        )
        found.append((method, path, status, essence(method, status, answer)))
    return found


def essence(method: str, status: int, answer: Any) -> Any:
    """Of a refusal the words, of a read and of a write's answer what stands in it."""
    if status >= 400:
        return answer.get("message") if isinstance(answer, dict) else answer
    if method == "DELETE":
        return None
    # Of a dashboard's `meta` only where it lies and whether a file holds it.
    if isinstance(answer, dict) and "meta" in answer:
        answer = {**answer, "meta": {key: answer["meta"][key] for key in ("folderUid", "provisioned", "version")}}
    return scrubbed(answer)


@pytest.mark.parametrize("topic", SCRIPTS)
def test_the_fake_answers_as_the_real_one(topic: str, real_place: Place) -> None:
    real_place.wipe()
    real = answers(real_place, SCRIPTS[topic])
    real_place.wipe()
    with served(FakeGrafana()) as url:
        fake = answers(Place(url, "admin", real=False), SCRIPTS[topic])
    differences = [(one, other) for one, other in zip(fake, real, strict=True) if one != other]
    assert not differences, "\n".join(f"fake {one}\nreal {other}\n" for one, other in differences)


@pytest.mark.parametrize("role", ["Viewer", "Editor", "Admin"])
def test_every_role_may_read_alerting(real_place: Place, role: str) -> None:
    """By that a Grafana whose alerting still starts is told from one that forbids it."""
    with served(FakeGrafana()) as url:
        for place in (real_place, Place(url, "admin", real=False)):
            _, granted = place.call("GET", "/access-control/user/permissions", token=place.token(role))
            assert "alert.notifications:read" in granted


def test_the_fake_tells_the_version_that_it_was_compared_with(real_place: Place) -> None:
    """With another real Grafana the fake is corrected and its VERSION changed: then the suite has been compared anew."""
    assert real_place.get("/health")["version"] == VERSION
