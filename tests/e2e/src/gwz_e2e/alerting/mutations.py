"""Ways in which an alert rule, or the way of its messages, can be wrong: each has to be seen after a trial, without another."""

import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from gwz_dashboards.json_queries import API_UID
from gwz_e2e.alerting.routing import Routing
from gwz_e2e.panels import mutations as panels
from gwz_e2e.panels.boards import Query

Json = dict[str, Any]
Change = Callable[[Json], None]
"""Makes a rule wrong, in place; leaves it as it is where that is not possible."""

_KINDS = {"grafana_prometheus": "prometheus", "grafana_loki": "loki", API_UID: "yesoreyeram-infinity-datasource"}
_TIMES = re.compile(r"(?<=\[)(\d+)(?=[hms])|(?<= offset )(\d+)(?=[hms])")
_TURNED = {"gt": "lt", "lt": "gt", "OK": "Alerting", "Alerting": "OK", "critical": "warning", "warning": "critical"}
_LATER = 5
_OTHER_PAGE = "gwz-telemetry-lost"


@dataclass(frozen=True)
class Mutation:
    """One kind of fault of a rule."""

    name: str
    change: Change

    def of(self, rule: Mapping[str, Any]) -> Json | None:
        """The rule with the fault, unless that changes nothing."""
        changed = deepcopy(dict(rule))
        self.change(changed)
        return None if changed == rule else changed


def mutants(rules: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[Mutation, str, Json]]:
    """Every rule, by its uid, with every fault that it can have."""
    for uid, rule in rules.items():
        for mutation in MUTATIONS:
            if (mutant := mutation.of(rule)) is not None:
                yield mutation, uid, mutant


def _evaluator(rule: Json) -> Json:
    (condition,) = rule["data"][-1]["model"]["conditions"]
    evaluator: Json = condition["evaluator"]
    return evaluator


def _turned(rule: Json) -> None:
    evaluator = _evaluator(rule)
    evaluator["type"] = _TURNED[evaluator["type"]]


def _limit(by: Callable[[float], float]) -> Change:
    def change(rule: Json) -> None:
        evaluator = _evaluator(rule)
        evaluator["params"] = [by(evaluator["params"][0])]

    return change


def _reducer(name: str) -> Change:
    def change(rule: Json) -> None:
        rule["data"][1]["model"]["reducer"] = name

    return change


def _windows(by: Callable[[int], int]) -> Change:
    def change(rule: Json) -> None:
        model = rule["data"][0]["model"]
        if "expr" in model:
            model["expr"] = _TIMES.sub(lambda found: str(by(int(found[0]))), model["expr"])

    return change


def _set(**values: Any) -> Change:
    return lambda rule: rule.update(values)


def _opposite(name: str) -> Change:
    def change(rule: Json) -> None:
        rule[name] = _TURNED[rule[name]]

    return change


def _within(name: str, **values: Any) -> Change:
    return lambda rule: rule[name].update(values)


def _severity(rule: Json) -> None:
    rule["labels"]["severity"] = _TURNED[rule["labels"]["severity"]]


def _unlabelled(rule: Json) -> None:
    del rule["labels"]["severity"]


def _longer(rule: Json) -> None:
    rule["for"] = re.sub(r"\d+", lambda found: str(_LATER * int(found[0])), rule["for"])


def _ago(rule: Json) -> None:
    asked = rule["data"][0]
    asked["relativeTimeRange"] = {"from": asked["relativeTimeRange"]["from"] + 300, "to": 300}


def _other_page(rule: Json) -> None:
    notes = rule["annotations"]
    notes["runbook_url"] = notes["runbook_url"].replace(rule["uid"], _OTHER_PAGE)


def _elsewhere(rule: Json) -> None:
    notes = rule["annotations"]
    notes["runbook_url"] = notes["runbook_url"].replace("/gwz-", "/")


def _hole(rule: Json) -> None:
    notes = rule["annotations"]
    notes["summary"] = re.sub(r"\$values\.B", "$values.X", re.sub(r"\$labels\.\w+", "$labels.nobody", notes["summary"]))


def _other_panel(rule: Json) -> None:
    notes = rule["annotations"]
    notes["__panelId__"] = str(int(notes["__panelId__"]) + 1)


def _as_of_a_panel(mutation: panels.Mutation) -> Mutation:
    """A fault that the query of a panel can have as well."""

    def change(rule: Json) -> None:
        asked = rule["data"][0]
        source = {"type": _KINDS[asked["datasourceUid"]], "uid": asked["datasourceUid"]}
        panel = {"id": 0, "title": rule["title"]}
        query = Query("alerts", "Alerts", panel, {**deepcopy(asked["model"]), "datasource": source})
        if (mutant := mutation.of(query)) is not None:
            model = dict(mutant.target)
            asked["datasourceUid"] = model.pop("datasource")["uid"]
            asked["model"] = model

    return Mutation(mutation.name, change)


