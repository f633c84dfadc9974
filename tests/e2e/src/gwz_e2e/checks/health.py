"""What an application says of its own telemetry: it has delivered what arrived and given nothing up."""

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from gwz_e2e.case import Case
from gwz_e2e.checks.contract import exposition
from gwz_instrument.semconv import health


def admissions(case: Case, signal: str, arrived: int) -> list[str]:
    """What contradicts that at least `arrived` items of a signal were delivered and none was given up."""
    items = Counter[str]()
    for family in text_string_to_metric_families(exposition(case, "text/plain")):
        for sample in family.samples:
            if sample.name == health.ITEMS.name and sample.labels["signal"] == signal:
                items[sample.labels["outcome"]] += int(sample.value)
    phrases = []
    if items[health.DELIVERED] < arrived:
        phrases.append(f"the application says that it delivered {items[health.DELIVERED]} {signal}, {arrived} arrived")
    if items[health.DROPPED_OUTCOME]:
        phrases.append(f"the application gave up {items[health.DROPPED_OUTCOME]} {signal}")
    return phrases
