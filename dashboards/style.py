"""How panels look, once: units, legends, colours that hold on light and dark."""

from __future__ import annotations

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
    xychart,
)
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_options
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = options.DataSourceRef(type_val="prometheus", uid="${datasource}")

# Grafana's own names of colours: it shows each in a shade for the theme. A code would be one shade.
# Yellow words cannot be read on white.
GOOD, WARNING, BAD, NEUTRAL, UNSURE = "green", "orange", "red", "blue", "orange"
# Of words and numbers that are neither good nor bad; and of stretches in which nothing is.
QUIET, NOTHING = "text", "transparent"

FULL_WIDTH = 24
HALF = 12
TALL = 9
LOW = 4
# Of a column, in pixels: Grafana's own 150 leave room for ten.
NARROW = 80
WIDTHS = {"Run": 160, "Model": 180, "Runtime": 110, "Peak memory": 110, "Ended": 115}
# For lines with long names: their legend needs the room.
HIGH = 13

# Not one of Grafana's own units: it writes what stands behind the colon.
ITERATIONS = "suffix:it/s"

Mapping = dict[str, tuple[str, str]]
Properties = dict[str, object]

# --- queries -----------------------------------------------------------------------------------


def line(ref: str, expression: str, legend: str) -> prometheus.Dataquery:
    """A query over the time of the chart."""
    return prometheus.Dataquery().ref_id(ref).expr(expression).legend_format(legend).range()


def value(ref: str, expression: str, legend: str = "") -> prometheus.Dataquery:
    """A query at the end of the chart, for one number."""
    return prometheus.Dataquery().ref_id(ref).expr(expression).legend_format(legend).instant()


def column(ref: str, expression: str) -> prometheus.Dataquery:
    """A query at the end of the chart, for a table: a row for each series."""
    return value(ref, expression).format(PromQueryFormat.TABLE)


# --- parts -------------------------------------------------------------------------------------


def thresholds(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """``(None, "green"), (1, "red")``: the first is below all others."""
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=number, color=color) for number, color in steps])
    )


def words(meaning: Mapping) -> list[model.ValueMapping]:
    """``{"1": ("up", "green")}``: text and colour in the place of a value."""
    results = {
        key: model.ValueMappingResult(text=text, color=color, index=index)
        for index, (key, (text, color)) in enumerate(meaning.items())
    }
    return [model.ValueMap(options=results)]


def properties(values: Properties) -> list[model.DynamicConfigValue]:
    return [model.DynamicConfigValue(id_val=key, value=each) for key, each in values.items()]


def link(title: str, url: str, *, new_tab: bool = False) -> dict[str, object]:
    """A data link, for an override."""
    return {"title": title, "url": url, "targetBlank": new_tab}


def transformation(name: str, settings: dict[str, object]) -> model.DataTransformerConfig:
    return model.DataTransformerConfig(id_val=name, options=settings)


def color(mode: model.FieldColorModeId, fixed: str | None = None) -> dashboard.FieldColor:
    built = dashboard.FieldColor().mode(mode)
    return built if fixed is None else built.fixed_color(fixed)


def palette() -> dashboard.FieldColor:
    """By the order of the lines, so that neighbours differ.

    Colours that go by the name are the same in every chart, but many are alike: on a dark ground
    most are pale.
    """
    return color(model.FieldColorModeId.PALETTE_CLASSIC)


def _legend(*calculations: str) -> common.VizLegendOptions:
    # The builder hides the legend unless it is told to show it.
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(options.LegendDisplayMode.TABLE)
        .placement(options.LegendPlacement.BOTTOM)
        .calcs(list(calculations))
    )


def _tooltip() -> common.VizTooltipOptions:
    return (
        common.VizTooltipOptions()
        .mode(options.TooltipDisplayMode.MULTI)
        .sort(options.SortOrder.DESCENDING)
    )


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")


# --- panels ------------------------------------------------------------------------------------


def number(title: str, description: str, unit: str = "short", span: int = 4) -> stat.Panel:
    """One big number."""
    return (
        stat.Panel()
        .title(title).description(description).datasource(DATASOURCE)
        .unit(unit).span(span).height(LOW)
        .reduce_options(_last())
        .color_mode(options.BigValueColorMode.VALUE)
        .graph_mode(options.BigValueGraphMode.NONE)
        .text_mode(options.BigValueTextMode.VALUE)
        .thresholds(thresholds((None, QUIET)))
        .no_value("none")
    )  # fmt: skip


def chart(
    title: str,
    description: str,
    unit: str,
    span: int = HALF,
    *,
    logarithmic: bool = False,
) -> timeseries.Panel:
    """Lines over time."""
    scale = common.ScaleDistributionConfig().type(options.ScaleDistribution.LINEAR)
    if logarithmic:
        scale = common.ScaleDistributionConfig().type(options.ScaleDistribution.LOG).log(10)
    return (
        timeseries.Panel()
        .title(title).description(description).datasource(DATASOURCE)
        .unit(unit).span(span).height(TALL)
        .legend(_legend("lastNotNull", "min", "max")).tooltip(_tooltip())
        .color_scheme(palette())
        .line_width(2).fill_opacity(0).gradient_mode(options.GraphGradientMode.NONE)
        .line_interpolation(options.LineInterpolation.STEP_AFTER)
        .show_points(options.VisibilityMode.AUTO).point_size(5)
        .scale_distribution(scale)
        .thresholds(thresholds((None, GOOD)))
    )  # fmt: skip


