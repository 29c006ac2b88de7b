"""Every panel of every dashboard, asked of a real Prometheus that watched a real clinic for a busy hour: each answers,
and with numbers."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from embedded.preflight import queries
from embedded.preflight.ground import Given, Ground
from observability.grafana.runbooks import WHERE
from tests.cluster import production_programs
from tests.observability.busy_hour import BusyHour
from tests.observability.fake_cadvisor import CONTAINERS
from tests.observability.monitoring import RUNBOOKS, Prometheus
from tests.observability.panels import Panel, Query, panels
from tests.observability.watched_clinic import WatchedClinic, watched_clinic

# What does not run here, and which panels ask it. What they ask is read by Grafana's own grammars all the same
# (scripts/check-queries).
ELSEWHERE = {
    "loki": (
        "no package brings it, and LogQL is no PromQL",
        {
            "logs: Lines by level", "logs: Troubles by what happened", "logs: Exceptions by type",
            "logs: Tasks that failed", "logs: Troubles", "logs: One act",
        },
    ),
    "tempo": ("no package brings it", {"web: Slow requests, traced"}),
}  # fmt: skip
ANSWERS_SECONDS = 60.0
STEP = "2s"


@dataclass(frozen=True)
class Watched:
    """A clinic after its busy hour, and when that began."""

    clinic: WatchedClinic
    since: float

    @property
    def prometheus(self) -> Prometheus:
        return self.clinic.prometheus


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched_clinic(tmp_path_factory.mktemp("watched"), production_programs()) as clinic:
        since = time.time()
        hour = BusyHour(clinic)
        # Twice: a counter that did not exist before it was counted up has not risen yet for Prometheus.
        hour.act()
        clinic.prometheus.until("sum(sigilo_ai_answer_seconds_count)", 3)
        hour.act()
        clinic.prometheus.until("sum(sigilo_ai_answer_seconds_count)", 6)
        yield Watched(clinic, since)


def test_panels_that_are_not_asked_are_those_of_what_does_not_run_here() -> None:
    found = {panel.name: panel.sources - {"prometheus"} for panel in panels() if panel.sources != {"prometheus"}}
    assert found == {name: {source} for source, (_, names) in ELSEWHERE.items() for name in names}
    assert set(ELSEWHERE) == {"loki", "tempo"}


def test_every_panel_has_something_to_show(watched: Watched) -> None:
    """Asked again until it has: some figures come a while after what they are about, such as a drill's."""
    unanswered = {
        f"{panel.name}: {query.asked}": (panel, query)
        for panel in panels()
        if panel.sources == {"prometheus"}
        for query in panel.queries
    }
    assert len(unanswered) > 100
    deadline = time.monotonic() + ANSWERS_SECONDS
    while unanswered and time.monotonic() < deadline:
        unanswered = {name: each for name, each in unanswered.items() if not has_answer(watched, *each)}
    assert not unanswered, "\n".join(unanswered)


def test_containers_are_shown_and_not_the_groups_beside_them(watched: Watched) -> None:
    (panel,) = (each for each in panels() if each.name == "host: Containers: since their start")
    (query,) = panel.queries
    shown = watched.prometheus.ask("query", query=query.asked)
    assert {series["metric"]["name"] for series in shown} == set(CONTAINERS)


def test_the_checklist_finds_the_statements_that_were_collected(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sigilo preflight asks what panels ask: it is tried here, where there is an exporter of statements. How quick they
    are beside other tests is not."""
    monkeypatch.setattr(queries, "MOST_MS", 60_000.0)
    given = Given(prometheus_url=str(watched.prometheus.client.base_url).removesuffix("/api/v1/"))
    said = queries.queries_are_quick(Ground(watched.clinic.url, {}, given))
    assert re.fullmatch(r"\d+ kinds of statements, the slowest [\d.]+ ms on average \(Prometheus\)", said)


def test_dashboards_find_where_runbooks_are(watched: Watched) -> None:
    """As the menu that nobody sees asks for it (observability/grafana/runbooks.py)."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", WHERE)
    assert found is not None
    assert [each["metric"][found[2]] for each in watched.prometheus.ask("query", query=found[1])] == [RUNBOOKS]


def test_an_empty_answer_and_a_wrong_question_are_noticed(watched: Watched) -> None:
    panel = next(panels())
    assert not has_answer(watched, panel, Query("prometheus", "sum(no_such_metric)", is_instant=True))
    assert not has_answer(watched, panel, Query("prometheus", "0 * sum(up) / 0", is_instant=False))
    with pytest.raises(AssertionError, match="parse error"):
        has_answer(watched, panel, Query("prometheus", "sum(up", is_instant=True))


def has_answer(watched: Watched, panel: Panel, query: Query) -> bool:
    """Whether a number comes back. Raises AssertionError when Prometheus does not understand the question."""
    try:
        if query.is_instant:
            answer = watched.prometheus.ask("query", query=query.asked)
        else:
            answer = watched.prometheus.ask(
                "query_range", query=query.asked, start=str(watched.since), end=str(time.time()), step=STEP
            )
    except AssertionError as error:
        raise AssertionError(f"{panel.name}: {query.asked}: {error}") from None
    return any(math.isfinite(float(value)) for series in answer for _, value in samples(series))


def samples(series: dict[str, Any]) -> list[tuple[float, str]]:
    return series["values"] if "values" in series else [series["value"]]
