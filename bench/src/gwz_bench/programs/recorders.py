"""Measures a recorder's block beside an empty one: `python -m gwz_bench.programs.recorders VARIANT`."""

import contextlib
import gc
import sys
import time
from collections.abc import Callable

from gwz_bench.child import Answer, Order, serve

OURS = "gwz-instrument inference"
DATABASE = "gwz-instrument database"
CACHE = "gwz-instrument cache"
STORE = "gwz-instrument, what the local store hears of a call"
OTEL = "OpenTelemetry SDK, the same by hand"
HISTOGRAM = "prometheus_client, one labelled observe"
COUNTER = "prometheus_client, one labelled inc"
NOTHING = "an empty block against itself"

_WARM = 200
_LABELS = {"provider": "groq", "model": "llama-3.3-70b"}
Block = Callable[[], None]


def ours() -> Block:
    """One call with usage and price, in an application whose sampler keeps no trace."""
    from gwz_instrument import inference  # noqa: PLC0415

    def block() -> None:
        with inference(provider="groq", model="llama-3.3-70b") as call:
            call.usage(input_tokens=12, output_tokens=30, cost_usd=0.0007)

    return _in_an_application(block)


def database() -> Block:
    """One query, in an application whose sampler keeps no trace."""
    from gwz_instrument import database  # noqa: PLC0415

    def block() -> None:
        with database(table="users", operation="select"):
            pass

    return _in_an_application(block)


def cache() -> Block:
    """One look-up that found what it asked for."""
    from gwz_instrument import cache  # noqa: PLC0415

    def block() -> None:
        with cache("users") as users:
            users.hit()

    return _in_an_application(block)


def store() -> Block:
    """What the JSON endpoints' local store does while a call is recorded: it hears of it; its counters are there anyway."""
    from gwz_instrument.call_records import AttemptEnded, UsageKnown  # noqa: PLC0415
    from gwz_instrument.metrics import Collectors  # noqa: PLC0415
    from gwz_instrument.monitoring.local import LocalStore  # noqa: PLC0415

    hears = LocalStore(Collectors())
    model = _LABELS["model"]
    facts = AttemptEnded("groq", model, "success", 0.1), UsageKnown("groq", model, {"input_tokens": 12.0})

    def block() -> None:
        with contextlib.nullcontext():  # as the empty block has
            for fact in facts:
                hears(fact)

    return block


def _in_an_application(block: Block) -> Block:
    """`block`, with an application to record it for."""
    from fastapi import FastAPI  # noqa: PLC0415

    from gwz_instrument import instrument  # noqa: PLC0415

    app = FastAPI()
    instrument(
        app,
        environment="test",
        otlp_endpoint="http://127.0.0.1:9",
        traces_sampler="always_off",
        models=(_LABELS["model"],),
        providers=(_LABELS["provider"],),
    )
    block.keep = app  # type: ignore[attr-defined]  # what is dropped is not measured
    return block


def otel() -> Block:
    """The span, the histograms and the counters that ours writes, by OpenTelemetry's SDK."""
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF  # noqa: PLC0415
    from opentelemetry.trace import SpanKind  # noqa: PLC0415

    tracer = TracerProvider(sampler=ALWAYS_OFF).get_tracer("bench")
    meter = MeterProvider([InMemoryMetricReader()]).get_meter("bench")
    duration, first_byte, response = map(meter.create_histogram, ("duration", "first_byte", "response"))
    requests, tokens, credits_used, cost = map(meter.create_counter, ("requests", "tokens", "credits", "cost"))

    def block() -> None:
        begin = time.perf_counter()
        with tracer.start_as_current_span("chat llama-3.3-70b", kind=SpanKind.CLIENT):
            pass
        seconds = time.perf_counter() - begin
        requests.add(1, {**_LABELS, "status": "success"})
        duration.record(seconds, _LABELS)
        first_byte.record(seconds, {**_LABELS, "endpoint": "_none"})
        response.record(seconds, {"provider": "groq"})
        tokens.add(12, {**_LABELS, "token_type": "input"})
        tokens.add(30, {**_LABELS, "token_type": "output"})
        credits_used.add(0.0007, _LABELS)
        cost.add(0.0007, {"provider": "groq"})

    return block


def histogram() -> Block:
    """What a query costs at least: a duration under the name of its table."""
    from prometheus_client import Histogram  # noqa: PLC0415

    duration = Histogram("duration_seconds", "Duration.", ["table"], registry=None)

    def block() -> None:
        duration.labels(table="users").observe(0.001)

    return block


def counter() -> Block:
    """What a look-up costs at least: one more under the name of its cache."""
    from prometheus_client import Counter  # noqa: PLC0415

    hits = Counter("hits", "Hits.", ["cache_name"], registry=None)

    def block() -> None:
        hits.labels(cache_name="users").inc()

    return block


def nothing() -> Block:
    """The control."""

    def block() -> None:
        with contextlib.nullcontext():
            pass

    return block


BLOCKS: dict[str, Callable[[], Block]] = {
    OURS: ours,
    DATABASE: database,
    CACHE: cache,
    STORE: store,
    OTEL: otel,
    HISTOGRAM: histogram,
    COUNTER: counter,
    NOTHING: nothing,
}


class Measurer:
    """Runs blocks by the slice."""

    def __init__(self, variant: str) -> None:
        self._block = BLOCKS[variant]()
        self._plain = nothing()

    def obey(self, order: Order) -> Answer:
        """Carry out one order: nanoseconds per block, plain, variant, plain, variant … plain."""
        if order["do"] != "round":
            raise ValueError(f"a measurer knows no order {order['do']!r}")
        _slice(self._block, _WARM)
        gc.collect()
        plain, variant = [_slice(self._plain, order["blocks"])], []
        for _ in range(order["slices"]):
            variant.append(_slice(self._block, order["blocks"]))
            plain.append(_slice(self._plain, order["blocks"]))
        return {"plain": plain, "variant": variant}


def _slice(block: Block, number: int) -> float:
    begin = time.perf_counter_ns()
    for _ in range(number):
        block()
    return (time.perf_counter_ns() - begin) / number


if __name__ == "__main__":
    serve(Measurer(*sys.argv[1:]).obey)