MUTATIONS: tuple[Mutation, ...] = (
    *(_as_of_a_panel(one) for one in panels.MUTATIONS if one.asks and "legend" not in one.name),
    Mutation("the comparison turned round", _turned),
    Mutation("a threshold ten times as high", _limit(lambda limit: 10 * limit or 10)),
    Mutation("a threshold a tenth as high", _limit(lambda limit: limit / 10)),
    Mutation("a threshold of nothing", _limit(lambda _: 0)),
    Mutation("how many points there are", _reducer("count")),
    Mutation("the mean of the points", _reducer("mean")),
    Mutation("the value itself is the condition", _set(condition="B")),
    Mutation("windows five times as long", _windows(lambda number: _LATER * number)),
    Mutation("windows a fifth as long", _windows(lambda number: max(1, number // _LATER))),
    Mutation("asked about five minutes ago", _ago),
    Mutation("no `for`", _set(**{"for": "0s"})),
    Mutation("a `for` five times as long", _longer),
    Mutation("missing data mean the opposite", _opposite("noDataState")),
    Mutation("errors mean the opposite", _opposite("execErrState")),
    Mutation("paused", _set(isPaused=True)),
    Mutation("evaluated every ten minutes", _within("group", interval="10m")),
    Mutation("in another folder", _within("group", folder="gwz-backend")),
    Mutation("another severity", _severity),
    Mutation("no severity", _unlabelled),
    Mutation("another team", _within("labels", team="nobody")),
    Mutation("one more label", _within("labels", env="production")),
    Mutation("another uid", lambda rule: rule.update(uid=f"{rule['uid']}s")),
    Mutation("another title", lambda rule: rule.update(title=f"{rule['title']}!")),
    Mutation("another alert's page", _other_page),
    Mutation("a page that is not there", _elsewhere),
    Mutation("a text with a hole", _hole),
    Mutation("no text", _within("annotations", summary="")),
    Mutation("another panel", _other_panel),
    Mutation("a panel of another dashboard", _within("annotations", __dashboardUid__="four-golden-signals-v1")),
)


def _routes(change: Callable[[list[Json], list[Json]], None]) -> Callable[[Routing], Routing]:
    def apply(routing: Routing) -> Routing:
        routes, points = deepcopy([*map(dict, routing.routes)]), deepcopy([*map(dict, routing.contact_points)])
        change(routes, points)
        return Routing(routes, points)

    return apply


ROUTE_MUTATIONS: Mapping[str, Callable[[Routing], Routing]] = {
    f"routes: {name}": _routes(change)
    for name, change in {
        "warnings wake somebody up": lambda routes, _: routes[0].update(object_matchers=[["severity", "=", "warning"]]),
        "everything wakes somebody up": lambda routes, _: routes[0].update(object_matchers=[]),
        "all but the critical ones wake somebody up": lambda routes, _: routes[0].update(
            object_matchers=[["severity", "!=", "critical"]]
        ),
        "what wakes somebody up is told to nobody else": lambda routes, _: routes[0].update({"continue": False}),
        "nobody is woken up": lambda routes, _: routes.pop(0),
        "only who is woken up is told": lambda routes, _: routes.pop(1),
        "everybody is told first": lambda routes, _: routes.reverse(),
        "a receiver that is not there": lambda routes, _: routes[1].update(receiver="Nobody"),
        "the first message waits": lambda routes, _: routes[1].update(group_wait="5m"),
        "changes wait": lambda routes, _: routes[0].update(group_interval="1h"),
        "different alerts in one message": lambda routes, _: routes[1].update(group_by=["severity"]),
        "a contact point of another name": lambda _, points: points[0].update(name="Nobody"),
        "a contact point of another kind": lambda _, points: points[3].update(type="webhook"),
        "an address that nobody can set": lambda _, points: points[0]["settings"].update(url="http://localhost"),
        "a contact point is gone": lambda _, points: points.pop(3),
    }.items()
}
"""Faults of whom is told, and of when."""

_REASONS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "a column called otherwise",
        ("health-score-low", "api-down"),
        "a rule reads the only column that there is, whatever its name",
    ),
    (
        "the last two samples instead of a rate",
        ("error-rate-high", "latency-high", "cost-spike", "first-byte-slow", "streams-slow", "redis-memory-high"),
        "the calm and the fault are steady: two samples tell of them as a window does",
    ),
    (
        "another quantile",
        ("latency-high", "first-byte-slow", "streams-slow"),
        "the fault makes more than half of the answers slow",
    ),
    ("another metric", ("latency-high",), "a request takes as long as the call to the model that it makes"),
    ("another metric", ("no-traces",), "Grafana asks the JSON endpoints often enough to be taken for traffic"),
    (
        "a hundred times as much",
        ("provider-down", "redis-down", "target-not-scraped"),
        "what is gone is 0, and a hundred times nothing is nothing",
    ),
    ("a hundred times as much", ("telemetry-lost",), "how many spans are lost at once is not the fault's to decide"),
    ("five more", ("latency-high", "streams-slow"), "the bucket is 30 seconds wide, the quantile anywhere in it"),
    ("five more", ("no-traces",), "among some hundred requests five more are nothing"),
    (
        "the mean instead of the sum",
        ("no-traces", "telemetry-lost"),
        "each series by itself is over the limit, and so is their mean",
    ),
    (
        "every environment",
        ("redis-down",),
        "of the exporter, which lives on: it says itself that Redis does not answer",
    ),
    ("bytes instead of lines", ("no-logs",), "nothing is nothing, in bytes as in lines"),
    ("a rate instead of a count of lines", ("no-logs",), "in the calm there are many lines a second"),
    ("every kind of span", ("no-traces",), "without Tempo the spans of every kind are missing"),
)

SURVIVORS: Mapping[tuple[str, str], str] = {
    (name, f"gwz-{slug}"): reason for name, slugs, reason in _REASONS for slug in slugs
}
"""Why a fault may change nothing that can be seen, by its name and the rule's uid."""
