"""Rows about the domain's recorders."""

from contextlib import ExitStack

from gwz_bench.child import child
from gwz_bench.figures import Figure, Reach, added
from gwz_bench.options import Options
from gwz_bench.programs.recorders import CACHE, COUNTER, DATABASE, HISTOGRAM, NOTHING, OTEL, OURS, STORE
from gwz_bench.report import Row, compared, timed

TO_OTEL = Reach(0.35, "OTel's SDK")
TO_OBSERVE = Reach(2, "one labelled observe")
TO_STORE = Reach(0.4, "one labelled observe")
TO_INC = Reach(2, "one labelled inc")


def inference(options: Options) -> list[Row]:
    """One call to a model with usage and price, its span unsampled."""
    quantity = "one inference block with usage, its span unsampled"
    return _beside(options, quantity, OURS, OTEL, TO_OTEL, blocks=500, note="≤ 40 µs is wanted too")


def database(options: Options) -> list[Row]:
    """One query, its span unsampled: a count and a duration."""
    return _beside(options, "one database block, its span unsampled", DATABASE, HISTOGRAM, TO_OBSERVE, blocks=2000)


def cache(options: Options) -> list[Row]:
    """One look-up in a cache, and its block."""
    return _beside(options, "one cache block with a hit", CACHE, COUNTER, TO_INC, blocks=2000)


def local_store(options: Options) -> list[Row]:
    """What the local store of the JSON endpoints adds to a call."""
    return _beside(options, "the local store, for each call", STORE, HISTOGRAM, TO_STORE, blocks=2000)


def _beside(  # in the order of the table
    options: Options, quantity: str, ours: str, peer: str, reach: Reach, *, blocks: int, note: str = ""
) -> list[Row]:
    """The rows of a recorder's block and of its peer's, in rounds that interleave, each without an empty block's time."""
    took: dict[str, list[float]] = {name: [] for name in (NOTHING, ours, peer)}
    with ExitStack() as stack:
        measurers = {name: stack.enter_context(child("recorders", name)) for name in took}
        for _ in range(options.rounds):
            for name, measurer in measurers.items():
                found = measurer.ask("round", blocks=options.sized(blocks, 200), slices=options.sized(15, 5))
                took[name].append(added(found["plain"], found["variant"]) / 1000)
    figures = {name: Figure.of(samples) for name, samples in took.items()}
    return [
        timed(quantity, NOTHING, figures[NOTHING], note="the error of the method"),
        compared(quantity, ours, figures[ours], figures[peer], reach, note=note),
        timed(quantity, peer, figures[peer]),
    ]
