"""Ways in which a query, or the panel that shows it, can be wrong: each has to be seen on servers that really ran."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from gwz_dashboards import recording
from gwz_e2e.panels.boards import RULES_UID, Query
from gwz_e2e.panels.display_faults import (
    OTHER_UNITS,
    of_columns,
    of_defaults,
    of_mean,
    of_panel,
    other_axis,
    other_unit,
    recoloured,
    rekeyed,
    reworded,
    row_names,
    scale_end,
    scaled,
    transformed,
)
from gwz_e2e.panels.question_faults import (
    Change,
    all_replaced,
    as_milliseconds,
    as_text,
    condition_gone,
    field_gone,
    first_replaced,
    grouping_gone,
    instead,
    legend,
    of_column,
    other_field,
    other_metric,
    other_path,
    other_quantile,
    other_root,
    other_source,
    parameter,
    renamed,
    simple_parser,
    swapped,
    unless_shares,
    wrapped,
)


@dataclass(frozen=True)
class Mutation:
    """One kind of fault."""

    name: str
    change: Change
    asks: bool = True
    """Whether the servers are asked anew: how a panel shows an answer does not change it."""

    def of(self, query: Query) -> Query | None:
        """The query with the fault, unless that changes nothing."""
        changed = self.change(query)
        return None if changed is None or changed == query else changed


MUTATIONS: tuple[Mutation, ...] = (
    # What is asked of Prometheus.
    Mutation("the metric is called otherwise", all_replaced(r"(?<=[a-z0-9])(?=(?:_bucket)?\{)", "_x")),
    Mutation("another metric", other_metric),
    Mutation("the condition on the status is gone", condition_gone("status_code")),
    Mutation(
        "the condition on the status is its opposite",
        first_replaced(
            r'status_code(=~|!~)"5\.\."', lambda found: f'status_code{"!~" if found[1] == "=~" else "=~"}"5.."'
        ),
    ),
    Mutation("every environment", condition_gone("job")),
    Mutation("an environment that is not there", all_replaced(r"\$environment", "gatewayz_nowhere")),
    Mutation("another application", all_replaced(r"\$app", "gateway-sampled", "prometheus", "loki", "tempo")),
    Mutation("every application", condition_gone("app_name")),
    Mutation("every path", condition_gone("path")),
    Mutation("every provider", condition_gone("provider")),
    Mutation("every model", condition_gone("model")),
    Mutation("every kind of span", condition_gone("span_kind")),
    Mutation("the grouping is gone", grouping_gone),
    Mutation(
        "grouped by another label",
        first_replaced(
            r"by \((?:le, )?(\w+)\)",
            lambda found: found[0].replace(found[1], "job") if found[1] != "le" else found[0],
            "prometheus",
        ),
    ),
    Mutation("an increase instead of a rate", unless_shares(all_replaced(r"\brate\(", "increase("))),
    Mutation("the last two samples instead of a rate", all_replaced(r"\brate\(", "irate(")),
    Mutation("a window of fifteen seconds", all_replaced(r"\[(?:\$__rate_interval|1h)\]", "[15s]")),
    Mutation("no window: the counter itself", all_replaced(r"\brate\(([^\[]*)\[[^\]]*\]\)", r"\1")),
    Mutation("counted instead of summed", all_replaced(r"\bsum\b", "count")),
    Mutation("the mean instead of the sum", unless_shares(all_replaced(r"\bsum\b", "avg"))),
    Mutation("another quantile", first_replaced(r"histogram_quantile\((0\.\d+)", other_quantile)),
    Mutation("a quantile without its buckets", all_replaced(r"by \(le(?:, )?", "by (job, ")),
    Mutation("a hundred times as much", wrapped("100 * (", ")")),
    Mutation("a thousandth", wrapped("(", ") / 1000")),
    Mutation("five more", wrapped("(", ") + 5")),
    Mutation("nothing of it", wrapped("(", ") * 0")),
    Mutation("a constant", instead("vector(42)")),
    Mutation("a constant zero", instead("vector(0)")),
    Mutation("a random number", instead("vector(time() * 7919 % 1009 / 1009)")),
    Mutation("another series' random numbers", instead('label_replace(vector(time() % 97), "provider", "x", "", "")')),
    Mutation("an hour ago", all_replaced(r"\{([^}]*)\}(\[[^\]]*\])?", r"{\1}\2 offset 1h")),
    Mutation("the factor is gone", first_replaced(r"^(?:100|3600) \* ", "")),
    Mutation("the share turned round", swapped),
    Mutation("the legend names nothing", legend),
    # What is asked of Loki and of Tempo.
    Mutation("lines of every level", condition_gone("level")),
    Mutation("lines of another level", first_replaced(r"error\|critical", "info", "loki")),
    Mutation("lines of every service", condition_gone("service")),
    Mutation("lines of no environment", all_replaced(r"\$env", "nowhere", "loki")),
    Mutation("lines grouped by another label", first_replaced(r"by \([^)]*\)", "by (env)", "loki")),
    Mutation("five minutes of lines", all_replaced(r"\[1m\]", "[5m]", "loki")),
    Mutation("bytes instead of lines", all_replaced(r"\b(?:count_over_time|rate)\(", "bytes_over_time(", "loki")),
    Mutation("a rate instead of a count of lines", all_replaced(r"\bcount_over_time\(", "rate(", "loki")),
    Mutation("whatever is searched for", all_replaced(r" \|~ `[^`]*`", "", "loki")),
    Mutation("lines that are not written for people", all_replaced(r" \| line_format `[^`]*`", "", "loki")),
    Mutation(
        "lines with another word", all_replaced(r" \| line_format `[^`]*`", " | line_format `{{.logger}}`", "loki")
    ),
    Mutation("traces of every kind", all_replaced(r" && kind=server", "", "tempo")),
    Mutation("traces of no service", all_replaced(r'"\$app"', '"nobody"', "tempo")),
    Mutation("another data source", other_source),
    # What is asked of the JSON endpoints.
    Mutation("another field", of_column(other_field)),
    Mutation("a field that is not there", of_column(field_gone)),
    Mutation("a number as a text", of_column(as_text)),
    Mutation("seconds as milliseconds", of_column(as_milliseconds)),
    Mutation("a column called otherwise", of_column(renamed)),
    Mutation("another endpoint", other_path),
    Mutation("another place of the answer", other_root),
    Mutation("another parser", simple_parser),
    Mutation("a week of hours", parameter("hours", "168")),
    Mutation("a month of days", parameter("days", "30")),
    Mutation("a single row", parameter("limit", "1")),
    Mutation("sorted by something else", parameter("sort_by", "latency")),
    Mutation("an hour of the ranking", parameter("time_range", "1h")),
    # How the panel shows it.
    Mutation("another unit", of_defaults(other_unit), asks=False),
    Mutation("another unit of a column", of_columns("unit", lambda unit: OTHER_UNITS[unit]), asks=False),
    Mutation("thresholds ten times as high", of_panel("thresholds", scaled), asks=False),
    Mutation("thresholds in reverse colours", of_panel("thresholds", recoloured), asks=False),
    Mutation("a column's thresholds ten times as high", of_columns("thresholds", scaled), asks=False),
    Mutation("a column's thresholds in reverse colours", of_columns("thresholds", recoloured), asks=False),
    Mutation("other words for the values", of_panel("mappings", reworded), asks=False),
    Mutation("the next value's words", of_panel("mappings", rekeyed), asks=False),
    Mutation("a column's other words", of_columns("mappings", reworded), asks=False),
    Mutation("the mean of what was answered", of_mean, asks=False),
    Mutation("another end of the scale", scale_end, asks=False),
    Mutation("other names of the columns", transformed, asks=False),
    Mutation("other names of the rows", of_defaults(row_names), asks=False),
    Mutation("another axis", other_axis, asks=False),
)


_RULE_FAULTS: Mapping[str, Callable[[str], str]] = {
    "a window of a minute": lambda rule: rule.replace("5m]", "15s]").replace("offset 5m", "offset 15s"),
    "every status": lambda rule: re.sub(r'(, )?status(_code)?=~"[^"]*"', "", rule),
    "the grouping is gone": lambda rule: re.sub(r"(?<=sum )by \(job(, provider)?\) ", "", rule),
    "another quantile": lambda rule: rule.replace("histogram_quantile(0.95", "histogram_quantile(0.5"),
    "an increase instead of a rate": lambda rule: (
        rule if " / " in rule or "histogram_quantile" in rule else rule.replace("rate(", "increase(")
    ),
    "counted instead of summed": lambda rule: re.sub(r"\bsum\b", "count", rule),
    "the sum instead of the mean": lambda rule: re.sub(r"\bavg\b", "sum", rule),
    "what failed is judged": lambda rule: rule.replace(recording.JUDGED.metric.name, recording.FAILED.metric.name),
    "a constant": lambda rule: f"({rule}) * 0 + 0.5",
    "nothing of it": lambda rule: f"({rule}) * 0",
}
"""Ways in which the expression of a recording rule can be wrong."""


def mutants(queries: Iterable[Query]) -> Iterator[tuple[Mutation, Query]]:
    """Every query and every rule with every fault that it can have."""
    for query in queries:
        for mutation in RULE_MUTATIONS if query.dashboard == RULES_UID else MUTATIONS:
            if (mutant := mutation.of(query)) is not None:
                yield mutation, mutant


def _rule_fault(fault: Callable[[str], str]) -> Change:
    """Compute what the rule would, had it that fault, for the environment that a panel asks about."""

    def change(query: Query) -> Query | None:
        rule = _EXPRESSIONS[query.panel["title"]]
        wrong = fault(rule)
        return None if wrong == rule else query.asking(expr=f'({wrong}) and on(job) up{{job=~"$environment"}}')

    return change


_EXPRESSIONS = {rule.metric.name: rule.expression for rules in recording.GROUPS.values() for rule in rules}
RULE_MUTATIONS = tuple(Mutation(f"rule: {name}", _rule_fault(fault)) for name, fault in _RULE_FAULTS.items())
