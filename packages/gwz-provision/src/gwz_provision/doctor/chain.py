"""The chain behind an empty answer: pure decisions from what a server knows of a selector."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from gwz_provision.check.contract import Contract
from gwz_provision.check.promql import Matcher, Node, Selector
from gwz_provision.doctor.trees import Rules, is_judged, meets, narrows, written
from gwz_provision.recording import CURE as LOAD
from gwz_provision.report import Hop

ANSWER = "Empty, which is an answer: "
EXCUSED = frozenset({"value", "range", "samples", "rows"})
"""The hops behind which a panel may rightly be empty, if the bundle says so of it."""

_SHOWN = 8
# The servers that write metrics under names of their own, by the word that their jobs have in common.
_OWN_NAMES = ("redis", "loki", "tempo", "grafana", "prometheus")


@dataclass(frozen=True)
class Target:
    """Something that Prometheus scrapes."""

    job: str
    instance: str
    url: str
    up: bool
    error: str = ""


@dataclass(frozen=True)
class Facts:
    """What a server knows of a selector, as far as it had to be asked."""

    ever: bool = True
    """Whether anything of that name was ever seen."""
    jobs: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The values of the labels in question, of whatever else the name has; no entry: not asked."""
    together: bool = True
    """Whether something ever met all conditions at once."""
    last: float | None = None
    """When the last sample was, in seconds since the epoch."""


@dataclass(frozen=True)
class Scrapes:
    """What a Prometheus scrapes and has loaded; `targets` is None when it does not tell."""

    uid: str
    retention: str
    targets: tuple[Target, ...] | None
    watched: tuple[tuple[Matcher, ...], ...]
    """The conditions on `up` under which the bundle looks at targets."""
    rules: Mapping[str, str]
    """The errors of the recording rules that are loaded, by their names."""
    declared: Mapping[str, str]
    """The expressions of the bundle's recording rules, by their names."""


def metric(selector: Selector, facts: Facts, scrapes: Scrapes, contract: Contract) -> Hop:
    """Name the first broken hop before a selector of Prometheus that has no samples in its range."""
    if found := rule(selector, scrapes, ever=facts.ever):
        return found
    if found := unscraped(selector, facts, scrapes):
        return found
    if not facts.ever:
        who, cure = _emitter(selector.name, contract)
        cause = f"No sample of {selector.name or written(selector)} has reached Prometheus in the {scrapes.retention} that it keeps: {who}."
        return Hop("metric", selector.name or written(selector), cause, cure)
    cure = f"Look why {selector.name} is no longer written, or choose a longer range."
    return labels(selector, facts, selector.name or "series") or _stale(selector, facts, "sample", cure)


def rule(selector: Selector, scrapes: Scrapes, *, ever: bool) -> Hop | None:
    """Tell whether a recorded metric is missing because of its rule."""
    name = selector.name
    if name not in scrapes.declared:
        return None
    if name not in scrapes.rules:
        if scrapes.declared.keys() & scrapes.rules.keys():
            return Hop("rule", name, f"Recording rule {name} is not loaded in Prometheus.", LOAD)
        cause = f"Recording rule {name} is not loaded in Prometheus, nor is any other of the bundle's {len(scrapes.declared)}."
        return Hop("rule", scrapes.uid, cause, LOAD)
    if error := scrapes.rules[name]:
        cause = f"Recording rule {name} is loaded, and its evaluation fails: {error}."
        return Hop("rule", name, cause, f"Replace it: {LOAD}")
    if not ever:
        cause = f"Recording rule {name} is loaded, what it is made of is there, and it has recorded nothing yet."
        return Hop("rule", name, cause, "Wait for its next evaluation: once in each evaluation_interval of Prometheus.")
    return None


