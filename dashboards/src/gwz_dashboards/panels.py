"""The kinds of panels and queries that our dashboards are made of, each with its settings made once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import Any, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    common,
    dashboard,
    gauge,
    logs,
    loki,
    piechart,
    prometheus,
    stat,
    table,
    tempo,
    timeseries,
    xychart,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BarGaugeSizing,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    LogsSortOrder,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import FieldColorModeId
from grafana_foundation_sdk.models.piechart import PieChartLegendValues, PieChartType
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import SearchTableType

PROMETHEUS_UID = "grafana_prometheus"
LOKI_UID = "grafana_loki"
TEMPO_UID = "grafana_tempo"
PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid=PROMETHEUS_UID)
LOKI = model.DataSourceRef(type_val="loki", uid=LOKI_UID)
_TEMPO = model.DataSourceRef(type_val="tempo", uid=TEMPO_UID)

GREEN, ORANGE, RED = "green", "#FF9830", "#E02620"
NOTHING = "\N{EN DASH}"
"""What a panel says instead of a number that is not known: never 0."""
NOT_YET = "No data yet"
NO_LINES = "No lines"
UNEXPLAINED = frozenset({NOTHING, NOT_YET, NO_LINES})
"""What panels say of themselves without data: one that says something else explains why it may rightly have none."""

Panel = Builder[model.Panel]
Query = Builder[Dataquery]
Links = Sequence[Builder[model.DashboardLink]]
Value = Mapping[str, tuple[str, str]]
"""A value of the data → the text and the colour that stand for it."""

_LEAST_TOPS = {"percentunit": 0.05, "locale": 1, "short": 1, "reqps": 0.1, "cps": 0.1, "ops": 0.1, "currencyUSD": 0.01}
"""By unit: where an axis ends at least. If all values are 0, Grafana's own ends at 100: of shares, at 10000 %."""
_TRACES_SHOWN = 20
LINES_SHOWN = 200
"""Lines of a panel; the range and its search narrow what is left out."""
_BAR_PX = 30
_P = TypeVar("_P", bound="_Described")


@dataclass(frozen=True)
class Steps(Builder[model.ThresholdsConfig]):
    """Colours by value: the first from below, each other from its value on."""

    base: str
    above: tuple[tuple[float, str], ...] = ()

    def from_zero(self) -> "Steps":
        """The same of numbers that are never negative, so that "nothing is known" has the colour of neither good nor bad."""
        return Steps("text", ((0.0, self.base), *self.above))

    def build(self) -> model.ThresholdsConfig:
        """Describe them as Grafana does."""
        steps = [model.Threshold(color=self.base), *(model.Threshold(value=at, color=to) for at, to in self.above)]
        return model.ThresholdsConfig(mode=model.ThresholdsMode.ABSOLUTE, steps=steps)


PLAIN = Steps("blue")
"""Neither good nor bad, where Grafana's default turns red at 80."""


def bad_from(warning: float, critical: float) -> Steps:
    """Colour what is the worse the higher it is."""
    return Steps(GREEN, ((warning, ORANGE), (critical, RED)))


def good_from(fair: float, good: float) -> Steps:
    """Colour what is the better the higher it is."""
    return Steps(RED, ((fair, ORANGE), (good, GREEN)))


class _Described(Protocol):
    def id(self, id_: int) -> Self: ...
    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def targets(self, targets: list[Query]) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...


def number(
    id_: int,
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    steps: Steps | None = None,
    values: Value | None = None,
    links: Links = (),
    trend: bool = False,
    nothing: str = NOT_YET,
    decimals: int | None = None,
) -> stat.Panel:
    """One big number, in the colour of its step if it has steps."""
    panel = (
        _described(stat.Panel(), id_, title, description, query, nothing=nothing)
        .unit(unit)
        .reduce_options(_last())
        .color_mode(BigValueColorMode.VALUE if steps or values else BigValueColorMode.NONE)
        .graph_mode(BigValueGraphMode.AREA if trend else BigValueGraphMode.NONE)
        .thresholds(steps.from_zero() if steps else PLAIN)
        .mappings(_mapped(values))
        .data_links(list(links))
    )
    return panel if decimals is None else panel.decimals(decimals)