def limits(panel: timeseries.Panel, *steps: tuple[float | None, str]) -> timeseries.Panel:
    """Thresholds as dashed lines across a chart."""
    style = common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED)
    return panel.thresholds(thresholds(*steps)).thresholds_style(style)


def dashed(panel: timeseries.Panel, ref: str) -> timeseries.Panel:
    """A query's lines thin, dashed, grey and out of the legend; the first query's stand out."""
    return panel.override_by_query(
        ref,
        properties({
            "color": {"mode": "fixed", "fixedColor": QUIET},
            "custom.lineWidth": 1,
            "custom.lineStyle": {"fill": "dash", "dash": [4, 6]},
            "custom.showPoints": "never",
            "custom.hideFrom": {"legend": True, "tooltip": False, "viz": False},
        }),
    )  # fmt: skip


def density(title: str, description: str, unit: str, span: int = FULL_WIDTH) -> heatmap.Panel:
    """How many calls fell into which bucket, over time."""
    return (
        heatmap.Panel()
        .title(title).description(description).datasource(DATASOURCE)
        .unit("short").span(span).height(TALL)
        .thresholds(thresholds((None, GOOD)))
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(options.AxisPlacement.LEFT))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_options.HeatmapColorMode.SCHEME).scheme("Oranges").fill("dark-orange")
            .scale(heatmap_options.HeatmapColorScale.EXPONENTIAL).exponent(0.5).steps(64)
        )
        .cell_gap(1).filter_values(heatmap.FilterValueRange().le(1e-9))
        .tooltip(
            heatmap.HeatmapTooltip().mode(options.TooltipDisplayMode.SINGLE).y_histogram(True)
        )
        .exemplars_color(WARNING).show_legend()
    )  # fmt: skip


def states(title: str, description: str, meaning: Mapping, span: int = HALF) -> statetimeline.Panel:
    """A row of coloured stretches for each series."""
    return (
        statetimeline.Panel()
        .title(title).description(description).datasource(DATASOURCE)
        .unit("short").span(span).height(TALL)
        .mappings(words(meaning))
        .color_scheme(color(model.FieldColorModeId.THRESHOLDS))
        .thresholds(thresholds((None, NOTHING)))
        .merge_values(True).show_value(options.VisibilityMode.NEVER).row_height(0.8)
        .fill_opacity(75).line_width(0)
        .legend(_legend()).tooltip(_tooltip())
    )  # fmt: skip


def grid(title: str, description: str, span: int = FULL_WIDTH) -> table.Panel:
    """A table whose columns can be filtered; say the unit of each column by an override."""
    return (
        table.Panel()
        .title(title).description(description).datasource(DATASOURCE)
        .span(span).height(TALL)
        .unit("short").filterable(True).show_header(True)
        .cell_height(options.TableCellHeight.SM).min_width(NARROW)
        .color_scheme(color(model.FieldColorModeId.THRESHOLDS))
        .thresholds(thresholds((None, QUIET)))
        .no_value("–")
    )  # fmt: skip


def columns(panel: table.Panel, names: dict[str, str], hidden: tuple[str, ...] = ()) -> table.Panel:
    """Merge the queries of a table by their labels; name the columns, in this order.

    What one looks for comes first: a table of many columns is wider than a screen.
    """
    settings: dict[str, object] = {
        "excludeByName": dict.fromkeys(("Time", *hidden), True),
        "indexByName": {name: index for index, name in enumerate(names)},
        "renameByName": names,
        "includeByName": {},
    }
    panel = panel.transformations(
        [transformation("merge", {}), transformation("organize", settings)]
    )
    for name, pixels in WIDTHS.items():
        if name in names.values():
            panel = panel.override_by_name(name, properties({"custom.width": pixels}))
    return panel


def bars(title: str, description: str, unit: str, span: int = HALF) -> barchart.Panel:
    """Groups of bars, a group for each model and a bar for each device."""
    return (
        barchart.Panel()
        .title(title).description(description).datasource(DATASOURCE)
        .unit(unit).span(span).height(TALL)
        .orientation(options.VizOrientation.HORIZONTAL)
        .show_value(options.VisibilityMode.AUTO).bar_width(0.9).group_width(0.75).fill_opacity(80)
        .color_scheme(palette())
        .thresholds(thresholds((None, GOOD)))
        .legend(_legend()).tooltip(_tooltip())
        .transformations([matrix()])
    )  # fmt: skip


def matrix() -> model.DataTransformerConfig:
    """Series of model and device → a row for each model, a column for each device."""
    return transformation(
        "groupingToMatrix",
        {"rowField": "model", "columnField": "device", "valueField": "Value", "emptyValue": "null"},
    )


def gauges(title: str, description: str, unit: str, span: int = HALF) -> bargauge.Panel:
    """A horizontal bar for each series, at the end of the chart."""
    return (
        bargauge.Panel()
        .title(title).description(description).datasource(DATASOURCE)
        .unit(unit).span(span).height(TALL)
        .reduce_options(_last())
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .show_unfilled(True)
    )  # fmt: skip


def scatter(title: str, description: str, span: int = HALF) -> xychart.Panel:
    """A point for each configuration; name the fields of both axes by ``columns``' rules."""
    return (
        xychart.Panel()
        .title(title).description(description).datasource(DATASOURCE)
        .unit("short").span(span).height(TALL)
        .color_scheme(palette())
        .thresholds(thresholds((None, GOOD)))
        .point_size(xychart.XychartFieldConfigPointSize().fixed(9))
        .legend(_legend()).tooltip(_tooltip())
    )  # fmt: skip
