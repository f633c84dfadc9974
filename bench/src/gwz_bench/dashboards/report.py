"""The rows of the dashboards' report, and the section of docs/benchmark.md that is written from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gwz_bench.dashboards.day import Size
from gwz_bench.dashboards.ground import Ground
from gwz_bench.dashboards.load import Loaded
from gwz_bench.dashboards.touched import Logged, selectors
from gwz_bench.figures import Figure
from gwz_bench.report import Row

MOST_S = 1.0
MOST_SERIES = 5000
OWN_RANGE, ONE_DAY = "over its own time range", "over the last 24 hours"
TOUCHED = "series that the heaviest query of a dashboard touches in 24 hours"
CHEAP = "a cheap query"


def day_words(place: Ground, size: Size, series: int, samples: int) -> dict[str, str]:
    """What was asked of what, for the report."""
    return {
        "asked": place.way.name,
        "metrics": f"{len(size.providers)} providers × {len(size.models)} models, {series:,} series with {samples:,} samples, "
        f"one each {size.interval_s} s",
        "log lines": f"{place.lines:,}",
        "left out": "Tempo, which keeps no spans of yesterday that are sent today",
    }


@dataclass
class Watched:
    """One dashboard over one range, round after round."""

    title: str
    rounds: list[Loaded] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    """Processor time of Prometheus in each round: other work on the machine does not lengthen it."""
    asked: list[Logged] = field(default_factory=list)
    """What Prometheus was asked in the last round, by the JSON endpoints as well."""


def loading_row(quantity: str, watched: Watched, cheap_s: float) -> Row:
    """How long all queries of a dashboard took, wrong if one was refused."""
    figure = Figure.of(one.seconds for one in watched.rounds)
    refused = sorted({text for one in watched.rounds for text in one.judged()[0]})
    return Row(
        quantity=f"all queries of a dashboard, {quantity}",
        variant=watched.title,
        value=figure.median,
        unit="s",
        iqr=figure.iqr,
        cpu_us=Figure.of(watched.cpu_s).median * 1e6,
        ratio=figure.median / cheap_s,
        reach=f"≤ {MOST_S:g} s",
        holds=figure.median <= MOST_S,
        exact=not refused,
        note="; ".join(refused) or _note(watched),
    )


def touched_row(watched: Watched, touched: Sequence[tuple[Logged, int]]) -> Row:
    """The query that touches most series; too many are no noise."""
    query, number = max(touched, key=lambda one: one[1])
    return Row(
        quantity=TOUCHED,
        variant=watched.title,
        value=number,
        reach=f"≤ {MOST_SERIES:,}",
        holds=number <= MOST_SERIES,
        far=number > MOST_SERIES,
        note=", ".join(sorted({one.partition("{")[0] for one in selectors(query.expression)})),
    )


def cheap_row(seconds: Sequence[float], query: str) -> Row:
    """What the others are held against."""
    figure = Figure.of(seconds)
    return Row(
        quantity=CHEAP, variant="one question", value=figure.median * 1e3, unit="ms", iqr=figure.iqr * 1e3, note=query
    )


def _note(watched: Watched) -> str:
    last = watched.rounds[-1]
    slowest, empty = last.slowest, last.judged()[1]
    parts = [
        f"{len(last.answers)} requests, the slowest, {slowest.question.what}, took {slowest.seconds:.2f} s",
        f"{len(watched.asked)} queries of Prometheus read {sum(one.samples for one in watched.asked):,} samples",
    ]
    return "; ".join([*parts, *([f"nothing for {', '.join(empty)}"] if empty else [])])
