"""Measuring answers; the literals are shaped as Grafana 11.0.0 sends them."""

from gwz_provision.bundle import Json
from gwz_provision.frames import MAX_VALUES, Content, Value, content_of, content_of_search, error_of

TIME = {"name": "Time", "type": "time"}


def number(values: list[float | None], labels: dict[str, str] | None = None, name: str = "") -> Json:
    value = {"name": "Value", "type": "number", "labels": labels or {}}
    times = list(range(len(values)))
    return {"schema": {"name": name, "fields": [TIME, value]}, "data": {"values": [times, values]}}


def test_each_series_gives_its_last_value() -> None:
    result = {"frames": [number([1, 2], {"path": "/a"}), number([5], {"path": "/b"})]}
    assert content_of(result) == Content(2, 3, (Value({"path": "/a"}, 2), Value({"path": "/b"}, 5)))


def test_zero_is_data() -> None:
    assert content_of({"frames": [number([0])]}) == Content(1, 1, (Value({}, 0),))


def test_prometheus_without_data_sends_a_frame_without_fields() -> None:
    assert content_of({"frames": [{"schema": {"fields": []}, "data": {"values": []}}]}) == Content()


def test_loki_without_data_sends_no_frame_or_empty_columns() -> None:
    columns = [{"name": "labels", "type": "other"}, TIME, {"name": "Line", "type": "string"}]
    assert content_of({"frames": []}) == Content()
    assert content_of({"frames": [{"schema": {"fields": columns}, "data": {"values": [[], [], []]}}]}) == Content()


def test_not_a_number_is_no_data() -> None:
    """Grafana sends NaN as null: a ratio of nothing to nothing must not pass for a value."""
    assert content_of({"frames": [number([None, None])]}) == Content(unknown=2)
    assert content_of({"frames": [number([3, None])]}) == Content(1, 1, (Value({}, 3),), unknown=1)


def test_exemplars_are_not_the_series() -> None:
    assert content_of({"frames": [number([0.1], name="exemplar")]}) == Content()


def test_log_lines_are_counted() -> None:
    columns = [{"name": "labels", "type": "other"}, TIME, {"name": "Line", "type": "string"}]
    frame = {"schema": {"fields": columns}, "data": {"values": [[{}, {}], [1, 2], ["a", "b"]]}}
    assert content_of({"frames": [frame]}) == Content(1, 2)


def test_values_are_bounded_and_points_are_not() -> None:
    content = content_of({"frames": [number([1])] * (MAX_VALUES + 50)})
    assert len(content.values) == MAX_VALUES
    assert content.points == MAX_VALUES + 50


def test_a_search_counts_its_traces() -> None:
    assert content_of_search({"traces": [{"traceID": "1"}, {"traceID": "2"}]}) == Content(1, 2)
    assert content_of_search({"traces": []}) == content_of_search({}) == Content()


def test_an_error_stands_with_the_query() -> None:
    assert error_of({"error": "parse error", "status": 400}) == "parse error"
    assert error_of({"frames": [], "status": 200}) == ""
    assert len(error_of({"error": "x" * 3_000_000})) == 2000
