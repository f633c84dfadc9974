"""The kinds of panels and queries that our dashboards are made of, each with its settings made once."""

from collections.abc import Mapping

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    logs,
    loki,
    prometheus,
    stat,
    table,
    tempo,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    LogsSortOrder,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import FieldColorModeId
from grafana_foundation_sdk.models.tempo import SearchTableType

PROMETHEUS_UID = "grafana_prometheus"
LOKI_UID = "grafana_loki"
TEMPO_UID = "grafana_tempo"
PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid=PROMETHEUS_UID)
_LOKI = model.DataSourceRef(type_val="loki", uid=LOKI_UID)
_TEMPO = model.DataSourceRef(type_val="tempo", uid=TEMPO_UID)

Panel = Builder[model.Panel]
Query = Builder[Dataquery]

_TRACES_SHOWN = 20


def number(id_: int, title: str, description: str, unit: str, query: Query) -> Panel:
    """One big number."""
    return (
        stat.Panel()
        .id(id_)
        .title(title)
        .description(description)
        .unit(unit)
        .with_target(query)
        .reduce_options(_last())
        .color_mode(BigValueColorMode.NONE)
        .graph_mode(BigValueGraphMode.NONE)
    )


def over_time(id_: int, title: str, description: str, unit: str, *targets: Query) -> timeseries.Panel:
    """Lines over time, named in a legend with their last and highest values."""
    return (
        timeseries.Panel()
        .id(id_)
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .targets(list(targets))
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .fill_opacity(10)
        .show_points(VisibilityMode.NEVER)
    )


def coloured(panel: timeseries.Panel, colours: Mapping[str, str]) -> Panel:
    """Give series the colours that their names call for."""
    for name, colour in colours.items():
        fixed = model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})
        panel.override_by_name(name, [fixed])
    return panel


def bars(id_: int, title: str, description: str, unit: str, query: Query) -> Panel:
    """One bar for each series, as it stands now."""
    return (
        bargauge.Panel()
        .id(id_)
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .with_target(query)
        .reduce_options(_last())
        .orientation(VizOrientation.HORIZONTAL)
        # Counts are neither good nor bad: one colour, where the default turns red at 80.
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.FIXED).fixed_color("blue"))
        .text(common.VizTextDisplayOptions().title_size(14).value_size(18))
    )


def lines_of_log(id_: int, title: str, description: str, query: Query) -> Panel:
    """Log lines, newest first."""
    return (
        logs.Panel()
        .id(id_)
        .title(title)
        .description(description)
        .with_target(query)
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .sort_order(LogsSortOrder.DESCENDING)
    )


def rows(id_: int, title: str, description: str, query: Query) -> Panel:
    """A table."""
    return table.Panel().id(id_).title(title).description(description).with_target(query)


def promql(expression: str, legend: str, *, exemplars: bool = False) -> Query:
    """Ask Prometheus for the whole range."""
    query = prometheus.Dataquery().datasource(PROMETHEUS).range().expr(expression).legend_format(legend)
    return query.exemplar(True) if exemplars else query


def promql_now(expression: str, legend: str) -> Query:
    """Ask Prometheus for the end of the range."""
    return prometheus.Dataquery().datasource(PROMETHEUS).instant().expr(expression).legend_format(legend)


def logql(expression: str, legend: str = "") -> Query:
    """Ask Loki for the whole range."""
    query = loki.Dataquery().datasource(_LOKI).query_type("range").expr(expression)
    return query.legend_format(legend) if legend else query


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


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])
