"""Nothing is emitted for nobody without a reason, and nothing is asked for that is not declared."""

import pytest

from gwz_dashboards.names import DECLARED
from gwz_dashboards.orphans import ORPHANS, asked
from gwz_instrument.semconv import METRICS

pytestmark = pytest.mark.dashboard


def test_every_metric_that_nothing_asks_for_has_a_reason() -> None:
    unasked = {metric.name for metric in METRICS} - asked()
    assert unasked - {metric.name for metric in ORPHANS} == set()


def test_no_reason_is_stale() -> None:
    assert {metric.name for metric in ORPHANS} & asked() == set()


def test_a_reason_is_a_sentence() -> None:
    assert all(reason.endswith(".") and len(reason.split()) > 4 for reason in ORPHANS.values())


def test_what_other_servers_make_is_declared_only_where_it_is_asked_for() -> None:
    ours = {metric.name for metric in METRICS}
    assert set(DECLARED) - ours - asked() == set()
