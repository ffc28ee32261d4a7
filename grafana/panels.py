"""The kinds of panels we use. Each takes a title, a description that says what to make of it, a unit and queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.frame import DATASOURCE

Panel = TypeVar("Panel", stat.Panel, timeseries.Panel, heatmap.Panel, statetimeline.Panel)
Queries = Mapping[str, str]  # legend to PromQL
Steps = Sequence[tuple[float | None, str]]  # from which value on which colour

NS = 'namespace=~"$namespace"'
Q = 'namespace=~"$namespace", queue=~"$queue"'
PLAIN: Steps = ((None, "green"),)
BAD_ABOVE_ZERO: Steps = ((None, "green"), (1, "red"))
GOOD_ABOVE_ZERO: Steps = ((None, "red"), (1, "green"))


def number(title: str, about: str, unit: str, query: str, steps: Steps = PLAIN, *, width: int = 4) -> stat.Panel:
    """One number, coloured by thresholds."""
    panel = (
        stat.Panel().color_mode(BigValueColorMode.BACKGROUND).reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    )
    return _with(panel, title, about, unit, {title: query}, steps, width, 4)


def graph(
    title: str, about: str, unit: str, queries: Queries, steps: Steps = PLAIN, *, width: int = 12, stacked: bool = False
) -> timeseries.Panel:
    """Lines over time; with `steps` beyond the plain one, dashed threshold lines."""
    panel = timeseries.Panel().min(0).fill_opacity(30 if stacked else 8).show_points(VisibilityMode.NEVER)
    panel = panel.legend(_legend()).tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    if stacked:
        panel = panel.stacking(StackingConfig().mode(StackingMode.NORMAL))
    if len(steps) > 1:
        panel = panel.thresholds_style(GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    return _with(panel, title, about, unit, queries, steps, width, 8)


def against(title: str, about: str, unit: str, queries: Queries, limit: str, *, width: int = 12) -> timeseries.Panel:
    """Lines over time with a threshold that is read from a metric: the query `limit`."""
    panel = graph(title, about, unit, {**queries, "limit": limit}, ((None, "green"), (300, "red")), width=width)
    reference = chr(ord("A") + len(queries))
    field_config = {"configRefId": reference, "mappings": [{"fieldName": "limit", "handlerKey": "threshold1"}]}
    return panel.with_transformation(DataTransformerConfig(id_val="configFromData", options=field_config))


def heat(title: str, about: str, query: str, *, width: int = 12) -> heatmap.Panel:
    """A histogram over time, from rates of its buckets; rows in seconds."""
    panel = heatmap.Panel().calculate(False).show_legend().y_axis(heatmap.YAxisConfig().unit("s"))
    panel = panel.rows_frame(heatmap.RowsHeatmapOptions().value("per second"))
    panel = panel.color(heatmap.HeatmapColorOptions().scheme("Oranges").steps(64))
    target = _target("A", "{{le}}", query).format(PromQueryFormat.HEATMAP)
    return _framed(panel, title, about, "ops", PLAIN, width, 8).with_target(target)


def states(
    title: str, about: str, queries: Queries, words: Mapping[int, tuple[str, str]], *, width: int = 12
) -> statetimeline.Panel:
    """A band for each series that says in words what its value means."""
    options = {
        str(value): ValueMappingResult(text=text, color=colour, index=n)
        for n, (value, (text, colour)) in enumerate(words.items())
    }
    panel = statetimeline.Panel().mappings([ValueMap(options=options)]).show_value(VisibilityMode.NEVER)
    return _with(panel.legend(_legend()), title, about, "short", queries, PLAIN, width, 8)


def _legend() -> VizLegendOptions:
    return VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)


def _with(
    panel: Panel, title: str, about: str, unit: str, queries: Queries, steps: Steps, width: int, height: int
) -> Panel:
    panel = _framed(panel, title, about, unit, steps, width, height)
    for reference, (legend, query) in zip("ABCDEFGH", queries.items(), strict=False):
        panel = panel.with_target(_target(reference, legend, query))
    return panel


def _framed(panel: Panel, title: str, about: str, unit: str, steps: Steps, width: int, height: int) -> Panel:
    thresholds = ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE)
    thresholds = thresholds.steps([Threshold(value=value, color=colour) for value, colour in steps])
    panel = panel.title(title).description(about).datasource(DATASOURCE).unit(unit)
    return panel.thresholds(thresholds).span(width).height(height)


def _target(reference: str, legend: str, query: str) -> Dataquery:
    return Dataquery().ref_id(reference).datasource(DATASOURCE).expr(query).legend_format(legend).range()
