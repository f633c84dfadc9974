"""Rows about requests: what a variant adds to the plain application."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal

from gwz_bench.figures import FAR, Figure, Reach, same_within_noise
from gwz_bench.options import Options
from gwz_bench.report import Row, compared, timed
from gwz_bench.turns import Turn, Work, plain_row, take_turns, variants
from gwz_bench.variants import (
    OTEL,
    OTEL_PFI,
    OURS,
    OURS_ALL,
    OURS_TOLD,
    OURS_TRACED,
    OURS_UNSAMPLED,
    PFI,
    PLAIN,
    SDK_SPAN,
    STARLETTE_EXPORTER,
)

TO_PFI = Reach(0.25, "PFI")
TO_SUM_SAMPLED = Reach(0.45, "(OTel + PFI)")
TO_SUM_UNSAMPLED = Reach(0.20, "(OTel + PFI)")
STREAM_TO_OTEL = Reach(0.06, "OTel")
STREAM_TO_PFI = Reach(1.5, "PFI")


Clock = Literal["answered", "loop", "settled"]
CLOCKS: Mapping[Clock, str] = {
    "answered": "until the answer",
    "loop": "CPU of the thread that answers",
    "settled": "until everything is delivered",
}
Wanted = tuple[str, str, Reach]
"""A variant, the peer that it is held against, and the reach of their ratio."""

JSON = "JSON route, all HTTP metrics"
SHAPES = {
    "json": "behind none",
    "routers": "behind 200 included routers",
    "middlewares": "behind five BaseHTTPMiddlewares, 326 routes",
}


def json_metrics(options: Options) -> list[Row]:
    """A JSON route with all HTTP metrics."""
    return _metrics(JSON, options, [(OURS, PFI, TO_PFI)])


def json_multiprocess(options: Options) -> list[Row]:
    """The same with prometheus_client's multi-process mode, which has no reach."""
    return _metrics(f"{JSON}, multi-process mode", options, [], multiprocess=True)


def _metrics(quantity: str, options: Options, wanted: list[Wanted], *, multiprocess: bool = False) -> list[Row]:
    work = Work(requests=options.sized(300, 100), slices=options.sized(15, 7))
    works = dict.fromkeys((PLAIN, OURS, PFI, STARLETTE_EXPORTER), work)
    with variants("json", works, multiprocess=multiprocess) as turns:
        take_turns(turns, options.rounds)
        control = turns.pop(PLAIN)
        return [
            plain_row(quantity, turns),
            _control_row(quantity, control),
            *_rows(quantity, _figures(turns, "answered"), wanted, _facts(turns), over=PFI),
        ]


def json_all(options: Options) -> list[Row]:
    """A JSON route with metrics, an exported span and a line, judged when all of it has been delivered."""
    work = Work(requests=options.sized(2000, 500), slices=options.sized(4, 2))
    wanted = [(OURS_ALL, OTEL_PFI, TO_SUM_SAMPLED), (OURS_UNSAMPLED, OTEL_PFI, TO_SUM_UNSAMPLED)]
    mine = {OURS_ALL: work, OURS_UNSAMPLED: work}
    with variants("json", mine) as ours, variants("json-logging", {OTEL_PFI: work}) as peers:
        turns = {**ours, **peers}
        take_turns(turns, options.rounds)
        return _by_each_clock("JSON route, metrics + exported span + one log line", turns, wanted, judged="settled")


def stream(options: Options) -> list[Row]:
    """A stream of 50 chunks with metrics and a span, chunk timing included; the exporters run meanwhile.

    Judged by what the thread that answers spends: one of the peers has no span that could be delivered, and how much
    of the deliveries falls into a slice would depend on the length of the slice.
    """
    work = Work(requests=options.sized(1000, 200), slices=options.sized(3, 2))
    dear = Work(requests=options.sized(300, 100), slices=options.sized(3, 2))
    wanted = [(OURS_TRACED, OTEL, STREAM_TO_OTEL), (OURS_TRACED, PFI, STREAM_TO_PFI)]
    with variants("stream", {OURS_TRACED: work, SDK_SPAN: work, PFI: work, OTEL: dear}) as turns:
        take_turns(turns, options.rounds)
        return _by_each_clock("stream of 50 chunks, metrics + exported span", turns, wanted, judged="loop")


