"""One form for what is sent and what is shown: by literals, and by writing made-up values to Grafana and reading them back."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from raw import Place

from gwz_provision import normalise
from gwz_provision.access import Access
from gwz_provision.grafana import Grafana
from gwz_provision.manifest import Manifest
from gwz_provision.plan import Options
from gwz_provision.reconcile import do, look_and_plan
from gwz_provision.resources import LABEL, OWNER, Key, Wanted


@pytest.mark.parametrize(
    ("written", "shown"),
    [("60s", "1m"), ("90s", "1m30s"), ("24h", "1d"), ("7d", "1w"), ("8d", "8d"), ("1h0m", "1h"), ("0", "0s"), ("1500ms", "1s500ms"), ("366d", "366d"), ("365d", "1y")],
)  # fmt: skip
def test_durations_are_written_as_grafana_shows_them(written: str, shown: str) -> None:
    assert normalise.duration(written) == shown


@pytest.mark.parametrize("text", ["soon", "1", "5 m", "m", "-1s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        normalise.milliseconds(text)


@pytest.mark.parametrize(
    ("refresh", "shown"), [("1s", "5s"), ("500ms", "5s"), ("5s", "5s"), ("1m", "1m"), ("", None), (False, None)]
)
def test_a_refresh_that_is_too_short_is_raised_as_grafana_does(refresh: Any, shown: str | None) -> None:
    form = normalise.dashboard({"uid": "a", "title": " T ", "refresh": refresh}, "f")["model"]
    assert (form["refresh"] or None, form["title"]) == (shown, "T")


NUMBERS = range(12)


def text(of: random.Random) -> str:
    return "".join(of.choice("abcÄß€ /?#%&\"'<>{}$.-_") for _ in range(of.randint(1, 12))).strip() or "x"


def made_folder(of: random.Random, number: int) -> Wanted:
    return Wanted(Key("folder", f"gwz-{number}"), "", normalise.folder(f" {text(of)} {number} ", ""))


def made_source(of: random.Random, number: int) -> Wanted:
    source = {
        "uid": f"made_{number}",
        "name": f"{text(of)} {number}",
        "type": of.choice(["prometheus", "loki", "tempo"]),
        "url": of.choice(["http://h:1/a?b=c", "https://h"]),
        "basicAuth": of.choice([True, False]),
        "jsonData": {
            text(of): of.choice([1, 1.5, True, None, "é", [], {}, {"deep": [1, {"er": "${__value.raw}"}]}])
            for _ in range(4)
        },
    }
    return Wanted(
        Key("datasource", source["uid"]), source["name"], normalise.datasource(source), of.choice([{}, {"k": text(of)}])
    )


def made_dashboard(of: random.Random, number: int) -> Wanted:
    values: list[Any] = [None, True, 0, -1.5, 1e21, "", "é", [], {}, [{"a": []}], {"$x": "${y}"}]
    model = {
        "uid": f"gwz-{number}-d",
        "title": f" {text(of)} {number}",
        "tags": [OWNER, *of.sample(["b", "a", "ü"], of.randint(0, 3))],
        "refresh": of.choice(["1s", "5s", "10s", "", "1m"]),
        "panels": [
            {"id": panel, "options": {text(of): of.choice(values) for _ in range(3)}}
            for panel in range(of.randint(0, 3))
        ],
        **{f"extra{index}": of.choice(values) for index in range(3)},
    }
    return Wanted(Key("dashboard", model["uid"]), model["title"].strip(), normalise.dashboard(model, ""))


def made_rule(of: random.Random, number: int) -> Wanted:
    query: dict[str, Any] = {
        "refId": "A",
        "datasourceUid": "p",
        "relativeTimeRange": {"from": of.randint(1, 9999), "to": 0},
        "model": {"refId": "A", "expr": text(of)},
    }
    query["model"] |= of.choice(
        [{}, {"intervalMs": 5000}, {"maxDataPoints": 0}, {"queryType": "range"}, {"instant": True}]
    )
    source = {
        "uid": f"gwz-{number}",
        "title": f"{text(of)} {number}",
        "folderUID": "gwz-home",
        "ruleGroup": of.choice(["a b/c", "d"]),
        "condition": "A",
        "data": [
            query,
            *of.choice(
                [[], [{"refId": "B", "datasourceUid": "__expr__", "model": {"type": "math", "expression": "$A > 1"}}]]
            ),
        ],
        "for": of.choice(["0s", "60s", "90s", "24h", "7d", "1h30m"]),
        "labels": {LABEL: OWNER, **of.choice([{}, {"severity": "critical"}])},
        "annotations": of.choice([{}, {"summary": "{{ $labels.a }} " + text(of)}]),
        "noDataState": of.choice(["NoData", "OK", "Alerting", "KeepLast"]),
        "execErrState": of.choice(["Error", "OK", "Alerting", "KeepLast"]),
        "isPaused": of.choice([True, False]),
    }
    return Wanted(
        Key("alert-rule", source["uid"]),
        source["title"],
        normalise.rule(source, 60 if source["ruleGroup"] == "d" else 120),
    )


def made_contact(of: random.Random, number: int) -> Wanted:
    kind, settings = of.choice(
        [
            (
                "webhook",
                {"url": "http://h/a", "httpMethod": "PUT", "maxAlerts": 5, "authorization_credentials": text(of)},
            ),
            ("slack", {"url": "http://h/s", "title": "{{ .Status }}"}),
            ("slack", {"token": "x" + text(of), "recipient": "#a"}),
            ("email", {"addresses": "a@b.c;d@e.f", "singleEmail": True}),
            ("pagerduty", {"integrationKey": "k" + text(of), "severity": "critical"}),
        ]
    )
    source = {
        "name": f"C{number % 3}",
        "type": kind,
        "settings": settings,
        "disableResolveMessage": of.choice([True, False]),
    }
    return Wanted(Key("contact-point", f"gwz-{number}"), source["name"], normalise.contact_point(source))


def made_template(of: random.Random, number: int) -> Wanted:
    return Wanted(
        Key("template", f"gwz-{number}"),
        f"gwz-{number}",
        normalise.template(f'\n {{{{ define "gwz.{number}" }}}}{of.choice(["x", " é ", ""])}{{{{ end }}}}\n\n'),
    )


def made_policy(of: random.Random) -> Wanted:
    routes = [
        {
            "receiver": "C0",
            "object_matchers": [
                [LABEL, "=", OWNER],
                *of.sample([["a", "=", "b"], ["c", "=~", "d|e"], ["f", "!=", ""]], of.randint(0, 3)),
            ],
            "continue": of.choice([True, False]),
            "group_by": of.choice([[], ["alertname"], ["..."]]),
            "group_wait": of.choice(["0s", "30s", "60s"]),
            "repeat_interval": of.choice(["90s", "24h", "7d"]),
        }
        for _ in range(4)
    ]
    return Wanted(Key("policy", OWNER), "", normalise.policy(routes))


HOME = Wanted(Key("folder", "gwz-home"), "Home", normalise.folder("Home", ""))
MADE: dict[str, Callable[[random.Random], list[Wanted]]] = {
    "folder": lambda of: [made_folder(of, number) for number in NUMBERS],
    "datasource": lambda of: [made_source(of, number) for number in NUMBERS],
    "dashboard": lambda of: [made_dashboard(of, number) for number in NUMBERS],
    "alert-rule": lambda of: [HOME, *(made_rule(of, number) for number in NUMBERS)],
    "contact-point": lambda of: [made_contact(of, number) for number in NUMBERS],
    "template": lambda of: [made_template(of, number) for number in NUMBERS],
    "policy": lambda of: [*(made_contact(of, number) for number in NUMBERS), made_policy(of)],
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", MADE)
def test_what_is_written_reads_back_as_its_form(place: Place, kind: str, seed: int) -> None:
    """Whatever the values: after the write a plan finds nothing to do, and a change of all of them goes through as well."""
    of = random.Random(f"{kind} {seed}")
    with Grafana(Access(place.url, ("admin", place.password))) as grafana:
        for _ in range(2):
            wanted = Manifest(tuple(MADE[kind](of)))
            _, plan = look_and_plan(grafana.reader, wanted, Options())
            outcomes = list(do(plan, grafana))
            assert [str(outcome.error) for outcome in outcomes if outcome.result != "done"] == []
            _, again = look_and_plan(grafana.reader, wanted, Options())
            assert [(action.key.uid, action.fields) for action in again.pending] == []
