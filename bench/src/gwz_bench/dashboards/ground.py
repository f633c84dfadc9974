"""The stack as it is shipped, on a day of data; an application that answers the JSON endpoints from it; Grafana, if there is one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from gwz_bench.dashboards import lines
from gwz_bench.dashboards.blocks import import_rules, levels
from gwz_bench.dashboards.day import APP, Day, Size
from gwz_bench.dashboards.load import CONNECTIONS
from gwz_bench.dashboards.touched import SETTING, QueryLog
from gwz_bench.dashboards.ways import ThroughGrafana, ToEngines, Way
from gwz_dashboards.panels import PROMETHEUS_UID
from gwz_e2e import grafana
from gwz_e2e.limits.alone import client, metric
from gwz_e2e.limits.lanes import Patience
from gwz_e2e.options import Options as Staging
from gwz_e2e.scene import Scene
from gwz_e2e.stage import Cast, Stage, Tell, set_stage
from gwz_stack import Found, NativeStack, StackError

_ANSWER_S = 60.0
_MERGED_S = 600.0
_COMPACTIONS = "prometheus_tsdb_compactions_triggered_total"
_SOUGHT = 2
"""It seeks blocks to merge once a minute, and not again until it has merged what it found."""


@dataclass(frozen=True)
class Ground:
    """What a measurement stands on."""

    way: Way
    browser: httpx.Client
    prometheus: httpx.Client
    log: QueryLog
    lines: int
    """How many Loki has."""


@contextmanager
def ground(
    out: Path, size: Size, day: Day, cast: Cast, promtool: Found, *, merge: bool, tell: Tell
) -> Iterator[Ground]:
    """Start everything on the blocks that lie in `out` already; add what recording rules would have written, and the lines.

    `merge`: wait until Prometheus has merged the blocks, as it has those of a day that it scraped itself.
    """
    with set_stage(Staging(out=out), cast, tell, e2e=False) as stage:
        log = _on_the_day(stage, day, promtool, tell)
        number = lines.push(stage.place.urls.loki, size, day.now)
        _stack(stage).restart("loki")  # as it stops it stores the lines, which else takes hours
        tell(f"{number:,} lines are in Loki")
        scene = _application(stage)
        way, auth = _way(stage, scene, size, tell)
        if merge:
            _merged(stage)
            tell("Prometheus has merged its blocks")
        limits = httpx.Limits(max_connections=CONNECTIONS)
        with (
            httpx.Client(auth=auth, timeout=_ANSWER_S, trust_env=False, limits=limits) as browser,
            client(stage.place.urls.prometheus) as prometheus,
        ):
            yield Ground(way, browser, prometheus, QueryLog(log), number)


def data_of_prometheus(out: Path) -> Path:
    """The folder in which the stack's Prometheus looks for its blocks."""
    return out.resolve() / "data" / "prometheus"


def _on_the_day(stage: Stage, day: Day, promtool: Found, tell: Tell) -> Path:
    """Give Prometheus what its recording rules would have written, and return the file in which it logs its queries."""
    log = stage.place.out.resolve() / "logs" / "queries.log"
    for rules in levels():
        import_rules(promtool.path, rules, day, data_of_prometheus(stage.place.out), stage.place.urls.prometheus)
        _stack(stage).restart("prometheus", overrides={SETTING: str(log)})
        tell(f"{', '.join(rule.metric.name for rule in rules)} are in blocks")
    return log


def _application(stage: Stage) -> Scene:
    """Start an application that asks Prometheus for what one of its name has counted."""
    settings = {
        "GWZ_MONITORING": "prometheus",
        "GWZ_PROMETHEUS_URL": stage.place.urls.prometheus,
        "GWZ_HEALTH_WINDOW_S": "300",
    }
    scene = Scene(stage.place, APP, stage.ports("app")["app"], settings=settings)
    stage.supervisor.wait_ready(scene.launch())
    return scene


def _way(stage: Stage, scene: Scene, size: Size, tell: Tell) -> tuple[Way, tuple[str, str] | None]:
    """Through Grafana where there are one and what provisions it, with the scrape interval of the day in its data source."""
    urls, command = stage.place.urls, grafana.command()
    if urls.grafana is None or command is None:
        tell(f"the engines are asked by their own APIs: {grafana.absent(urls)}")
        return ToEngines(urls, scene.case.app_url, scene.case.tokens.api), None
    auth = ("admin", stage.stack.grafana_password)
    code, _, complaint = grafana.provision_for(command, urls, auth[1], scene.case).run("apply")
    if code:
        raise StackError(
            "Grafana could not be provisioned.", cause=complaint, cure=f"Run {command} apply by hand on a Grafana."
        )
    with httpx.Client(base_url=urls.grafana, auth=auth, timeout=_ANSWER_S, trust_env=False) as api:
        place = f"/api/datasources/uid/{PROMETHEUS_UID}"
        source = api.get(place).raise_for_status().json()
        source["jsonData"]["timeInterval"] = f"{size.interval_s}s"
        api.put(place, json=source).raise_for_status()
    return ThroughGrafana(urls.grafana), auth


def _merged(stage: Stage) -> None:
    url = stage.place.urls.prometheus
    patience = Patience(stage.supervisor, threading.Event())
    if not patience.until(lambda: metric(url, _COMPACTIONS) >= _SOUGHT, _MERGED_S):
        raise StackError(
            f"Prometheus has not merged its blocks within {_MERGED_S:.0f} s.",
            cause="The machine may be too busy.",
            cure="Run it again when nothing else does, or with --quick, which does not wait for that.",
        )


def _stack(stage: Stage) -> NativeStack:
    if not isinstance(stage.stack, NativeStack):
        raise TypeError("in containers no server is started again on blocks that were made beside it")
    return stage.stack