def dial(
    id_: int,
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    steps: Steps,
    highest: float,
    nothing: str = NOTHING,
    decimals: int | None = None,
    links: Links = (),
) -> gauge.Panel:
    """A number on the scale of all that it can be."""
    panel = (
        _described(gauge.Panel(), id_, title, description, query, nothing=nothing)
        .unit(unit)
        .min(0)
        .max(highest)
        .reduce_options(_last())
        .thresholds(steps.from_zero())
        .data_links(list(links))
    )
    return panel if decimals is None else panel.decimals(decimals)


def tiles(
    id_: int,
    title: str,
    description: str,
    query: Query,
    *,
    name: str,
    value: str,
    values: Value,
    links: Links = (),
    nothing: str = NOTHING,
) -> stat.Panel:
    """One tile for each row of a table, named by one field and coloured by another."""
    return (
        _described(stat.Panel(), id_, title, description, query, nothing=nothing)
        .unit("none")
        # The values are words: a field of its own for each is what the panel can name and colour.
        .with_transformation(_fields_of_rows(name, value))
        .reduce_options(_last().fields("/.*/"))
        .text_mode(BigValueTextMode.VALUE_AND_NAME)
        .color_mode(BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(BigValueGraphMode.NONE)
        .text(common.VizTextDisplayOptions().title_size(14).value_size(16))
        .thresholds(Steps("text"))
        .mappings(_mapped(values))
        .data_links(list(links))
    )


def over_time(
    id_: int,
    title: str,
    description: str,
    unit: str,
    *targets: Query,
    steps: Steps | None = None,
    highest: float | None = None,
    links: Links = (),
    legend_right: bool = False,
    nothing: str = NOT_YET,
) -> timeseries.Panel:
    """Lines over time, named in a legend with their last and highest values."""
    panel = (
        _described(timeseries.Panel(), id_, title, description, *targets, nothing=nothing)
        .unit(unit)
        .min(0)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.RIGHT if legend_right else LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        # Many areas on top of one another hide the lines.
        .fill_opacity(0 if legend_right else 10)
        .show_points(VisibilityMode.AUTO)
        .data_links(list(links))
    )
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(steps).thresholds_style(style)
    if highest is not None:
        return panel.max(highest)
    return panel.axis_soft_max(_LEAST_TOPS[unit]) if unit in _LEAST_TOPS else panel


def by_hour(
    id_: int,
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    time: str,
    steps: Steps | None = None,
    nothing: str = NOT_YET,
) -> barchart.Panel:
    """A column for each row of a table, named by its time, whatever range the dashboard shows."""
    panel = (
        _described(barchart.Panel(), id_, title, description, query, nothing=nothing)
        .unit(unit)
        .min(0)
        .x_field(time)
        .x_tick_label_spacing(100)
        .show_value(VisibilityMode.NEVER)
        .legend(common.VizLegendOptions().show_legend(False))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.SINGLE).sort(SortOrder.NONE))
    )
    if unit in _LEAST_TOPS:
        panel = panel.axis_soft_max(_LEAST_TOPS[unit])
    if steps:
        return panel.thresholds(steps).color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    return panel.color_scheme(_blue())


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """Draw one on top of the other, where the sum means something."""
    return panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A")).fill_opacity(30)


def coloured(panel: timeseries.Panel, colours: Mapping[str, str]) -> timeseries.Panel:
    """Give series the colours that their names call for."""
    for name, colour in colours.items():
        panel.override_by_name(name, [_fixed(colour)])
    return panel


def bars(
    id_: int,
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    steps: Steps | None = None,
    highest: float | None = None,
    rows_of: Sequence[str] = (),
    links: Links = (),
    nothing: str = NOTHING,
) -> bargauge.Panel:
    """One bar for each series as it stands now, or with `rows_of` for each row of a table, named by these fields."""
    panel = (
        _described(bargauge.Panel(), id_, title, description, query, nothing=nothing)
        .unit(unit)
        .min(0)
        .reduce_options(
            common.ReduceDataOptions().values(True).calcs(["lastNotNull"]).limit(60) if rows_of else _last()
        )
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)  # a gradient begins with red even where all is well
        # One height for few and for many: Grafana sizes the names by it, and cuts them in any other size.
        .sizing(BarGaugeSizing.MANUAL)
        .min_viz_height(_BAR_PX)
        .max_viz_height(_BAR_PX)
        .text(common.VizTextDisplayOptions().value_size(16))
        .data_links(list(links))
    )
    if rows_of:
        panel = panel.display_name(" ".join(f"${{__data.fields.{name}}}" for name in rows_of))
    if highest is not None:
        panel = panel.max(highest)
    if steps:
        return panel.thresholds(steps)
    # Counts are neither good nor bad: one colour, where the default turns red at 80.
    return panel.color_scheme(_blue())