def routers(options: Options) -> list[Row]:
    """What is added behind many routes and middlewares, beside what is added behind none.

    Each round in processes of its own: where everything lies in the memory is a matter of luck, once for each process.
    """
    slices = options.sized(15, 7)
    works = {
        "json": Work(options.sized(300, 100), slices),
        "routers": Work(options.sized(60, 30), slices),
        "middlewares": Work(options.sized(40, 20), slices),
    }
    turns: dict[str, dict[str, Turn]] = {scenario: {} for scenario in works}
    for _ in range(options.rounds):
        with ExitStack() as stack:
            lot = {
                (scenario, name): turn
                for scenario, work in works.items()
                for name, turn in stack.enter_context(
                    variants(scenario, dict.fromkeys((PLAIN, OURS, OURS_TOLD, PFI), work))
                ).items()
            }
            take_turns(lot, 1)
        for (scenario, name), turn in lot.items():
            if name in turns[scenario]:
                turns[scenario][name].join(turn)
            else:
                turns[scenario][name] = turn
    none = _figures(turns["json"], "answered")
    return [row for scenario, shape in SHAPES.items() for row in _behind(f"{JSON}, {shape}", turns[scenario], none)]


def _behind(quantity: str, turns: dict[str, Turn], at_none: Mapping[str, Figure]) -> list[Row]:
    """Ours behind something, judged by what it adds behind none; a control says how sure that is.

    Ours that is told its route looks at none: by how much it is dearer tells what the caches have to do with it.
    """
    control = turns.pop(PLAIN)
    facts, figures = _facts(turns), _figures(turns, "answered")
    ours, none = figures[OURS], at_none[OURS]
    if ours != none:
        colder = figures[OURS_TOLD].median / at_none[OURS_TOLD].median
        facts[OURS_TOLD]["note"] += f"; {colder:.2f} × behind none, and looks at no routes"
        same = same_within_noise(ours, none, Figure.of(control.answered), colder)
        facts[OURS] |= {
            "ratio": ours.median / none.median,
            "reach": "as behind none, within noise and cold caches",
            "holds": same,
            "far": same is False and ours.median > FAR * none.median,
        }
    facts[OURS]["note"] += f"; quartiles {ours.low:.1f} to {ours.high:.1f} µs"
    return [plain_row(quantity, turns), _control_row(quantity, control), *_rows(quantity, figures, [], facts)]


def _by_each_clock(quantity: str, turns: dict[str, Turn], wanted: list[Wanted], *, judged: Clock) -> list[Row]:
    """The same table by each clock, first the one that is held against the reaches."""
    facts = _facts(turns)
    told: list[tuple[str, str, Reach | None]] = [(variant, peer, None) for variant, peer, _ in wanted]
    rows = [
        plain_row(f"{quantity}, {CLOCKS[judged]}", turns),
        *_rows(f"{quantity}, {CLOCKS[judged]}", _figures(turns, judged), wanted, facts),
    ]
    for clock in (clock for clock in CLOCKS if clock != judged):
        rows += _rows(f"{quantity}, {CLOCKS[clock]}", _figures(turns, clock), told, {})
    return rows


def _rows(
    quantity: str,
    figures: Mapping[str, Figure],
    wanted: Sequence[tuple[str, str, Reach | None]],
    facts: Mapping[str, Mapping[str, Any]],
    over: str | None = None,
) -> list[Row]:
    """A row per variant and reach; a variant without a reach is compared with `over`, if that is given."""
    rows = []
    for name, figure in figures.items():
        more = facts.get(name, {})
        held = [(peer, reach) for variant, peer, reach in wanted if variant == name]
        if over and not held:
            held = [(over, None)]
        if not held:
            rows.append(timed(quantity, name, figure, **more))
        for peer, reach in held:
            beside = more or {"note": f"beside {peer}"}
            rows.append(compared(quantity, name, figure, figures[peer], reach, **beside))
    return rows


def _figures(turns: Mapping[str, Turn], clock: Clock) -> dict[str, Figure]:
    return {name: Figure.of(getattr(turn, clock)) for name, turn in turns.items()}


def _facts(turns: Mapping[str, Turn]) -> dict[str, dict[str, Any]]:
    """CPU time of each variant, and whether all that it caused was counted."""
    return {name: _fact(turn) for name, turn in turns.items()}


def _fact(turn: Turn) -> dict[str, Any]:
    found = turn.seen
    return {"cpu_us": Figure.of(turn.cpu).median, "exact": found.exact, "note": found.sentence}


def _control_row(quantity: str, control: Turn) -> Row:
    return timed(quantity, PLAIN, Figure.of(control.answered), note="the error of the method")
