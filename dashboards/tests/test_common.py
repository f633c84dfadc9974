"""The last pass that all dashboards share."""

from typing import Any

import pytest

from gwz_dashboards.common import MOST_POINTS, Folder, Page, Row, finished
from gwz_dashboards.panels import Panel, logql, over_time, promql

pytestmark = pytest.mark.dashboard


def panel(id_: int) -> Panel:
    return over_time(id_, "T", "D", "s", promql("up", "a"), promql("down", "b"))


def finish(*rows: Row) -> dict[str, Any]:
    return finished(Page("u", "T", "D", Folder("f", "F"), (), rows))


def test_panels_stand_side_by_side_and_rows_below_each_other() -> None:
    document = finish(Row(8, ((10, panel(1)), (14, panel(2)))), Row(5, ((24, panel(3)),)))
    assert [item["gridPos"] for item in document["panels"]] == [
        {"h": 8, "w": 10, "x": 0, "y": 0},
        {"h": 8, "w": 14, "x": 10, "y": 0},
        {"h": 5, "w": 24, "x": 0, "y": 8},
    ]


def test_a_row_wider_than_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="u: the row at 0 is 25 wide, the grid 24"):
        finish(Row(8, ((12, panel(1)), (13, panel(2)))))


def test_queries_are_lettered_and_the_panel_has_their_data_source() -> None:
    (first,) = finish(Row(8, ((12, panel(1)),)))["panels"]
    assert [target["refId"] for target in first["targets"]] == ["A", "B"]
    assert first["datasource"] == {"type": "prometheus", "uid": "grafana_prometheus"}


def test_prometheus_computes_no_more_points_than_are_seen_and_loki_as_many_as_there_is_room_for() -> None:
    lines = over_time(2, "T", "D", "s", logql("{}"))
    first, second = finish(Row(8, ((12, panel(1)), (12, lines))))["panels"]
    assert first["maxDataPoints"] == MOST_POINTS
    assert "maxDataPoints" not in second


def test_what_all_dashboards_share_is_there() -> None:
    document = finish(Row(8, ((12, over_time(1, "T", "D", "s", logql("{}"))),)))
    assert (document["refresh"], document["time"]) == ("10s", {"from": "now-15m", "to": "now"})
    assert document["tags"] == ["gatewayz"]
    assert document["annotations"] == {"list": []}
    assert "id" not in document
    assert "version" not in document