def pie(
    id_: int,
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    name: str,
    value: str,
    ring: bool = False,
    legend: Sequence[str] = ("percent",),
    links: Links = (),
    nothing: str = NOTHING,
) -> piechart.Panel:
    """The shares of a whole, one for each row of a table, named by one field and measured by another."""
    return (
        _described(piechart.Panel(), id_, title, description, query, nothing=nothing)
        .unit(unit)
        .pie_type(PieChartType.DONUT if ring else PieChartType.PIE)
        # As rows of one field they would be coloured by what they count: alike where they count alike.
        .with_transformation(_fields_of_rows(name, value))
        .reduce_options(_last())
        .legend(
            piechart.PieChartLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.RIGHT)
            .values([PieChartLegendValues(value) for value in legend])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.SINGLE).sort(SortOrder.NONE))
        .data_links(list(links))
    )


@dataclass(frozen=True)
class Bubbles:
    """The fields of a table that a bubble's place, size and colour are made of."""

    x: str
    y: str
    size: str
    colour: str


def bubbles(
    id_: int,
    title: str,
    description: str,
    query: Query,
    *,
    fields: Bubbles,
    units: Mapping[str, str],
    steps: Steps,
    nothing: str = NOTHING,
) -> Panel:
    """One bubble for each row of a table; pointing at one names it."""
    panel = _described(xychart.Panel(), id_, title, description, query, nothing=nothing).unit("none")
    panel = panel.thresholds(steps).color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    for name, unit in units.items():
        axis = {"unit": unit, "custom.axisLabel": name, **({"min": 0, "decimals": 3} if name == fields.x else {})}
        panel = panel.override_by_name(
            name, [model.DynamicConfigValue(id_val=key, value=to) for key, to in axis.items()]
        )
    return _Bubbled(panel, fields)


@dataclass(frozen=True)
class _Bubbled(Builder[model.Panel]):
    """Writes the options as Grafana 11.0 has them: the later ones, whose form is another, read these too, but not the reverse."""

    panel: xychart.Panel
    fields: Bubbles

    def build(self) -> model.Panel:
        panel = self.panel.build()
        of: dict[str, Any] = {
            "x": self.fields.x,
            "y": self.fields.y,
            "pointSize": {"field": self.fields.size, "fixed": 10, "min": 6, "max": 40, "mode": "linear"},
            "pointColor": {"field": self.fields.colour, "fixed": "blue"},
        }
        panel.options = {
            "seriesMapping": "manual",
            "series": [of],
            "dims": {"frame": 0},
            "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
            "tooltip": {"mode": "single", "sort": "none"},
        }
        return panel


def lines_of_log(id_: int, title: str, description: str, expression: str, *, nothing: str = NO_LINES) -> logs.Panel:
    """Log lines, newest first, as many as a person reads: of a thousand, each with labels of its own, Loki takes seconds."""
    return (
        _described(logs.Panel(), id_, title, description, logql(expression).max_lines(LINES_SHOWN), nothing=nothing)
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .sort_order(LogsSortOrder.DESCENDING)
    )


@dataclass(frozen=True)
class Shown:
    """How a column of a table is shown: its unit, its colours, a bar in its cell, where a click leads."""

    unit: str = ""
    steps: Steps | None = None
    values: Value | None = None
    bar: bool = False
    width: int | None = None
    decimals: int | None = None
    title: str = ""
    links: Links = ()

    def properties(self) -> list[model.DynamicConfigValue]:
        """Describe it as Grafana does."""
        found: dict[str, Any] = {
            "unit": self.unit,
            "thresholds": self.steps.build() if self.steps else None,
            "mappings": _mapped(self.values),
            "custom.cellOptions": {"type": "color-text"} if self.steps or self.values else None,
            "custom.width": self.width,
            "decimals": self.decimals,
            "displayName": self.title,
            "links": [link.build() for link in self.links],
            **(_BAR if self.bar else {}),
        }
        return [
            model.DynamicConfigValue(id_val=key, value=value)
            for key, value in found.items()
            if value not in (None, "", [])
        ]


