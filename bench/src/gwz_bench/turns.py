"""Rounds that interleave: every variant has its turn, one at a time, in each round."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from gwz_bench.child import Child, child
from gwz_bench.figures import Figure, added
from gwz_bench.report import Row

_QUEUE = {"OTEL_BSP_MAX_QUEUE_SIZE": "65536"}
"""No variant may drop a span: what is dropped is not paid for."""


@dataclass(frozen=True, slots=True)
class Work:
    """How much a variant does in a round."""

    requests: int
    slices: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What was caused by a variant, and what of it was seen."""

    exact: bool
    sentence: str


@dataclass
class Turn:
    """A variant, its process, and what its rounds have cost so far, in microseconds per request."""

    process: Child
    sink: Child
    work: Work
    plain: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    loop: list[float] = field(default_factory=list)
    settled: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    checked: list[Checked] = field(default_factory=list)
    """What was seen of each process so far."""

    def round(self) -> None:
        """Run one round."""
        found = self.process.ask("round", requests=self.work.requests, slices=self.work.slices, timeout_s=600)
        plain, variant = found["plain"], found["variant"]
        self.plain.append(Figure.of(_of(plain, "answered")).median)
        self.answered.append(added(_of(plain, "answered"), _of(variant, "answered")))
        self.loop.append(added(_of(plain, "loop"), _of(variant, "loop")))
        self.settled.append(added(_of(plain, "settled"), _of(variant, "settled")))
        self.cpu.append(added(_of(plain, "cpu"), _of(variant, "cpu")))

    def check(self) -> None:
        """Hold what was driven against the next scrape, and against what has arrived at the sink."""
        found = self.process.ask("check")
        arrived = self.sink.ask("counts")
        seen = [seen_of("in the next scrape", found["counted"], found["driven"], each=1)]
        seen += [seen_of(what, arrived[what], found["driven"], each=found[what]) for what in ("spans", "lines")]
        sentence = "; ".join(part.sentence for part in seen if part.sentence)
        self.checked.append(Checked(all(part.exact for part in seen), sentence))

    def join(self, other: "Turn") -> None:
        """Add the rounds of the same variant in another process."""
        for name in ("plain", "answered", "loop", "settled", "cpu", "checked"):
            getattr(self, name).extend(getattr(other, name))

    @property
    def seen(self) -> Checked:
        """What was seen of all processes."""
        number, sentences = len(self.checked), dict.fromkeys(each.sentence for each in self.checked)
        times = f", in each of {number} processes" if number > 1 else ""
        return Checked(all(each.exact for each in self.checked), " / ".join(sentences) + times)


def seen_of(what: str, count: int | None, driven: int, *, each: int | None) -> Checked:
    """Hold a count against the requests; `each` None asks only that every request has the same share."""
    if count is None or each == 0:
        return Checked(exact=True, sentence="")
    if each is None:
        return Checked(count > 0 and count % driven == 0, f"{count:,.0f} {what}, {count / driven:g} a request")
    return Checked(count == driven * each, f"{count:,.0f} of {driven * each:,} {what}")


@contextmanager
def variants(scenario: str, works: Mapping[str, Work], *, multiprocess: bool = False) -> Iterator[dict[str, Turn]]:
    """A process with the scenario's application for each variant, and a sink for each of these."""
    with ExitStack() as stack:
        turns = {}
        for variant, work in works.items():
            sink = stack.enter_context(child("sink"))
            port = sink.ask("open")["port"]
            env = dict(_QUEUE)
            if multiprocess:
                env["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(tempfile.TemporaryDirectory())
            process = stack.enter_context(child("http", scenario, variant, f"http://127.0.0.1:{port}", env=env))
            turns[variant] = Turn(process, sink, work)
        yield turns
        for turn in turns.values():
            turn.process.ask("stop")


def take_turns(turns: Mapping[Any, Turn], rounds: int) -> None:
    """Let each variant run its round, round after round, and see at the end whether everything was counted."""
    for turn in turns.values():
        turn.process.ask("round", requests=turn.work.requests, slices=1, timeout_s=600)  # whoever comes first is cold
    for _ in range(rounds):
        for turn in turns.values():
            turn.round()
    for turn in turns.values():
        turn.check()


def plain_row(quantity: str, turns: Mapping[str, Turn]) -> Row:
    """The plain application's own time, over all rounds of all processes."""
    figure = Figure.of(sample for turn in turns.values() for sample in turn.plain)
    return Row(quantity=quantity, variant="plain app, in full", median_us=figure.median, iqr=figure.iqr)


def _of(costs: Sequence[Mapping[str, Any]], what: str) -> list[float]:
    return [cost[what] / 1000 for cost in costs]
