"""PromQL, LogQL and TraceQL made from entries of the contract: a wrong name does not type-check, a wrong label raises."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from gwz_dashboards.scrape_metrics import ADDED
from gwz_instrument.semconv import Attribute, Field, Label, Metric, inference, logs
from gwz_instrument.semconv.model import SpanKind

# At least four scrapes, so that a rate survives a missed one; Grafana works it out from the data source's interval.
_WINDOW = "$__rate_interval"
# As long as the window of the metrics; Loki's own `$__auto` is a second in short ranges, and shows each line as a spike.
_LOG_WINDOW = "1m"
RANGE = "$__range"
"""The whole range of the dashboard."""
JUDGED = ("success", "error", "timeout", "stream_error")
"""How attempts end that the provider itself ended; the client or the application ended the others."""
FAILURES = JUDGED[1:]

if strangers := set(JUDGED) - set(inference.STATUSES):
    raise ValueError(f"The contract knows no status {', '.join(sorted(strangers))}: correct JUDGED.")


@dataclass(frozen=True)
class Match:
    """A condition on a label."""

    label: Label
    value: str
    operator: Literal["=", "!=", "=~", "!~"] = "="

    def __str__(self) -> str:
        return f'{self.label.name}{self.operator}"{self.value}"'


def one_of(label: Label, values: Iterable[str]) -> Match:
    """Ask for several values of a label."""
    return Match(label, "|".join(values), "=~")


def series(metric: Metric, *matches: Match) -> str:
    """Select the series of a metric."""
    return _selector(metric, metric.name, matches)


def total(metric: Metric, *matches: Match, by: Iterable[Label] = ()) -> str:
    """Sum a metric as it stands: exact, but a counter begins anew with its process."""
    return summed(series(metric, *matches), metric, by)


def rate(metric: Metric, *matches: Match, by: Iterable[Label] = (), window: str = _WINDOW) -> str:
    """Count a counter's events per second."""
    return summed(f"rate({series(metric, *matches)}[{window}])", metric, by)


def grown(metric: Metric, *matches: Match, by: Iterable[Label] = (), window: str) -> str:
    """Count a counter's events in a window: the difference of two samples, nothing extrapolated.

    A series that is younger than the window, or began anew in it, counts from zero.
    """
    now = series(metric, *matches)
    grew = f"({now} - {now} offset {window}) unless resets({now}[{window}]) > 0"
    return summed(f"{grew} or {now}", metric, by)


def quantile(share: float, metric: Metric, *matches: Match, by: Iterable[Label] = (), window: str = _WINDOW) -> str:
    """Estimate the value that a share of a histogram's observations does not exceed."""
    labels = tuple(by)
    _declared(metric, labels)
    grouping = ", ".join(["le", *(label.name for label in labels)])
    buckets = _selector(metric, f"{metric.name}_bucket", matches)
    return f"histogram_quantile({share}, sum by ({grouping}) (rate({buckets}[{window}])))"


def summed(expression: str, metric: Metric, by: Iterable[Label] = ()) -> str:
    """Sum an expression over all labels of its metric but these."""
    return _grouped("sum", expression, metric, by)


def highest(metric: Metric, *matches: Match, by: Iterable[Label] = ()) -> str:
    """Take the worst of the processes, or of whatever the labels left out tell apart."""
    return _grouped("max", series(metric, *matches), metric, by)


def lowest(metric: Metric, *matches: Match, by: Iterable[Label] = ()) -> str:
    """Take the smallest of them."""
    return _grouped("min", series(metric, *matches), metric, by)


def mean(metric: Metric, *matches: Match, by: Iterable[Label] = ()) -> str:
    """Take the mean of series that count alike."""
    return _grouped("avg", series(metric, *matches), metric, by)


def share(part: str, whole: str) -> str:
    """Divide; without a whole there is no share, and no series."""
    return f"({part}) / ({whole} > 0)"


def or_zero(expression: str, witness: str, *, by: Iterable[Label] = ()) -> str:
    """Turn "nothing yet" into 0, but only while `witness` has a value: a dead application is not one without errors."""
    return f"{expression} or on({', '.join(label.name for label in by)}) ({witness} * 0)"


def label_values(metric: Metric, label: Label, *matches: Match) -> str:
    """Ask for the values of a label, as a dashboard variable does."""
    _declared(metric, (label,))
    return f"label_values({series(metric, *matches) if matches else metric.name}, {label.name})"


def lines(*matches: Match, containing: str = "") -> str:
    """Select the log lines of streams; `containing` is a pattern in which upper and lower case are the same."""
    _known((match.label for match in matches), logs.STREAM_LABELS, "a log stream")
    selected = "{" + ", ".join(map(str, matches)) + "}"
    return f"{selected} |~ `(?i){containing}`" if containing else selected


def parsed(selected: str, *fields: Field) -> str:
    """Read fields of the JSON lines, so that they can be asked for, counted by and shown."""
    return f"{selected} | json " + ", ".join(f'{field.name}="{field.name}"' for field in fields)


def written(selected: str, first: Field, *more: Field, last: Field | None = None) -> str:
    """Show a line by its fields: the first as it is, more of them where they are there, the last below the others."""
    parts = [
        f"{{{{ .{first.name} | trim }}}}",
        *(f"{{{{ if .{key.name} }}}} · {{{{ .{key.name} }}}}{{{{ end }}}}" for key in more),
    ]
    if last:
        parts.append(f'{{{{ if .{last.name} }}}}{{{{ "\\n" }}}}{{{{ .{last.name} }}}}{{{{ end }}}}')
    return f"{selected} | line_format `{''.join(parts)}`"


def line_rate(*matches: Match, by: Iterable[Label] = ()) -> str:
    """Count log lines per second."""
    labels = tuple(by)
    _known(labels, logs.STREAM_LABELS, "a log stream")
    return f"sum by ({', '.join(label.name for label in labels)}) (rate({lines(*matches)}[{_LOG_WINDOW}]))"


def line_count(selected: str, by: Iterable[Label | Field] = (), window: str = RANGE) -> str:
    """Count log lines in a window."""
    names = ", ".join(key.name for key in by)
    return (
        f"sum by ({names}) (count_over_time({selected} [{window}]))"
        if names
        else f"sum(count_over_time({selected} [{window}]))"
    )


def traces(attribute: Attribute, value: str, *, kind: SpanKind) -> str:
    """Select the traces with a span of this kind whose resource has this attribute."""
    return f'{{resource.{attribute.name}="{value}" && kind={kind}}}'


def legend(*keys: Label | Field) -> str:
    """Name each series by the values of these labels."""
    return " ".join(f"{{{{{key.name}}}}}" for key in keys)


def _grouped(operation: str, expression: str, metric: Metric, by: Iterable[Label]) -> str:
    labels = tuple(by)
    _declared(metric, labels)
    grouping = f" by ({', '.join(label.name for label in labels)}) " if labels else ""
    return f"{operation}{grouping}({expression})"


def _selector(metric: Metric, name: str, matches: tuple[Match, ...]) -> str:
    _declared(metric, (match.label for match in matches))
    return name + "{" + ", ".join(map(str, matches)) + "}"


def _declared(metric: Metric, labels: Iterable[Label]) -> None:
    _known((label for label in labels if label not in ADDED), metric.labels, metric.name)


def _known(labels: Iterable[Label], declared: tuple[Label, ...], owner: str) -> None:
    for label in labels:
        if label not in declared:
            names = ", ".join(sorted(known.name for known in declared))
            raise ValueError(f"{owner} has no label {label.name}: it has {names}. Use one of them, or declare it.")
