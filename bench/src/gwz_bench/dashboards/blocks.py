"""The day's samples as blocks of Prometheus, and of the recording rules what they would have written meanwhile."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from gwz_bench.dashboards.day import Day, Series
from gwz_dashboards.recording import GROUPS, Recorded
from gwz_stack.errors import writing
from gwz_stack.promtool import blocks_of_rules, blocks_of_samples

_BLOCK_S = 7200
"""What Prometheus has in a block at first; promtool would read a longer text once for every block of it."""


def import_samples(promtool: Path, day: Day, series: Sequence[Series], data: Path) -> int:
    """Make blocks of everything that was scraped, and return how many samples there are."""
    with writing(data):
        data.mkdir(parents=True, exist_ok=True)
        text = data.parent / "samples.om"
        for scrapes in windows(day):
            with text.open("w", encoding="utf-8") as file:
                file.writelines(exposition(day, series, scrapes))
            blocks_of_samples(promtool, text, data)
        text.unlink()
    return len(series) * len(day.times)


def windows(day: Day) -> Iterator[range]:
    """The places of the scrapes of each block."""
    first = 0
    for place, at in enumerate(day.times):
        if at // _BLOCK_S != day.times[first] // _BLOCK_S:
            yield range(first, place)
            first = place
    yield range(first, len(day.times))


def exposition(day: Day, series: Iterable[Series], scrapes: range) -> Iterator[str]:
    """What was scraped of each series at these scrapes, in OpenMetrics's format."""
    times = [day.times[place] for place in scrapes]
    for one in series:
        name, values = one.text, day.values(one, scrapes)
        yield "".join(f"{name} {value} {at}\n" for value, at in zip(values, times, strict=True))
    yield "# EOF\n"


def import_rules(promtool: Path, rules: Iterable[Recorded], day: Day, data: Path, url: str) -> None:
    """Make blocks of what recording rules would have written, asking the Prometheus at `url`."""
    text = data.parent / "rules.json"  # which is YAML
    written = [{"record": rule.metric.name, "expr": rule.expression} for rule in rules]
    with writing(text):
        text.write_text(json.dumps({"groups": [{"name": "day", "rules": written}]}), encoding="utf-8")
    start, end = day.times[0], day.times[-1]
    blocks_of_rules(promtool, text, data, url=url, start=start, end=end, every_s=day.times.step)


def levels() -> list[list[Recorded]]:
    """The recording rules, those before that others read."""
    rules = [rule for group in GROUPS.values() for rule in group]
    level: dict[str, int] = {}
    for rule in rules:
        read = [level[name] for name in re.findall(r"[\w:]+", rule.expression) if name in level]
        level[rule.metric.name] = 1 + max(read, default=0)
    return [[rule for rule in rules if level[rule.metric.name] == at] for at in sorted(set(level.values()))]
