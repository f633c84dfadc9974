"""A real Grafana with real servers behind it, into which faults are put; and small bundles that ask for what is there."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import backends
import pytest
import servers
from raw import Place

from gwz_provision.access import Access
from gwz_provision.bundle import Bundle, Dashboard
from gwz_provision.doctor.examine import examine
from gwz_provision.doctor.question import Question
from gwz_provision.grafana import Grafana
from gwz_provision.queries import INFINITY
from gwz_provision.report import Check, Report

BOARD = "gwz-ward"
RULE = "job:requests:rate1m"
RULES = f"groups:\n- name: g\n  rules:\n  - record: {RULE}\n    expr: sum by (job) (requests_total)\n"
_METRICS = """# TYPE app_info gauge
app_info{app_name="gw"} 1
# TYPE requests counter
requests_total{path="/a",status="200"} 5
requests_total{path="/b",status="500"} 1
# TYPE idle_seconds histogram
idle_seconds_bucket{le="1"} 0
idle_seconds_bucket{le="+Inf"} 0
idle_seconds_sum 0
idle_seconds_count 0
"""
_SCRAPES = """
global: {{scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 1s}}
scrape_configs:
- job_name: gatewayz_test
  static_configs: [{{targets: ["{api}"]}}]
- job_name: redis_exporter
  static_configs: [{{targets: ["127.0.0.1:9"]}}]
"""


@dataclass
class Ward:
    """The servers, and what they are told."""

    place: Place
    prometheus: backends.Prometheus
    loki: str
    tenants: str
    """A Loki that keeps tenants apart."""
    tempo: str
    otlp: str
    api: backends.Api
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def source(self, kind: str, url: str, **more: Any) -> str:
        """Make a data source under a new uid: Grafana remembers for five seconds what an old one was; returns the uid."""
        uid = f"ward-{next(self.numbers)}"
        body = {"uid": uid, "name": uid, "type": kind, "access": "proxy", "url": url, **more}
        self.place.send("POST", "/datasources", body)
        return uid

    def examine(self, bundle: Bundle, **question: Any) -> Report:
        """Let the doctor look as an admin."""
        with Grafana(Access(self.place.url, ("admin", self.place.password))) as grafana:
            return examine(bundle, grafana.reader, Question(**question))


@contextmanager
def opened(folder: Path) -> Iterator[Ward]:
    """Start everything; skips where one of the servers is not on this machine."""
    real = servers.found()
    if real is None:
        pytest.skip("needs a real Grafana: set GWZ_GRAFANA_BIN and GWZ_GRAFANA_HOME")
    if not (Path(servers.plugins()) / INFINITY).is_dir():
        pytest.skip("needs the Infinity plugin: set GWZ_GRAFANA_PLUGINS")
    with ExitStack() as stack:
        api = stack.enter_context(backends.api())
        api.says("/metrics", _METRICS, kind="text/plain; version=0.0.4")
        config = _SCRAPES.format(api=api.url.removeprefix("http://"))
        past = _past("gone_total", int(time.time()) - 2 * 3600)
        prometheus = stack.enter_context(backends.prometheus(folder / "prometheus", config, past=past))
        loki = stack.enter_context(backends.loki(folder / "loki"))
        tenants = stack.enter_context(backends.loki(folder / "tenants", tenants=True))
        tempo, otlp = stack.enter_context(backends.tempo(folder / "tempo"))
        (folder / "grafana").mkdir()
        unsigned = {"GF_PLUGINS_ALLOW_LOADING_UNSIGNED_PLUGINS": INFINITY}
        place = stack.enter_context(servers.started(*real, folder / "grafana", unsigned))
        place.send("POST", "/dashboards/db", {"dashboard": {"uid": BOARD, "title": "Ward"}})
        backends.until(lambda: bool(prometheus.ask('count_over_time(requests_total{path="/a"}[1m]) > 1')))
        yield Ward(place, prometheus, loki, tenants, tempo, otlp, api)


def _past(name: str, last: int) -> str:
    samples = [f'{name}{{job="gatewayz_test"}} {at - last + 100} {at}' for at in range(last - 60, last + 1, 15)]
    return "\n".join([f"# TYPE {name.removesuffix('_total')} counter", *samples, "# EOF", ""])


def board(
    *targets: Any,
    uid: str = BOARD,
    since: str = "now-15m",
    variables: tuple[Any, ...] = (),
    may_be_empty: bool = False,
) -> Dashboard:
    """A dashboard with one panel for each target, numbered from 1."""
    model = {
        "uid": uid,
        "title": "Ward",
        "time": {"from": since, "to": "now"},
        "templating": {"list": list(variables)},
        "panels": [
            {"id": number, "type": "timeseries", "targets": [{"refId": "A", **target}]}
            for number, target in enumerate(targets, 1)
        ],
    }
    excused = frozenset(range(1, len(targets) + 1)) if may_be_empty else frozenset()
    return Dashboard("f", model, excused)


def bundle(*boards: Dashboard, **more: Any) -> Bundle:
    """A bundle that brings no data source: the wards's are named by the queries."""
    return Bundle((), (), boards, **more)


def promql(uid: str, expr: str, **more: Any) -> dict[str, Any]:
    """A target of Prometheus for the present: over a range, what began some seconds ago has no point yet."""
    return {"datasource": {"type": "prometheus", "uid": uid}, "expr": expr, "instant": True, **more}


def logql(uid: str, expr: str, **more: Any) -> dict[str, Any]:
    """A target of Loki."""
    return {"datasource": {"type": "loki", "uid": uid}, "expr": expr, "queryType": "range", **more}


def traceql(uid: str, query: str) -> dict[str, Any]:
    """A target of Tempo."""
    return {"datasource": {"type": "tempo", "uid": uid}, "query": query, "queryType": "traceql"}


def endpoint(uid: str, path: str, *columns: str, root: str = "") -> dict[str, Any]:
    """A JSON target with number columns."""
    return {
        "datasource": {"type": INFINITY, "uid": uid},
        "type": "json",
        "source": "url",
        "parser": "backend",
        "format": "table",
        "url": path,
        "root_selector": root,
        "columns": [{"selector": one, "text": one, "type": "number"} for one in columns],
        "url_options": {"method": "GET"},
    }


def alert(uid: str, source: str, model: Any, **more: Any) -> dict[str, Any]:
    """An alert rule with one query."""
    item = {"refId": "A", "datasourceUid": source, "relativeTimeRange": {"from": 600, "to": 0}, "model": model}
    return {"uid": uid, "title": uid, "condition": "A", "data": [item], **more}


def first(report: Report) -> Check:
    """The first broken check."""
    return next(check for check in report.checks if not check.ok)


def states(report: Report) -> list[str]:
    """What became of each query, in the order of the panels."""
    return [answer.state for answer in sorted(report.answers, key=lambda answer: answer.panel)]


def notes(report: Report) -> list[str]:
    """What was said of checks that are well."""
    return [check.cause for check in report.checks if check.ok and check.cause]


def dumped(report: Report) -> str:
    """The whole report, to be shown by a test that fails."""
    return json.dumps(report.document(), indent=1)
