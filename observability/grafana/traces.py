"""Panels that ask Tempo."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table, tempo
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.tempo import SearchTableType

from observability.grafana.panels import Words, runbook_link

TEMPO = models.DataSourceRef(type_val="tempo", uid="tempo")


def traces(title: str, query: str, *, words: Words, width: int = 12) -> table.Panel:
    """The newest traces that a TraceQL ``query`` finds, a line each."""
    return (
        table.Panel().title(title).description(words.description).links([runbook_link(words)])
        .datasource(TEMPO).height(8).span(width).no_value("no data")
        .with_target(
            tempo.TempoQuery().ref_id("A").datasource(TEMPO).query_type("traceql").query(query).limit(20)
            .table_type(SearchTableType.TRACES)
        )
    )  # fmt: skip
