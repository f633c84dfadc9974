"""Every query has an expectation, and every expectation a query."""

from typing import Any

import pytest

from gwz_dashboards.common import finished
from gwz_dashboards.expectations import EXPECTATIONS, RULES
from gwz_dashboards.expectations.kinds import Told
from gwz_dashboards.generate import pages
from gwz_dashboards.json_queries import answer
from gwz_dashboards.recording import GROUPS

pytestmark = pytest.mark.dashboard

QUERIES = {
    (page.uid, panel["id"], target["refId"]): target
    for page in pages()
    for panel in finished(page)["panels"]
    for target in panel.get("targets", [])
}


def test_every_query_has_an_expectation_and_every_expectation_a_query() -> None:
    assert set(QUERIES) - set(EXPECTATIONS) == set()
    assert set(EXPECTATIONS) - set(QUERIES) == set()


def test_every_rule_has_an_expectation_and_every_expectation_a_rule() -> None:
    assert set(RULES) == {rule.metric.name for rules in GROUPS.values() for rule in rules}


@pytest.mark.parametrize("key", [key for key, expect in EXPECTATIONS.items() if isinstance(expect.kind, Told)])
def test_what_an_endpoint_is_expected_to_answer_is_a_field_of_it(key: Any) -> None:
    told = EXPECTATIONS[key].kind
    assert isinstance(told, Told)
    place = f"{told.rows}." if told.rows else ""
    named = {"provider"} if told.rows.endswith(".*") else set()
    assert {f"{place}{cell.field}" for cell in told.cells.values() if cell.field not in named} <= set(
        answer(told.endpoint)
    )