_BAR: dict[str, Any] = {
    "custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
    "color": {"mode": "fixed", "fixedColor": "blue"},
    # Against the other rows of the column, not against the numbers of other columns.
    "min": 0.0,
    "fieldMinMax": True,
}


def rows(
    id_: int,
    title: str,
    description: str,
    *targets: Query,
    shown: Mapping[str, Shown] | None = None,
    order: Sequence[str] = (),
    sorted_by: str = "",
    joined_by: str = "",
    nothing: str = NOTHING,
) -> table.Panel:
    """A table: its columns in `order`, joined from several queries by the field that they share."""
    panel = _described(table.Panel(), id_, title, description, *targets, nothing=nothing)
    if joined_by:
        panel = panel.with_transformation(
            model.DataTransformerConfig(id_val="joinByField", options={"byField": joined_by, "mode": "outer"})
        )
    if order:
        # A join names a column after its query as well: `Calls A`.
        letters = [f" {letter}" for letter, _ in zip(ascii_uppercase, targets, strict=False)] if joined_by else []
        places = {name + letter: index for index, name in enumerate(order) for letter in ("", *letters)}
        panel = panel.with_transformation(
            # What is not named, such as the time of a query, is left out.
            model.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": list(order)}})
        ).with_transformation(
            model.DataTransformerConfig(id_val="organize", options={"indexByName": places, "excludeByName": {}})
        )
    for name, how in (shown or {}).items():
        named = replace(how, title=how.title or name) if joined_by else how
        panel = panel.override_by_name(name, named.properties())
    return panel.sort_by([common.TableSortByFieldState().display_name(sorted_by).desc(True)]) if sorted_by else panel


def promql(expression: str, legend: str, *, exemplars: bool = False) -> Query:
    """Ask Prometheus for the whole range."""
    query = prometheus.Dataquery().datasource(PROMETHEUS).range().expr(expression).legend_format(legend)
    return query.exemplar(True) if exemplars else query


def promql_now(expression: str, legend: str) -> Query:
    """Ask Prometheus for the end of the range."""
    return prometheus.Dataquery().datasource(PROMETHEUS).instant().expr(expression).legend_format(legend)


def promql_rows(expression: str) -> Query:
    """Ask Prometheus for the end of the range, as a table of labels and values."""
    return prometheus.Dataquery().datasource(PROMETHEUS).instant().expr(expression).format(PromQueryFormat.TABLE)


def logql(expression: str, legend: str = "") -> loki.Dataquery:
    """Ask Loki for the whole range."""
    query = loki.Dataquery().datasource(LOKI).query_type("range").expr(expression)
    return query.legend_format(legend) if legend else query


def logql_now(expression: str, legend: str) -> Query:
    """Ask Loki for the end of the range."""
    return loki.Dataquery().datasource(LOKI).query_type("instant").expr(expression).legend_format(legend)


def traceql(query: str) -> Query:
    """Ask Tempo for traces."""
    return (
        tempo.TempoQuery()
        .datasource(_TEMPO)
        .query_type("traceql")
        .query(query)
        .limit(_TRACES_SHOWN)
        .table_type(SearchTableType.TRACES)
    )


def _described(panel: _P, id_: int, title: str, description: str, *targets: Query, nothing: str) -> _P:
    return panel.id(id_).title(title).description(description).targets(list(targets)).no_value(nothing)


def _mapped(values: Value | None) -> list[model.ValueMapping]:
    if not values:
        return []
    results = {
        key: model.ValueMappingResult(text=text, color=colour, index=index)
        for index, (key, (text, colour)) in enumerate(values.items())
    }
    return [model.ValueMap(options=results)]


def _blue() -> dashboard.FieldColor:
    return dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color("blue")


def _fixed(colour: str) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})


def _fields_of_rows(name: str, value: str) -> model.DataTransformerConfig:
    """Make a field of each row, named by one of its fields."""
    by_name = [{"fieldName": name, "handlerKey": "field.name"}, {"fieldName": value, "handlerKey": "field.value"}]
    return model.DataTransformerConfig(id_val="rowsToFields", options={"mappings": by_name})


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])
