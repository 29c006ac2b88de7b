"""Dashboards as files: up to date, complete, and asked in PromQL that Prometheus understands."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import orjson
import pytest
import yaml
from grafana_foundation_sdk.builders.stat import Panel as Stat

from observability.grafana.generate import GENERATED, found, texts
from observability.grafana.page import GRID_WIDTH, page
from observability.grafana.runbooks import Runbook, runbook_url
from tests.observability.alert_rules import all_alerts, programs
from tests.observability.panels import Panel, dashboards, panels

EVERY = tuple(panels())
PROVISIONING = GENERATED.parent / "provisioning"


def provisioned(kind: str) -> dict[str, list[dict[str, object]]]:
    given: dict[str, list[dict[str, object]]] = yaml.safe_load((PROVISIONING / kind / "sigilo.yml").read_text())
    return given


def test_generated_files_are_what_the_modules_say() -> None:
    assert found() == texts(), "run scripts/dashboards, and commit what it wrote"


def test_there_is_a_dashboard_for_everything_that_is_watched() -> None:
    assert set(dashboards()) == {
        "ai", "audit", "backups", "certificates", "clinic", "database", "host", "logs", "overview", "queues", "web",
    }  # fmt: skip


@pytest.mark.parametrize("panel", EVERY, ids=lambda panel: panel.name)
def test_a_panel_says_what_it_means_what_is_normal_and_what_to_do(panel: Panel) -> None:
    means, _, normal = panel.given["description"].partition("\n\n**Normal:** ")
    assert means.endswith(".") and normal.endswith("."), panel.given["description"]
    assert next(link["url"] for link in panel.given["links"]) in {runbook_url(each) for each in Runbook}
    assert panel.queries


def test_panels_lead_to_runbooks_that_alerts_lead_to() -> None:
    families = {alert["annotations"]["runbook_url"].partition("#")[0].rpartition("/")[2] for _, alert in all_alerts()}
    assert {f"{each}.md" for each in Runbook} <= families


def test_titles_within_a_dashboard_differ() -> None:
    names = [panel.name for panel in EVERY]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_panels_fill_the_page_and_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboards()[name]["panels"]:
        place = panel["gridPos"]
        cells = set(
            itertools.product(
                range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
            )
        )
        assert not cells & taken, panel["title"]
        taken |= cells
    assert {x for x, _ in taken} == set(range(GRID_WIDTH))


@pytest.mark.parametrize(("widths", "wrong"), [((12, 16), "wider"), ((12, 6), "narrower")])
def test_a_row_that_does_not_fill_the_page_is_refused(widths: tuple[int, ...], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        page("x", "X", "", [("Row", [Stat().title(str(width)).span(width).height(4) for width in widths])])


def test_every_question_is_promql(tmp_path: Path) -> None:
    """Those too whose source is not on this machine: promtool reads them as rules."""
    asked = [query.asked for panel in EVERY for query in panel.queries if query.source == "prometheus"]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(asked)]
    file = tmp_path / "panels.yml"
    file.write_bytes(orjson.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    checked = subprocess.run(
        [programs() / "promtool", "check", "rules", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(asked)} rules found" in checked.stdout


def test_data_sources_that_panels_ask_are_provisioned() -> None:
    sources = {(source["type"], source["uid"]) for source in provisioned("datasources")["datasources"]}
    asked = {
        (target["datasource"]["type"], target["datasource"]["uid"])
        for panel in EVERY
        for target in panel.given["targets"]
    }
    assert asked == sources


def test_a_request_on_a_chart_leads_to_its_trace_and_a_trace_to_its_lines() -> None:
    sources = {source["uid"]: source["jsonData"] for source in provisioned("datasources")["datasources"]}
    exemplars = sources["prometheus"]["exemplarTraceIdDestinations"]  # type: ignore[index]
    assert [(each["name"], each["datasourceUid"]) for each in exemplars] == [("trace_id", "tempo")]
    assert sources["tempo"]["tracesToLogsV2"]["datasourceUid"] == "loki"  # type: ignore[index]
    assert "$${__trace.traceId}" in sources["tempo"]["tracesToLogsV2"]["query"]  # type: ignore[index]
    assert [each["datasourceUid"] for each in sources["loki"]["derivedFields"]] == ["tempo"]  # type: ignore[index]
    assert any(target.get("exemplar") for panel in EVERY for target in panel.given["targets"])


def test_every_folder_of_dashboards_is_provisioned() -> None:
    paths = {Path(provider["options"]["path"]).name for provider in provisioned("dashboards")["providers"]}  # type: ignore[index]
    assert paths == {Path(place).parent.name for place in found()}
