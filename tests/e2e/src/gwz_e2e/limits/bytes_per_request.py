"""What one request of the example costs in bytes: of metrics, of log lines and of spans."""

import gzip
from dataclasses import dataclass, replace
from typing import Self

from gwz_e2e.case import Case
from gwz_e2e.hops import Finding
from gwz_e2e.limits.alone import client, metric, seconds
from gwz_e2e.limits.ground import Ground
from gwz_e2e.scene import Scene, run_loads, wait_scraped
from gwz_e2e.stage import Providers
from gwz_stack import Urls
from gwz_stack.render import get, shipped

ID = "bytes_per_request"
_SERVICE = "gateway"
_REQUESTS = 500
_SPEED = 6.0
_SEED = 1
# What Prometheus 3 asks with, shortened to what decides.
_ACCEPT = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3"


@dataclass(frozen=True)
class Received:
    """What Loki and Tempo have received so far."""

    lines: float
    line_bytes: float
    push_bytes: float
    spans: float
    span_bytes: float

    @classmethod
    def of(cls, urls: Urls) -> Self:
        """Ask both for their own counters."""
        return cls(
            lines=metric(urls.loki, "loki_distributor_lines_received_total"),
            line_bytes=metric(urls.loki, "loki_distributor_bytes_received_total"),
            push_bytes=metric(urls.loki, "loki_request_message_bytes_sum", route="loki_api_v1_push"),
            spans=metric(urls.tempo, "tempo_distributor_spans_received_total"),
            span_bytes=metric(urls.tempo, "tempo_distributor_bytes_received_total"),
        )

    def since(self, before: Self) -> dict[str, float]:
        """What has come since then."""
        return {name: value - getattr(before, name) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Scrape:
    """One answer of /metrics: samples, and bytes as they are sent and as they are read."""

    samples: int
    wire_bytes: int
    page_bytes: int

    @classmethod
    def of(cls, case: Case) -> Self:
        """Ask the application as Prometheus does."""
        headers = {
            "Accept": _ACCEPT,
            "Accept-Encoding": "gzip",
            "Authorization": f"Bearer {case.metrics_token}",
        }
        with client(case.app_url) as ask, ask.stream("GET", "/metrics", headers=headers) as answer:
            wire = b"".join(answer.raise_for_status().iter_raw())
            page = gzip.decompress(wire) if answer.headers.get("Content-Encoding") == "gzip" else wire
        return cls(sum(not line.startswith(b"#") for line in page.splitlines()), len(wire), len(page))


def prove(ground: Ground) -> Finding:
    """Put the example under its load and read from the servers' counters what they received of it."""
    stage, place = ground.stage, ground.stage.place
    ports = stage.ports("app", "providers")
    # Without the spans of the providers themselves: those are not the application's.
    quiet = replace(place.urls, otlp_http="")
    providers = Providers(stage.supervisor, quiet, ports["providers"], place.out, name="providers-quiet")
    scene = Scene(place, _SERVICE, ports["app"], name=ID, providers_url=providers.url)
    stage.stack.set_targets([scene.target])
    stage.supervisor.wait_ready({**providers.launch(), **scene.launch()})
    wait_scraped([scene], place.engines, ground.patience.watch)
    before = Received.of(place.urls)
    load = scene.load_command(seed=_SEED, requests=_REQUESTS, speed=_SPEED)
    run_loads([(scene, load)], watch=ground.patience.watch, tell=ground.tell)
    scrape = Scrape.of(scene.case)
    scene.stop()  # it sends what it still holds
    providers.stop()
    return finding(scrape, Received.of(place.urls).since(before), scene.case.summary)


def finding(scrape: Scrape, came: dict[str, float], summary: dict[str, float]) -> Finding:
    """The bytes of each signal per request; it holds if each request has brought a line and a span at least."""
    requests = summary["requests"]
    rate = requests / (summary["ended_at"] - summary["started_at"])
    interval_s = seconds(get("prometheus", shipped("prometheus"), "global.scrape_interval"))
    figures = {
        "requests": requests,
        "requests_per_s": round(rate, 1),
        "scrape_samples": scrape.samples,
        "scrape_bytes": scrape.page_bytes,
        "scrape_wire_bytes": scrape.wire_bytes,
        "scrape_interval_s": interval_s,
        "metrics_wire_bytes": round(scrape.wire_bytes / interval_s / rate),
        "log_lines": round(came["lines"] / requests, 2),
        "log_line_bytes": round(came["line_bytes"] / requests),
        "log_push_bytes": round(came["push_bytes"] / requests),
        "spans": round(came["spans"] / requests, 2),
        "span_bytes": round(came["span_bytes"] / requests),
    }
    told = (
        f"{requests} requests at {rate:.0f} a second, each: {figures['log_line_bytes']} bytes of log lines in "
        f"{figures['log_push_bytes']} bytes of pushes, {figures['span_bytes']} bytes of spans, "
        f"{figures['metrics_wire_bytes']} bytes of scrapes of {scrape.wire_bytes} each {interval_s:.0f} s"
    )
    wrong = [name for name in ("lines", "spans") if came[name] < requests]
    if not scrape.samples:
        wrong.append("samples")
    end = f"; but there are too few {', '.join(wrong)}: something did not arrive" if wrong else ""
    return Finding(not wrong, told + end, figures)