def unscraped(selector: Selector, facts: Facts, scrapes: Scrapes) -> Hop | None:
    """Name the target that should deliver a metric, and does not."""
    if scrapes.targets is None or selector.name.startswith("traces_"):
        return None  # Tempo writes them: nobody scrapes
    conditions = _watching(selector.name, scrapes.watched)
    serving = [one for one in scrapes.targets if _may_serve(one, selector, facts, conditions)]
    if found := next((one for one in serving if not one.up), None):
        return down(found)
    if not facts.jobs:
        absent = [one for one in conditions if not any(selected(target, one) for target in scrapes.targets)]
        return unconfigured(absent[0]) if absent and not facts.ever else None
    if serving:
        return None
    jobs = ", ".join(facts.jobs)
    cause = f"Prometheus scrapes no target of the job {jobs} any more, from which {selector.name} came."
    return Hop("target", jobs, cause, "Put the target back into scrape_configs, or into the file of its targets.")


def down(target: Target) -> Hop:
    """Say that a target is down."""
    cause = f"Prometheus cannot scrape {target.url} (job {target.job}): {target.error or 'it is not up'}."
    return Hop("target", f"{target.job}/{target.instance}", cause, _scrape_cure(target.error.lower()))


def unconfigured(matchers: Sequence[Matcher]) -> Hop:
    """Say that nothing is scraped of what the bundle watches."""
    shown = written(Selector("up", tuple(matchers)))
    cause = f"Prometheus scrapes no target that {shown} selects, which the bundle watches."
    return Hop("target", shown, cause, "Add it to scrape_configs of Prometheus, under that name of the job.")


def selected(target: Target, matchers: Sequence[Matcher]) -> bool:
    """Tell whether a target meets conditions on `up`."""
    own = {"job": target.job, "instance": target.instance}
    return all(meets(one, own.get(one.label, "")) for one in matchers)


def unmet(selector: Selector, values: Mapping[str, tuple[str, ...]]) -> Matcher | None:
    """Find the first condition that no value of its label meets."""
    for one in selector.matchers:
        there = values.get(one.label)
        if there is not None and not meets(one, "") and not any(meets(one, value) for value in there):
            return one
    return None


def labels(selector: Selector, facts: Facts, what: str) -> Hop | None:
    """Name the label, or the value, that nothing under this name has; `what` is what carries labels."""
    if one := unmet(selector, facts.values):
        there = facts.values[one.label]
        if not there:
            subject = f"{selector.name}.{one.label}" if selector.name else one.label
            cause = f"No {what} has the label {one.label}."
            return Hop("label", subject, cause, "Correct the query, or what writes the label.")
        shown = written(Selector(selector.name, (one,)))
        cause = f"No {what} has {one.label}{one.operator}{one.value!r}: there {'are' if there[1:] else 'is'} {_listed(there)}."
        return Hop(
            "value", shown, cause, "Choose another value (--var name=value), or look why nothing writes this one."
        )
    if not facts.together:
        shown = written(selector)
        unjudged = [written(Selector("", (one,))) for one in selector.matchers if not is_judged(one)]
        cause = f"Each condition of {shown} is met by something, and nothing meets all of them."
        if unjudged:
            cause = f"Nothing meets all conditions of {shown}; what {' and '.join(unjudged)} matches, only the server can tell."
        return Hop("value", shown, cause, "Choose values that go together (--var name=value).")
    return None


def stream(selector: Selector, facts: Facts, uid: str, *, tenant: bool) -> Hop:
    """Name the first broken hop before a selector of Loki that has no lines in its range."""
    if not facts.ever:
        also = "; or they are written as another tenant than the X-Scope-OrgID of the data source" if tenant else ""
        return Hop(
            "stream",
            uid,
            f"No log line has reached the Loki of {uid} in 29 days{also}.",
            "Set LOKI_URL where the application runs, and look at its own log for what it could not deliver.",
        )
    cure = "Look why nothing is written any more, or choose a longer range."
    return labels(selector, facts, "log line") or _stale(selector, facts, "line", cure)


