"""The shipped bundle once more, with the times of its alerts divided by one factor and not a byte else changed."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gwz_dashboards.alerts import ALERTS_SHIPPED, alert_files, duration
from gwz_dashboards.generate import FOLDERS
from gwz_stack.errors import StackError

FACTOR = 60
"""A minute becomes a second, the least that Grafana's scheduler knows."""
SHIPPED = FOLDERS[-1]
"""The folder of the bundle that is in gwz-provision's wheel."""

_POLICIES = "policies.json"
_WINDOW = re.compile(r"(?<=\[)(?:\d+[hms])+(?=\])|(?<= offset )(?:\d+[hms])+")
_PART = re.compile(r"(\d+)([hms])")
_SECONDS = {"h": 3600, "m": 60, "s": 1}

Json = dict[str, Any]


class NotTheSame(StackError):  # noqa: N818  # as its siblings in gwz_stack.errors
    """More than times would differ from what ships; the message says where."""

    def __init__(self, where: object, what: str) -> None:
        super().__init__(
            f"{where} {what}.",
            cause="It was edited, or the alerts' code was and nothing was generated.",
            cure="Run `nox -s generate`, and look at what it changes.",
        )


def write_bundle(out: Path, *, shipped: Path = SHIPPED, factor: int = FACTOR) -> None:
    """Write the bundle to the new folder `out`; raises NotTheSame if multiplied it would not be the shipped one again."""
    shutil.copytree(shipped, out)
    for name, document in alert_files(factor).items():
        file = Path("alerts") / name
        text = (shipped / file).read_text(encoding="utf-8")
        faster = {**json.loads(text), **document}
        if written(multiplied(faster, factor)) != text:
            raise NotTheSame(file, f"is not what the alerts' code makes, times {factor}")
        (out / file).write_text(written(faster), encoding="utf-8")
    policies = json.loads((shipped / _POLICIES).read_text(encoding="utf-8"))
    routes = [_faster_route(route, factor) for route in policies["routes"]]
    (out / _POLICIES).write_text(written({**policies, "routes": routes}), encoding="utf-8")


def rules(bundle: Path) -> dict[str, Json]:
    """Read the rules of a bundle by their uid."""
    found = {rule["uid"]: rule for rule in _rules(bundle)}
    if missing := {alert.uid for alert in ALERTS_SHIPPED} - found.keys():
        raise NotTheSame(bundle, f"lacks the alerts {', '.join(sorted(missing))}")
    return found


def multiplied(document: Mapping[str, Any], factor: int) -> Json:
    """The document with every window, `for` and interval `factor` times as long."""

    def longer(number: int) -> int:
        return number * factor

    return {
        **document,
        "groups": [
            {
                **group,
                "interval": duration(longer(seconds(group["interval"]))),
                "rules": [_timed(rule, window=longer, waits=longer) for rule in group["rules"]],
            }
            for group in document["groups"]
        ],
    }


def faster(rule: Mapping[str, Any], factor: int = FACTOR) -> Json:
    """A rule as `Timing.divided` makes it, whatever else is right or wrong with it."""
    return _timed(rule, window=lambda number: max(1, number // factor), waits=lambda number: number // factor)


def seconds(text: str) -> int:
    """Read what `duration` writes."""
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def written(document: Mapping[str, Any]) -> str:
    """The text of a file of the bundle."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _timed(rule: Mapping[str, Any], *, window: Callable[[int], int], waits: Callable[[int], int]) -> Json:
    def asked(query: Json) -> Json:
        model = query["model"]
        if "expr" not in model:
            return query
        expression = _WINDOW.sub(lambda found: duration(window(seconds(found[0]))), model["expr"])
        return {**query, "model": {**model, "expr": expression}}

    return {**rule, "for": duration(waits(seconds(rule["for"]))), "data": [asked(query) for query in rule["data"]]}


def _rules(bundle: Path) -> Iterator[Json]:
    for file in sorted((bundle / "alerts").glob("*.json")):
        for group in json.loads(file.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


def _faster_route(route: Json, factor: int) -> Json:
    """A route that tells of changes of a group sooner; the first wait is a second already."""
    return {**route, "group_interval": duration(max(1, seconds(route["group_interval"]) // factor))}
