"""Which data source a query reaches, as Grafana finds it: by uid, by name, by a variable, or the default where none is named."""

from collections.abc import Sequence
from dataclasses import replace

from gwz_provision.bundle import Dashboard
from gwz_provision.check.asked import BUILT_IN
from gwz_provision.doctor import choosing, sources
from gwz_provision.doctor.scene import Scene
from gwz_provision.queries import Query, filled, named
from gwz_provision.variables import Choice, variables


def settled(scene: Scene, asked: Sequence[Query]) -> list[Query]:
    """Name in each query the data source that it reaches, as far as that is known before any is asked."""
    values = {board.uid: _known(scene, board) for board in scene.bundle.dashboards}
    done = []
    for query in asked:
        source = sources.found(scene.live, filled(query.target["datasource"], values[query.dashboard]))
        target = {**query.target, "datasource": source}
        done.append(replace(query, datasource=source.get("uid", ""), kind=source.get("type", ""), target=target))
    return done


def wanted(scene: Scene, asked: Sequence[Query]) -> dict[str, str]:
    """Map the data sources that queries and variables reach, or the bundle brings, to the types that it gives those."""
    reached = [one.datasource for one in asked]
    for board in scene.bundle.dashboards:
        values, listed = _known(scene, board), variables(board)
        asking = [filled(one.datasource, values) for one in listed if choosing.is_asked(scene, one)]
        reached += [sources.found(scene.live, one).get("uid", "") for one in asking]
    foreign = dict.fromkeys((uid for uid in reached if uid not in BUILT_IN and not named(uid)), "")
    return {**foreign, **{item["uid"]: str(item["type"]) for item in scene.bundle.datasources}}


def _known(scene: Scene, board: Dashboard) -> dict[str, Choice]:
    """Give the variables their values for which no data source has to be asked."""
    found = {one.name: choosing.at_once(scene, one) for one in variables(board) if not choosing.is_asked(scene, one)}
    return {name: choice for name, choice in found.items() if choice}
