"""Questions to the JSON endpoints."""

from typing import Any

import pytest

from gwz_dashboards.json_queries import Column, json_query
from gwz_instrument.semconv import endpoints

pytestmark = pytest.mark.dashboard


def asked(*arguments: Any, **options: Any) -> dict[str, Any]:
    query: Any = json_query(*arguments, **options).build()
    return dict(query.to_json())


def test_a_field_is_asked_of_the_plugin_s_backend_with_its_parameters() -> None:
    query = asked(endpoints.REALTIME, Column("error_rate", "Failed"), params={"hours": 1})
    assert query["url"] == "/api/monitoring/stats/realtime"
    assert query["url_options"] == {"method": "GET", "params": [{"key": "hours", "value": "1"}]}
    assert query["columns"] == [{"selector": "error_rate", "text": "Failed", "type": "number"}]
    assert (query["parser"], query["root_selector"], query["format"]) == ("backend", "", "table")


def test_a_wrong_field_is_named_with_those_that_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"/api/monitoring/stats/realtime has no field eror_rate: it has avg_latency_ms"
    ):
        json_query(endpoints.REALTIME, "eror_rate")
    with pytest.raises(ValueError, match=r"/v1/models/trending has no field data\[\]\.name"):
        json_query(endpoints.TRENDING, "data[].model", labelled=("data[].name",))


def test_fields_of_two_places_are_two_queries() -> None:
    with pytest.raises(ValueError, match="fields of several places at once"):
        json_query(endpoints.REALTIME, "error_rate", "series[].time")


def test_a_list_is_rows() -> None:
    query = asked(endpoints.REALTIME, "series[].time", "series[].error_rate")
    assert (query["root_selector"], query["format"]) == ("series", "table")
    assert [column["type"] for column in query["columns"]] == ["timestamp", "number"]
    assert asked(endpoints.HEALTH, "[].provider")["root_selector"] == ""


def test_a_place_with_names_has_the_name_in_each_row_and_is_empty_without_an_error() -> None:
    """Seen live: without `$append` the plugin makes an error of no rows, and `$each` has an order of its own each time."""
    query = asked(endpoints.REALTIME, "providers.*.total_cost")
    assert query["root_selector"] == (
        '$append([], $map($sort($keys(providers)), function($k){$merge([{"provider": $k}, $lookup(providers, $k)])}))'
    )
    assert [column["selector"] for column in query["columns"]] == ["provider", "total_cost"]


def test_a_row_can_be_named_by_several_fields() -> None:
    query = asked(endpoints.TRENDING, "data[].cost_per_request", labelled=("data[].model", "data[].provider"))
    assert query["root_selector"] == '$append([], data.$merge([$, {"label": model & " @ " & provider}]))'


def test_a_number_may_be_a_time() -> None:
    query = asked(endpoints.BREAKERS, Column("[].last_updated", "As of", "timestamp_epoch_s"))
    assert query["columns"] == [{"selector": "last_updated", "text": "As of", "type": "timestamp_epoch_s"}]
