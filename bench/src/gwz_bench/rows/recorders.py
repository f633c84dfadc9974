"""Rows about the domain's recorders."""

from contextlib import ExitStack

from gwz_bench.child import child
from gwz_bench.figures import Figure, Reach, added
from gwz_bench.options import Options
from gwz_bench.programs.recorders import NOTHING, OTEL, OURS
from gwz_bench.report import Row, compared, timed

TO_OTEL = Reach(0.35, "OTel's SDK")


def inference(options: Options) -> list[Row]:
    """One call to a model with usage and price, its span unsampled."""
    quantity = "one inference block with usage, its span unsampled"
    took: dict[str, list[float]] = {name: [] for name in (NOTHING, OURS, OTEL)}
    with ExitStack() as stack:
        measurers = {name: stack.enter_context(child("recorders", name)) for name in took}
        for _ in range(options.rounds):
            for name, measurer in measurers.items():
                found = measurer.ask("round", blocks=options.sized(500, 200), slices=options.sized(15, 5))
                took[name].append(added(found["plain"], found["variant"]) / 1000)
    figures = {name: Figure.of(samples) for name, samples in took.items()}
    return [
        timed(quantity, NOTHING, figures[NOTHING], note="the error of the method"),
        compared(quantity, OURS, figures[OURS], figures[OTEL], TO_OTEL, note="≤ 40 µs is wanted too"),
        timed(quantity, OTEL, figures[OTEL]),
    ]
