import collections
import dataclasses
import datetime as dt
import enum
import json
import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gwz_instrument.logs.entry import make, scalar
from gwz_instrument.logs.lines import LineFormatter, metadata_json
from gwz_instrument.logs.values import Json, encode, snapshot
from gwz_instrument.semconv.logs import MAX_LINE_BYTES


def strict(text):
    """Parse as strictly as Loki's `| json` does: NaN is no JSON."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def line_of(message="m", *, exception=None, stack=None, fields=None, created=0.0, logger="app"):
    entry = make(created, logging.INFO, logger, message, exception, stack, fields, None)
    return LineFormatter().line(entry)


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError


class Hostile:
    def __str__(self):
        raise RuntimeError

    __repr__ = __str__


@dataclasses.dataclass
class Usage:
    tokens: int
    of: object = None


CIRCLE: list = []
CIRCLE.append(CIRCLE)
DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]
WHEN = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [1, 2.5, None, True]}, {"a": [1, 2.5, None, True]}),
        ({1: "int", None: "none", 2.5: "float"}, {"1": "int", "null": "none", "2.5": "float"}),
        ({(1, 2): "tuple", Colour.RED: "enum"}, {"(1, 2)": "tuple", "Colour.RED": "enum"}),
        ([math.nan, math.inf, -math.inf, 1.5], ["nan", "inf", "-inf", 1.5]),
        ((1, (2,)), [1, [2]]),
        ({"b", "a"}, ["a", "b"]),
        (b"bytes \xff", "bytes \\xff"),
        (Colour.RED, "red"),
        ([Number.ONE], [1]),
        (Usage(3, Usage(4)), {"tokens": 3, "of": {"tokens": 4, "of": None}}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.deque([1]), "deque([1])"),
        (WHEN, "2026-01-02 00:00:00+00:00"),
        (ValueError("x"), "x"),
        (Text("kept"), "kept"),
        (10**30, 10**30),
        ([10**6000], ["<int of 19932 bits>"]),
        ("\ud800", "\ud800"),
        (CIRCLE, ["<list, not followed further>"]),
        ([Hostile(), 1], ["<Hostile that cannot be shown: RuntimeError>", 1]),
        ({"bad": Hostile(), "nan": math.nan}, {"bad": "<Hostile that cannot be shown: RuntimeError>", "nan": "nan"}),
    ],
)
def test_any_value_is_json_that_strict_parsers_read(value, said):
    assert strict(snapshot(value)) == said


def test_what_has_no_bottom_is_not_followed_for_ever():
    assert "not followed further" in snapshot(DEEP)
    assert len(snapshot({"wide": ["x" * 100] * 100_000})) < 140_000


@pytest.mark.parametrize(
    ("value", "text"),
    [("é\n", '"é\\n"'), (7, "7"), (True, "true"), (None, "null"), (2.5, "2.5"), (math.nan, '"nan"'), (Json("[1]"), "[1]")],
)  # fmt: skip
def test_scalars_are_written_as_they_are(value, text):
    assert encode(value) == text


def test_an_int_that_python_does_not_write_out_says_how_long_it_is():
    assert encode(10**6000) == '"<int of 19932 bits>"'


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters()) | st.binary(max_size=9)
    | st.dates() | st.complex_numbers() | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.sets(st.integers(), max_size=3) | st.tuples(inner)
    | st.dictionaries(st.text(max_size=3) | st.integers() | st.none() | st.tuples(st.integers()), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=9), _ANYTHING, max_size=4), st.text(), st.none() | st.text())
def test_every_line_is_one_json_object_with_distinct_names(fields, message, exception):
    text = line_of(message, exception=exception, fields={name: scalar(value) for name, value in fields.items()})
    assert "\n" not in text
    names = []
    json.loads(text, object_pairs_hook=lambda pairs: names.append([name for name, _ in pairs]) or dict(pairs))
    assert len(set(names[-1])) == len(names[-1])
    assert {"timestamp", "level", "logger", "message"} <= set(names[-1])
    assert set(strict(text)["message"]) <= set(message) | set("[redacted]")


@pytest.mark.parametrize(
    ("created", "text"),
    [(0.0, "1970-01-01T00:00:00.000000Z"), (1_700_000_000.25, "2023-11-14T22:13:20.250000Z"),
     (1_699_999_999.9999999, "2023-11-14T22:13:20.000000Z"), (-0.5, "1969-12-31T23:59:59.500000Z")],
)  # fmt: skip
def test_times_are_utc_to_the_microsecond(created, text):
    assert strict(line_of(created=created))["timestamp"] == text


@pytest.mark.parametrize(
    "parts",
    [
        {"message": "begin " + "x" * 300_000 + " end"},
        {"message": "m", "exception": "Traceback " + "x" * 3_000_000 + " ValueError: end"},
        {"message": "\x01" * 260_000},
        {"message": "🙂" * 100_000},
        {"message": "m", "fields": {f"f{number}": "y" * 1000 for number in range(400)}},
        {"message": "m", "fields": {"n" * 300_000: 1}},
        {"message": "m", "fields": {"usage": Json(json.dumps(["z" * 1000] * 400))}},
        {"message": "m", "stack": "s" * 300_000, "exception": "e" * 300_000, "logger": "l" * 300_000},
        {"message": "m", "fields": {"\x01" * 5000 + str(number): "\x01" * 5000 for number in range(300)}},
        {"message": "m", "fields": {"n": 10**4000, **{f"i{number}": 10**4000 for number in range(100)}}},
    ],
)
def test_a_line_too_long_for_loki_is_cut_in_the_middle_of_its_values_and_says_so(parts):
    text = line_of(**parts)
    assert len(text.encode("utf-8", "replace")) <= MAX_LINE_BYTES
    line = strict(text)
    assert line["cut"] is True
    if parts["message"].startswith("begin"):
        assert (line["message"][:6], line["message"][-4:]) == ("begin ", " end")
        assert len(line["message"]) > 40_000
    if "exception" in parts:
        assert line["exception"][-3:] == parts["exception"][-3:]


def test_a_line_just_short_enough_stays_whole():
    line = strict(line_of("x" * (MAX_LINE_BYTES - 200)))
    assert "cut" not in line
    assert len(line["message"]) == MAX_LINE_BYTES - 200


def test_a_cut_does_not_leave_half_a_secret():
    message = "x" * 24_000 + " sk-" + "a1" * 40 + " " + "x" * 300_000
    for shift in range(0, 90, 10):
        assert "a1a1" not in line_of(message[shift:])


def test_metadata_stays_within_what_loki_takes():
    assert strict(metadata_json({"trace_id": "ab", "odd": 'a"b'})) == {"trace_id": "ab", "odd": 'a"b'}
    assert strict(metadata_json({"a-b": "1", "": "2", "1x": "3", "n\n": "4"})) == {
        "a_b": "1",
        "key_": "2",
        "key_1x": "3",
        "n_": "4",
    }
    assert metadata_json(None) == metadata_json({}) == "{}"
    many = strict(metadata_json({f"k{number}": "v" for number in range(300)}))
    assert len(many) == 128
    long = metadata_json({"k": "v" * 100_000, "l": "w"})
    assert len(long.encode()) < 60 * 1024
    assert strict(long)["l"] == "w"
