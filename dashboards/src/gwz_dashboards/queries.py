"""PromQL, LogQL and TraceQL made from entries of the contract: a wrong name does not type-check, a wrong label raises."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from gwz_instrument.semconv import Attribute, Label, Metric, logs

# At least four scrapes, so that a rate survives a missed one; Grafana works it out from the data source's interval.
_WINDOW = "$__rate_interval"
# As long as the window of the metrics; Loki's own `$__auto` is a second in short ranges, and shows each line as a spike.
_LOG_WINDOW = "1m"


@dataclass(frozen=True)
class Match:
    """A condition on a label."""

    label: Label
    value: str
    operator: Literal["=", "!=", "=~", "!~"] = "="

    def __str__(self) -> str:
        return f'{self.label.name}{self.operator}"{self.value}"'


def series(metric: Metric, *matches: Match) -> str:
    """Select the series of a metric."""
    return _selector(metric, metric.name, matches)


def total(metric: Metric, *matches: Match, by: Iterable[Label] = ()) -> str:
    """Sum a metric as it stands: exact, but a counter begins anew with its process."""
    return summed(series(metric, *matches), metric, by)


def rate(metric: Metric, *matches: Match, by: Iterable[Label] = ()) -> str:
    """Count a counter's events per second."""
    return summed(f"rate({series(metric, *matches)}[{_WINDOW}])", metric, by)


def quantile(share: float, metric: Metric, *matches: Match, by: Iterable[Label] = ()) -> str:
    """Estimate the value that a share of a histogram's observations does not exceed."""
    labels = tuple(by)
    _declared(metric, labels)
    grouping = ", ".join(["le", *(label.name for label in labels)])
    buckets = _selector(metric, f"{metric.name}_bucket", matches)
    return f"histogram_quantile({share}, sum by ({grouping}) (rate({buckets}[{_WINDOW}])))"


def summed(expression: str, metric: Metric, by: Iterable[Label] = ()) -> str:
    """Sum an expression over all labels of its metric but these."""
    labels = tuple(by)
    _declared(metric, labels)
    grouping = f" by ({', '.join(label.name for label in labels)}) " if labels else ""
    return f"sum{grouping}({expression})"


def or_zero(expression: str, witness: str) -> str:
    """Turn "nothing yet" into 0, but only while `witness` has a value: a dead application is not one without errors."""
    return f"{expression} or on() ({witness} * 0)"


def label_values(metric: Metric, label: Label) -> str:
    """Ask for the values of a label, as a dashboard variable does."""
    _declared(metric, (label,))
    return f"label_values({metric.name}, {label.name})"


def lines(*matches: Match) -> str:
    """Select the log lines of streams."""
    _known((match.label for match in matches), logs.STREAM_LABELS, "a log stream")
    return "{" + ", ".join(map(str, matches)) + "}"


def line_rate(*matches: Match, by: Iterable[Label] = ()) -> str:
    """Count log lines per second."""
    labels = tuple(by)
    _known(labels, logs.STREAM_LABELS, "a log stream")
    return f"sum by ({', '.join(label.name for label in labels)}) (rate({lines(*matches)}[{_LOG_WINDOW}]))"


def traces(attribute: Attribute, value: str) -> str:
    """Select the traces with a span whose resource has this attribute."""
    return f'{{resource.{attribute.name}="{value}"}}'


def legend(*labels: Label) -> str:
    """Name each series by the values of these labels."""
    return " ".join(f"{{{{{label.name}}}}}" for label in labels)


def _selector(metric: Metric, name: str, matches: tuple[Match, ...]) -> str:
    _declared(metric, (match.label for match in matches))
    return name + "{" + ", ".join(map(str, matches)) + "}"


def _declared(metric: Metric, labels: Iterable[Label]) -> None:
    _known(labels, metric.labels, metric.name)


def _known(labels: Iterable[Label], declared: tuple[Label, ...], owner: str) -> None:
    for label in labels:
        if label not in declared:
            names = ", ".join(sorted(known.name for known in declared))
            raise ValueError(f"{owner} has no label {label.name}: it has {names}. Use one of them, or declare it.")
