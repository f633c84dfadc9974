import pytest

from fastapi_app.load.ledger import Entry, Outcome
from gwz_e2e.books import Attempts, Books, Calls
from gwz_e2e.expected import Expected, Question
from gwz_e2e.leaves import Comparison
from gwz_e2e.reading import Answer
from gwz_e2e.speeds import Speeds, bucket_of
from gwz_instrument.semconv import endpoints

NINE = 9 * 3600.0
"""A full hour."""


def entry(provider="xai", model="x-ai/grok", outcome=Outcome.SUCCESS, status=200, cost=0.5, **more):
    tokens = {"input_tokens": 10, "output_tokens": 4, "cost_usd": cost} if outcome is Outcome.SUCCESS else {}
    empty = {"input_tokens": None, "output_tokens": None, "cost_usd": None}
    facts = {"stream": False, "planned_delay_s": 0.075, "trace_id": None, **more}
    return Entry("id", "POST", "/v1", status, outcome, provider, model, **{**empty, **tokens, **facts})


LEDGER = [
    entry(),
    entry(),
    entry(outcome=Outcome.ERROR, status=502, planned_delay_s=0.375),
    entry(provider="near", failed_first="xai"),
    entry(outcome=Outcome.CLIENT_DISCONNECTED, status=499),
]


def expected(began=NINE + 60, ended=NINE + 120, source="local"):
    speeds = Speeds({}, {}, {})
    return Expected(source, Books(Calls(LEDGER), began, ended), speeds, {"xai": "open"}, 3600.0)


def differences(endpoint, wanted, body, **about):
    answer = Answer(Question(endpoint, wanted, about), 0.0, {}, body)
    comparison = Comparison()
    comparison.compare(answer.seen, wanted(answer), "it")
    return comparison.differences


def head(**fields):
    now = "2026-01-01T00:00:00Z"
    return {"timestamp": now, "source": "local", "from": now, "to": now, "complete": False, "exact": True, **fields}


def test_a_call_that_fell_back_is_a_failed_attempt_of_who_was_asked_first():
    books = expected().books
    assert books.attempts("xai") == Attempts(total=5, good=2, bad=2)
    assert books.attempts("near") == Attempts(total=1, good=1, bad=0)
    assert books.calls.of(provider="xai").bad == 1


def test_the_hour_is_known_only_if_everything_happened_in_one():
    assert expected().books.hour == NINE
    assert expected(ended=NINE + 3599).books.hour is None


def test_a_quantile_of_what_was_planned_is_one_of_its_delays():
    assert Calls(LEDGER).planned(0.5) == 0.075
    assert Calls(LEDGER).planned(0.99) == 0.375
    assert bucket_of(0.375) < 0.375


def test_every_endpoint_is_asked():
    wanted = expected()
    assert {question.endpoint for question in wanted.questions()} == set(endpoints.MONITORING)


def hour(**fields):
    row = {"total_requests": 4, "successful_requests": 2, "failed_requests": 1, "tokens_input": 20, "tokens_output": 8}
    return {**row, "total_cost": 1.0, **fields}


@pytest.mark.parametrize(
    ("found", "phrase"),
    [
        ({"1970-01-01:09": hour()}, None),
        ({"1970-01-01:09": hour(failed_requests=2)}, "it.data.1970-01-01:09.failed_requests is 2 instead of 1"),
        ({"1970-01-01:09": hour(total_cost=1.00000001)}, "it.data.1970-01-01:09.total_cost is 1.00000001 instead of 1"),
        ({"1970-01-01:10": hour()}, "nobody expects it.data.1970-01-01:10"),
    ],
)
def test_an_hour_of_a_provider_is_what_the_ledger_says(found, phrase):
    found = differences(*_hourly(expected(), found), provider="xai")
    told = [one for one in found if "data" in one]
    assert told == [] if phrase is None else told[0].startswith(phrase)


def test_hours_that_a_load_crosses_add_up_to_what_the_ledger_says():
    crossing = expected(ended=NINE + 3600)
    first = hour(total_requests=3, failed_requests=None, tokens_input=10, total_cost=0.25)
    rest = hour(total_requests=1, successful_requests=None, tokens_input=10, tokens_output=None, total_cost=0.75)
    rows = {"1970-01-01:09": first, "1970-01-01:10": rest}
    assert not [one for one in differences(*_hourly(crossing, rows), provider="xai") if "data" in one]
    short = {"1970-01-01:09": first}
    assert [
        one for one in differences(*_hourly(crossing, short), provider="xai") if "data[].total_requests is 3" in one
    ]


def _hourly(wanted, data):
    def judged(answer):
        answer = Answer(
            Question(endpoints.HOURLY, wanted.hourly, answer.question.about, {"hours": 24}), 0.0, {}, answer.body
        )
        return wanted.hourly(answer)

    return endpoints.HOURLY, judged, head(provider="xai", hours=24, data=data)


def failures(rows, **about):
    wanted = expected(began=0.0, ended=100.0)
    answer = Answer(Question(endpoints.ERRORS, wanted.failures, about), 0.0, {}, rows)
    comparison = Comparison()
    comparison.compare(answer.seen["rows"], wanted.failures(answer)["rows"], "it")
    return comparison.differences


FAILURE = {"model": "x-ai/grok", "error": "HTTPStatusError", "timestamp": 50.0, "latency_ms": 380.0}


@pytest.mark.parametrize(
    ("rows", "right"),
    [
        ([FAILURE], True),
        ([], False),
        ([FAILURE, FAILURE], False),
        ([{**FAILURE, "error": "rate_limited"}], False),
        ([{**FAILURE, "model": "another"}], False),
        ([{**FAILURE, "latency_ms": 370.0}], False),
        ([{**FAILURE, "timestamp": 102.0}], False),
        ([{**FAILURE, "mood": "bad"}], False),
    ],
)
def test_each_failure_is_told_once_and_not_faster_than_it_was_planned(rows, right):
    assert (failures(rows, provider="xai") == []) is right


def test_the_rows_of_a_list_come_with_what_its_headers_say_of_the_window():
    headers = {"gwz-source": "local", "gwz-complete": "false", "gwz-exact": "true", "gwz-from": "a", "gwz-to": "b"}
    seen = Answer(Question(endpoints.HEALTH, None), 0.0, headers, [1]).seen
    assert seen == {"source": "local", "from": "a", "to": "b", "complete": False, "exact": True, "rows": [1]}


def test_what_prometheus_tells_begins_at_no_slot():
    body = head(
        **{"from": "1970-01-01T08:02:30Z", "to": "1970-01-01T09:03:00Z", "window_s": 3600.0, "baseline_s": 86400.0}
    )
    body |= {"anomalies": [], "total_count": 0, "critical_count": 0, "warning_count": 0}
    told = differences(endpoints.ANOMALIES, expected().anomalies, body)
    assert not [one for one in told if one.startswith("it.from")]
    theirs = differences(endpoints.ANOMALIES, expected(source="prometheus").anomalies, {**body, "source": "prometheus"})
    assert [one for one in theirs if one.startswith("it.from")]
