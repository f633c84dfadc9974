"""Rows about log lines: what a call costs its caller, and how many lines arrive in a second."""

from contextlib import ExitStack

from gwz_bench.child import Child, child
from gwz_bench.figures import Figure, Reach, added
from gwz_bench.options import Options
from gwz_bench.programs.logs import NULL, OURS, QUEUE, STOCK
from gwz_bench.report import Row, compared, timed
from gwz_bench.turns import Work

TO_STOCK = Reach(0.006, "stock")
TO_QUEUE = Reach(0.6, "QueueHandler")
THROUGHPUT = Reach(40, "stock", "≥")


def call(options: Options) -> list[Row]:
    """The time of one logging call on the caller's thread, above a NullHandler's."""
    quantity = "log call on the caller's thread, above a NullHandler"
    work = Work(requests=options.sized(2000, 500), slices=options.sized(15, 5))
    works = {NULL: work, OURS: work, QUEUE: work, STOCK: Work(requests=options.sized(100, 30), slices=5)}
    plain: list[float] = []
    took: dict[str, list[float]] = {name: [] for name in works}
    cpu: dict[str, list[float]] = {name: [] for name in works}
    with ExitStack() as stack:
        callers = {name: _caller(stack, name) for name in works}
        for _ in range(options.rounds):
            for name, (_, caller) in callers.items():
                found = caller.ask("round", calls=works[name].requests, slices=works[name].slices)
                plain += [nanoseconds / 1000 for nanoseconds in found["plain"]]
                took[name].append(added(found["plain"], found["variant"]) / 1000)
                cpu[name].append((Figure.of(found["cpu"]).median - Figure.of(found["plain"]).median) / 1000)
        arrived = {name: _arrived(*callers[name]) for name in (OURS, STOCK)}
    ours, queue, stock = (Figure.of(took[name]) for name in (OURS, QUEUE, STOCK))
    cpus = {name: Figure.of(samples).median for name, samples in cpu.items()}
    return [
        timed(quantity, "NullHandler, in full", Figure.of(plain)),
        timed(quantity, NULL, Figure.of(took[NULL]), note="the error of the method"),
        compared(quantity, OURS, ours, stock, TO_STOCK, cpu_us=cpus[OURS], **arrived[OURS]),
        compared(quantity, OURS, ours, queue, TO_QUEUE, cpu_us=cpus[OURS], **arrived[OURS]),
        timed(quantity, QUEUE, queue, cpu_us=cpus[QUEUE], note="with a listener that does nothing"),
        timed(quantity, STOCK, stock, cpu_us=cpus[STOCK], **arrived[STOCK]),
    ]


def throughput(options: Options) -> list[Row]:
    """Lines per second, from the first call to the last delivery."""
    quantity = "lines per second delivered"
    lines = {OURS: options.sized(100_000, 20_000), STOCK: options.sized(1000, 200)}
    took: dict[str, list[float]] = {name: [] for name in lines}
    with ExitStack() as stack:
        callers = {name: _caller(stack, name) for name in lines}
        for _ in range(options.rounds):
            for name, (_, caller) in callers.items():
                seconds = caller.ask("write", lines=lines[name], timeout_s=300)["seconds"]
                took[name].append(seconds / lines[name] * 1e6)
        arrived = {name: _arrived(*callers[name]) for name in lines}
    ours, stock = (Figure.of(took[name]) for name in (OURS, STOCK))
    ratio = stock.median / ours.median
    judged = {"ratio": ratio, "reach": str(THROUGHPUT), "holds": THROUGHPUT.holds(ratio), "far": THROUGHPUT.far(ratio)}
    return [
        timed(quantity, OURS, ours, value=1e6 / ours.median, unit="lines/s", **judged, **arrived[OURS]),
        timed(quantity, STOCK, stock, value=1e6 / stock.median, unit="lines/s", **arrived[STOCK]),
    ]


def _caller(stack: ExitStack, handler: str) -> tuple[Child, Child]:
    """A sink, and a process that logs to it."""
    sink = stack.enter_context(child("sink"))
    port = sink.ask("open")["port"]
    return sink, stack.enter_context(child("logs", handler, f"http://127.0.0.1:{port}"))


def _arrived(sink: Child, caller: Child) -> dict[str, bool | str]:
    written = caller.ask("settle")["written"]
    found = sink.ask("counts")
    return {
        "exact": found["lines"] == found["distinct"] == written,
        "note": f"{found['distinct']:,} of {written:,} lines arrived, {found['doubled']} twice",
    }
