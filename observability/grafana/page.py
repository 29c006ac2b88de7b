"""One dashboard: its address, its rows, and what all of them have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import TimeZoneBrowser

from observability.grafana import runbooks
from observability.grafana.panels import PROMETHEUS

TAG = "sigilo"
GRID_WIDTH = 24

PanelBuilder = Builder[models.Panel]
# Lines that were true of the alert rules at some moment; Watchdog always is, it shows that alerting works.
FIRING = 'ALERTS{alertstate="firing", alertname!="Watchdog"}'


def page(
    name: str,
    title: str,
    about: str,
    rows: Sequence[tuple[str, Sequence[PanelBuilder]]],
    variables: Sequence[Builder[models.VariableModel]] = (),
    *,
    shown: str = "now-6h",
) -> models.Dashboard:
    """A dashboard at ``/d/sigilo-<name>``, read-only, with a menu to the others and the alerts that fired drawn in.

    Panels stand in ``rows`` from left to right, as wide as they say. Raises ValueError for a line of panels that is
    wider or narrower than the grid: Grafana would let them overlap.
    """
    made = (
        dashboard.Dashboard(title).uid(f"sigilo-{name}").description(about).tags([TAG]).readonly()
        .time(shown, "now").refresh("1m").timezone(TimeZoneBrowser).tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Sigilo").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
            .as_dropdown(True).keep_time(True)
        )
        .annotation(
            dashboard.AnnotationQuery().name("Alerts").datasource(PROMETHEUS).enable(True).icon_color("red")
            .expr(FIRING)
        )
    )  # fmt: skip
    made.with_variable(_menu(runbooks.VARIABLE, runbooks.WHERE).hide(models.VariableHide.HIDE_VARIABLE))
    for variable in variables:
        made.with_variable(variable)
    for heading, panels in rows:
        _refuse_ragged(title, heading, [panel.build() for panel in panels])
        made.with_row(dashboard.Row(heading))
        for panel in panels:
            made.with_panel(panel)
    built = made.build()
    # Numbers of our own: Grafana would give others at each start, and links to a panel would break.
    for number, each in enumerate(built.panels or [], start=1):
        each.id_val = number
    return built


def choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """A menu of a label's values, several or all of them."""
    return _menu(name, query).label(label).multi(True).include_all(True).all_value(".*")


def _menu(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name).datasource(PROMETHEUS).query({"query": query, "refId": name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    )  # fmt: skip


def as_json(made: models.Dashboard) -> str:
    """As it is committed: readable in a difference, the same every time."""
    return json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _refuse_ragged(title: str, heading: str, panels: Sequence[models.Panel]) -> None:
    used = 0
    for panel in panels:
        used += panel.grid_pos.w if panel.grid_pos is not None else 0
        if used > GRID_WIDTH:
            raise ValueError(f"{title}, {heading}: a line of panels is wider than the page at {panel.title}")
        used %= GRID_WIDTH
    if used:
        raise ValueError(f"{title}, {heading}: the last line of panels is narrower than the page")