def calculated(node: Node, unknown: int, rules: Rules) -> str:
    """Say why a query that has all its series may answer nothing; empty when it may not."""
    if unknown:
        return f"{ANSWER}what it calculates is not a number, because nothing happened in the range."
    if narrows(node, rules):
        return f"{ANSWER}all its series are there, and none passes its comparison or filter."
    return ""


def incalculable(subject: str) -> Hop:
    """Say that a query makes nothing of the series that it has."""
    return Hop(
        "samples",
        subject,
        "Every series that it asks for has samples, and it makes nothing of them: fewer than two in its window, or the labels of its two sides do not match.",
        "Wait for two scrapes; if it stays, set timeInterval of the data source to Prometheus' scrape_interval, and compare the labels on both sides.",
    )


def ago(seconds: float) -> str:
    """Write how long ago something was, in its largest unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _stale(selector: Selector, facts: Facts, what: Literal["sample", "line"], cure: str) -> Hop:
    shown = written(selector)
    if facts.last is None:
        return Hop("range", shown, f"{shown} has no {what} in the range; it had some, long ago.", cure)
    at = datetime.fromtimestamp(facts.last, tz=UTC)
    since = ago((datetime.now(tz=UTC) - at).total_seconds())
    cause = f"Only the range is empty: the last {what} of {shown} was {since} ago ({at:%Y-%m-%d %H:%M:%S} UTC)."
    return Hop("range", shown, cause, cure)


def _may_serve(target: Target, selector: Selector, facts: Facts, conditions: Sequence[Sequence[Matcher]]) -> bool:
    """Tell whether a metric comes, or would come, from a target."""
    asked = [one for one in selector.matchers if one.label in {"job", "instance"}]
    if not selected(target, asked):
        return False
    if facts.jobs:
        return target.job in facts.jobs
    return any(selected(target, one) for one in conditions)


def _watching(name: str, watched: Sequence[tuple[Matcher, ...]]) -> list[tuple[Matcher, ...]]:
    """List the conditions that select the targets which emit a metric: those of its own server, else of the application."""
    word = next((one for one in _OWN_NAMES if name.startswith(f"{one}_")), "")

    def of_server(matchers: tuple[Matcher, ...]) -> bool:
        jobs = " ".join(one.value for one in matchers if one.label == "job")
        return word in jobs if word else not any(one in jobs for one in _OWN_NAMES)

    return [one for one in watched if of_server(one)]


def _emitter(name: str, contract: Contract) -> tuple[str, str]:
    """Say who writes a metric, and what to do when it does not."""
    if name.startswith("traces_"):
        return (
            "Tempo's metrics generator makes it from spans",
            "Send spans to Tempo, give its metrics_generator the processor and remote_write, and Prometheus --web.enable-remote-write-receiver.",
        )
    if name.startswith("redis_"):
        return "redis_exporter emits it", "Run redis_exporter, and let Prometheus scrape it."
    if contract.find(name):
        return (
            "the application emits it",
            "Let Prometheus scrape its /metrics, and use the application once: some series begin with their first event. `gwz-instrument check URL` tells what it emits.",
        )
    return "nothing that we know emits it", "Correct the name: `gwz-provision validate` suggests the nearest one."


def _scrape_cure(error: str) -> str:
    if re.search(r"\b40[13]\b", error):
        return "Give Prometheus the token that the target wants (authorization in its scrape_config, GWZ_METRICS_TOKEN of the application)."
    if "404" in error:
        return "Correct metrics_path in its scrape_config."
    if "connection refused" in error or "no such host" in error or "deadline exceeded" in error:
        return "Start it, or correct its address in scrape_configs."
    return "/targets of Prometheus shows the error; correct the target or its scrape_config."


def _listed(values: Sequence[str]) -> str:
    shown = ", ".join(values[:_SHOWN])
    return f"{shown} and {len(values) - _SHOWN} more" if values[_SHOWN:] else shown
