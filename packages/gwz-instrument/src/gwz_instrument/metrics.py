"""The contract's metrics as one collector in prometheus_client's registry, and the /metrics answer."""

import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from . import semconv
from .semconv import Metric, health, http

Child = Counter | Gauge | Histogram
LiveRequests = Callable[[], Mapping[tuple[str, str], int]]
"""Requests under way by (method, path); a pair that has been seen stays, at zero."""

_KINDS: dict[str, type[Child]] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}


class NameTakenError(ValueError):
    """The registry already holds a collector with a name of the contract."""


class Collectors(Collector):
    """Every metric of the contract, registered as one collector.

    One collector can be taken out and put back as a whole, and leaves out the `_created` series
    that prometheus_client would add for each counter and histogram.
    """

    def __init__(self, app_name: str) -> None:
        self._app_name = app_name
        self._metrics = {entry: _make(entry) for entry in semconv.METRICS if entry is not http.IN_PROGRESS}
        self._live: LiveRequests = dict
        self.child(http.APP_INFO).set(1)  # type: ignore[union-attr]
        for reason in health.REASON.values:
            self.child(health.DROPPED, "logs", reason)

    def child(self, entry: Metric, *values: str) -> Child:
        """The child of `entry` for the label values after `app_name`; made at zero when it is new."""
        return self._metrics[entry].labels(self._app_name, *values)

    def count(self, entry: Metric, *values: str, amount: float = 1) -> None:
        """Add `amount` to the counter `entry`."""
        child = self.child(entry, *values)
        if not isinstance(child, Counter):
            raise TypeError(f"{entry.name} is a {entry.kind}, not a counter: it cannot be counted up")
        child.inc(amount)

    def watch_requests(self, live: LiveRequests) -> None:
        """Take the requests in progress from `live` at each scrape: a gauge that is read cannot leak."""
        self._live = live

    def register(self, registry: CollectorRegistry) -> None:
        """Join `registry`; NameTakenError when the application has registered one of our names itself."""
        try:
            registry.register(self)
        except ValueError as error:
            raise NameTakenError(
                f"a metric of the contract is already registered: {error}. The application, or a second "
                "call of instrument() for another app in this process, made it. Remove that collector, or "
                "give instrument() a registry of its own: instrument(app, registry=CollectorRegistry())"
            ) from error

    def collect(self) -> Iterator[Family]:
        """Yield every metric of the contract, without `_created` samples."""
        for metric in self._metrics.values():
            for family in metric.collect():
                family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
                yield family
        yield self._in_progress()

    def describe(self) -> Iterable[Family]:
        """Name what `collect` yields, so that the registry can refuse duplicates."""
        return [Family(entry.family, entry.brief, entry.kind) for entry in semconv.METRICS]

    def _in_progress(self) -> Family:
        entry = http.IN_PROGRESS
        family = GaugeMetricFamily(entry.name, entry.brief, labels=entry.label_names)
        for (method, path), number in self._live().items():
            family.add_metric((self._app_name, method, path), number)
        return family


def render(registry: CollectorRegistry, accept: str, accept_encoding: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body and headers of a /metrics answer: OpenMetrics or text, gzip if asked for."""
    encode, content_type = choose_encoder(accept)
    body = encode(registry)
    headers = [(b"content-type", content_type.encode()), (b"vary", b"accept, accept-encoding")]
    if "gzip" in accept_encoding:
        body = gzip.compress(body, compresslevel=1)
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-length", str(len(body)).encode()))
    return body, headers


def _make(entry: Metric) -> Child:
    options = {"buckets": entry.buckets} if entry.kind == "histogram" else {}
    return _KINDS[entry.kind](entry.name, entry.brief, entry.label_names, registry=None, **options)  # type: ignore[arg-type]
