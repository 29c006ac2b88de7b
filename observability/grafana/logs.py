"""Panels that ask Loki."""

from __future__ import annotations

from grafana_foundation_sdk.builders import common, logs, loki, timeseries
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, LogsSortOrder, StackingMode

from observability.grafana.panels import Words, runbook_link

LOKI = models.DataSourceRef(type_val="loki", uid="loki")
MOST_LINES = 200


def lines(title: str, query: str, *, words: Words, width: int = 24) -> logs.Panel:
    """The newest lines that a LogQL ``query`` finds."""
    return (
        logs.Panel().title(title).description(words.description).links([runbook_link(words)])
        .datasource(LOKI).height(10).span(width).show_time(True).wrap_log_message(True).enable_log_details(True)
        .sort_order(LogsSortOrder.DESCENDING)
        .with_target(loki.Dataquery().ref_id("A").datasource(LOKI).expr(query).max_lines(MOST_LINES))
    )  # fmt: skip


def counted(title: str, query: str, legend: str, *, words: Words, width: int = 12) -> timeseries.Panel:
    """Lines over time, as a LogQL ``query`` counts them."""
    return (
        timeseries.Panel().title(title).description(words.description).links([runbook_link(words)])
        .datasource(LOKI).height(8).span(width).min(0).line_width(1).fill_opacity(12)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL))
        .legend(
            common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM).calcs(["sum"])
        )
        .with_target(loki.Dataquery().ref_id("A").datasource(LOKI).expr(query).legend_format(legend).range(True))
    )  # fmt: skip
