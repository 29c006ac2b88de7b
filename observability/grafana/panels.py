"""The kinds of panels that the dashboards are made of, each with what it means, what is normal and where to go on.

A panel without these three is a picture that nobody can act on at night, so none can be made without them.
Queries end with ``[$__rate_interval]`` where they are about now, and with ``[$__range]`` where a figure is about all
that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from observability.grafana.runbooks import Runbook, runbook_url

PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="prometheus")
GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"
MOST_SHOWN = 10  # rows of what is looked at by its largest

Calculation = Literal["lastNotNull", "max"]


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and what its lines are called: ``{{label}}`` stands for a label's value."""

    expr: str
    legend: str = ""
    exemplar: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """What a panel says of itself, and the runbook it leads to."""

    means: str
    normal: str
    runbook: Runbook

    @property
    def description(self) -> str:
        return f"{self.means}\n\n**Normal:** {self.normal}"


@dataclass(frozen=True, slots=True)
class Levels:
    """From which value on a figure is green, orange or red; the first colour holds below the first value."""

    first: str
    steps: tuple[tuple[float, str], ...]

    def build(self) -> dashboard.ThresholdsConfig:
        steps = [models.Threshold(value=None, color=self.first)]
        steps += [models.Threshold(value=value, color=color) for value, color in self.steps]
        return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


PLAIN = Levels(BLUE, ())


def above(warning: float, bad: float | None = None) -> Levels:
    """Bad when it is large; with one value there is nothing between well and bad."""
    if bad is None:
        return Levels(GREEN, ((warning, RED),))
    return Levels(GREEN, ((warning, ORANGE), (bad, RED)))


def below(warning: float, bad: float) -> Levels:
    """Bad when it is small."""
    return Levels(RED, ((bad, ORANGE), (warning, GREEN)))


YES_IS_BAD = above(1)
YES_IS_GOOD = Levels(RED, ((1, GREEN),))


def trend(
    title: str,
    *queries: Query,
    words: Words,
    unit: str = "short",
    levels: Levels | None = None,
    width: int = 12,
    stacked: bool = False,
    highest: float | None = None,
) -> timeseries.Panel:
    """Lines over time. ``levels`` are drawn as dashed lines across."""
    panel = (
        timeseries.Panel().title(title).description(words.description).links([runbook_link(words)])
        .datasource(PROMETHEUS).height(8).span(width).unit(unit).min(0).line_width(1).fill_opacity(12 if stacked else 4)
        .legend(
            common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )  # fmt: skip
    if highest is not None:
        panel.max(highest)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if levels is not None:
        panel.thresholds(levels.build())
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(_target(query, letter).range())
    return panel


def figure(
    title: str,
    query: Query,
    *,
    words: Words,
    unit: str = "short",
    levels: Levels = PLAIN,
    states: Mapping[int, str] | None = None,
    width: int = 4,
    decimals: int | None = None,
) -> stat.Panel:
    """One number as it is now; ``states`` says it in a word where it stands for one."""
    panel = (
        stat.Panel().title(title).description(words.description).links([runbook_link(words)])
        .datasource(PROMETHEUS).height(4).span(width).unit(unit).thresholds(levels.build()).no_value("no data")
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(query, "A").instant())
    )  # fmt: skip
    if decimals is not None:
        panel.decimals(decimals)
    if states is not None:
        results = {str(value): models.ValueMappingResult(text=text) for value, text in states.items()}
        panel.mappings([models.ValueMap(options=results)])
    return panel


def bars(
    title: str,
    query: Query,
    *,
    words: Words,
    unit: str = "short",
    levels: Levels = PLAIN,
    width: int = 12,
    highest: float | None = None,
) -> bargauge.Panel:
    """One bar for each line of the answer, as it is now."""
    panel = (
        bargauge.Panel().title(title).description(words.description).links([runbook_link(words)])
        .datasource(PROMETHEUS).height(8).span(width).unit(unit).min(0).thresholds(levels.build()).no_value("no data")
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .orientation(VizOrientation.HORIZONTAL).display_mode(BarGaugeDisplayMode.BASIC)
        .with_target(_target(query, "A").instant())
    )  # fmt: skip
    return panel if highest is None else panel.max(highest)


def listing(
    title: str, query: Query, *, words: Words, columns: Mapping[str, str], unit: str = "short", width: int = 12
) -> table.Panel:
    """A table of labels and one value, as it is now. ``columns`` names what is shown, in order, by label; ``Value`` is
    the number."""
    hidden = models.DataTransformerConfig(
        id_val="filterFieldsByName", options={"include": {"names": list(columns)}},
    )  # fmt: skip
    named = models.DataTransformerConfig(
        id_val="organize",
        options={
            "indexByName": {label: place for place, label in enumerate(columns)},
            "renameByName": dict(columns),
        },
    )
    return (
        table.Panel().title(title).description(words.description).links([runbook_link(words)])
        .datasource(PROMETHEUS).height(8).span(width).no_value("no data")
        .with_target(_target(query, "A").instant().format(PromQueryFormat.TABLE))
        .with_transformation(hidden).with_transformation(named)
        .override_by_name(columns["Value"], [models.DynamicConfigValue(id_val="unit", value=unit)])
    )  # fmt: skip


def cloud(title: str, query: Query, *, words: Words, unit: str = "s", width: int = 12) -> heatmap.Panel:
    """A histogram over time: how many fell into which bucket."""
    return (
        heatmap.Panel().title(title).description(words.description).links([runbook_link(words)])
        .datasource(PROMETHEUS).height(8).span(width).y_axis(heatmap.YAxisConfig().unit(unit)).show_legend()
        .with_target(_target(query, "A").range().format(PromQueryFormat.HEATMAP))
    )  # fmt: skip


def _target(query: Query, letter: str) -> prometheus.Dataquery:
    made = prometheus.Dataquery().ref_id(letter).datasource(PROMETHEUS).expr(" ".join(query.expr.split()))
    if query.legend:
        made.legend_format(query.legend)
    return made.exemplar(True) if query.exemplar else made


def runbook_link(words: Words) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("What to do").type(models.DashboardLinkType.LINK).target_blank(True)
        .url(runbook_url(words.runbook))
    )  # fmt: skip
