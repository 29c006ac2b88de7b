"""The trail on a page: filters, masks, names, export."""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, render_template_string
from flask.testing import FlaskClient

from config import Settings
from models import Role
from models.engine import Databases
from services.audit_export import PAGE_ROWS, Format, export_trail
from services.audit_read import TrailFilters
from services.errors import Forbidden
from tests.audit.trail import drain_all, write_events
from tests.factories.cast import Cast, join_team, make_patient, make_person
from tests.services.test_query_counts import statements_sent
from tests.web.signed_in import signed_in

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = ("Losartana 50 mg", "Losartana 100 mg", "Lançado no paciente errado")


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    made = make_patient(databases, settings, "Íris Cordeiro")
    join_team(databases, made, cast.doctor.id)
    return made


@pytest.fixture
def record(client: FlaskClient, databases: Databases, cast: Cast, patient_id: uuid.UUID) -> str:
    """A record that was written, corrected and inactivated; the events are sealed."""
    headers = cast.doctor.headers
    body = {"patientId": str(patient_id), "title": "Consulta", "treatment": SECRET[0]}
    url = client.post("/api/medical-records", json=body, headers=headers).headers["Location"]
    client.put(url, json={"version": 1, "treatment": SECRET[1]}, headers=headers)
    assert client.delete(url, json={"reason": SECRET[2]}, headers=headers).status_code == 204
    refused = client.put(url, json={"title": "x"}, headers=cast.reception.headers)
    assert refused.status_code == 403
    drain_all(databases)
    return url.rpartition("/")[2]


def test_a_doctor_reads_what_changed_in_names_and_words(
    app: Flask, databases: Databases, cast: Cast, record: str
) -> None:
    page = signed_in(app, databases, cast.doctor).get(f"/audit?entityId={record}").get_data(as_text=True)
    text = re.sub(r"<[^>]+>", "", page)
    assert "Ana Moura" in page and "alterou um registro: Íris Cordeiro" in page
    assert "Losartana 50 mg" in text and "<del>50</del><ins>100</ins>" in page
    assert SECRET[2] in page and "recusado" in page


def test_the_auditor_reads_ids_and_no_value(app: Flask, databases: Databases, cast: Cast, record: str) -> None:
    page = signed_in(app, databases, cast.auditor).get(f"/audit?entityId={record}").get_data(as_text=True)
    assert page.count('<details class="event">') == 4
    assert f'title="{record}"' in page and str(cast.doctor.id) in page
    for hidden in (*SECRET, "Íris", "Ana Moura"):
        assert hidden not in page
    assert 'class="masked"' in page and f'href="/medical-records/{record}"' not in page


def test_a_doctor_outside_the_team_reads_nothing(app: Flask, databases: Databases, cast: Cast, record: str) -> None:
    other = make_person(databases, Role.DOCTOR, "Lia Campos")
    page = signed_in(app, databases, other).get(f"/audit?entityId={record}").get_data(as_text=True)
    assert "Nenhum evento corresponde a estes filtros." in page
    assert not any(word in page for word in (*SECRET, "Íris"))


def test_security_31_filters_narrow_and_combine(app: Flask, databases: Databases, cast: Cast, record: str) -> None:
    auditor = signed_in(app, databases, cast.auditor)

    def count(query: str) -> int:
        return auditor.get(f"/audit?entityId={record}{query}").get_data(as_text=True).count('<details class="event">')

    assert count("") == 4
    assert count("&action=medical_record.update") == 2
    assert count("&action=medical_record.update&outcome=refused") == 1
    assert count(f"&actorId={cast.doctor.id}&outcome=success") == 3
    assert count("&entityType=patient") == 0
    today = datetime.now(app.extensions["sigilo"].settings.timezone).date()
    assert count(f"&from={today}&to={today}") == 4
    assert count("&to=2020-01-01") == 0


@pytest.mark.parametrize(
    "query", ["entityId=x", "actorId=%00", "from=31/12/2026", "outcome=maybe", f"action={'x' * 200}"]
)
def test_a_filter_that_can_not_be_is_said(app: Flask, databases: Databases, cast: Cast, query: str) -> None:
    answer = signed_in(app, databases, cast.auditor).get(f"/audit?{query}")
    assert answer.status_code == 422
    page = answer.get_data(as_text=True)
    assert 'aria-invalid="true"' in page and '<details class="event">' not in page


def test_pages_go_on_without_a_gap_and_without_more_statements(
    app: Flask, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    actor_id = uuid.uuid4()
    write_events(databases, 45, actor_id=actor_id, patient_id=patient_id)
    drain_all(databases)
    doctor, path = signed_in(app, databases, cast.doctor), f"/audit?actorId={actor_id}"
    many = statements_sent(databases, lambda: doctor.get(path))
    oldest = statements_sent(databases, lambda: doctor.get(f"{path}&to=2000-01-01"))
    assert many <= oldest + 4, "reasons, two kinds of names and their event: once a page, not once a row"
    seen, more = 0, [path]
    while more:
        source = doctor.get(more[0], headers=_htmx("li#trail-more") if seen else {}).get_data(as_text=True)
        seen += source.count('<details class="event">')
        more = [found.replace("&amp;", "&") for found in re.findall(r'hx-get="(/audit\?[^"]*cursor=[^"]+)"', source)]
    assert seen == 45


def test_a_person_of_the_staff_is_found_by_name_and_stands_as_an_id(
    app: Flask, databases: Databases, cast: Cast
) -> None:
    auditor = signed_in(app, databases, cast.auditor)
    form = {"q": "TORRES éva", "action": "session.login"}
    page = auditor.post("/audit/people", form, form="/audit", headers=_htmx("div#people")).get_data(as_text=True)
    assert "<html" not in page
    assert f'href="/audit?action=session.login&amp;actorId={cast.auditor.id}">Eva Torres</a>' in page
    for nobody in ("Conceicao Avila", "%", "_", "  "):
        page = auditor.post("/audit/people", {"q": nobody}, form="/audit").get_data(as_text=True)
        assert "actorId=" not in page.partition('id="people"')[2].partition("</div>")[0], nobody


def test_security_31_the_auditor_takes_the_trail_away(
    app: Flask, databases: Databases, cast: Cast, record: str
) -> None:
    auditor = signed_in(app, databases, cast.auditor, is_sure=True)
    answer = auditor.post("/audit/export", {"format": "csv", "entityId": record}, form="/audit")
    assert re.fullmatch(
        r"attachment; filename=sigilo-[\d.]+-trail-\d{8}T\d{6}Z\.csv", answer.headers["Content-Disposition"]
    )
    rows = list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))
    assert [row["action"] for row in reversed(rows)] == [
        "medical_record.create", "medical_record.update", "medical_record.delete", "medical_record.update",
    ]  # fmt: skip
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", row["occurredAt"]) for row in rows)
    assert rows[2]["changedFields"] == "treatment"
    answer = auditor.post("/audit/export", {"format": "json", "entityId": record}, form="/audit")
    body = json.loads(answer.get_data(as_text=True))
    assert body["count"] == len(body["events"]) == 4
    assert body["filters"] == {"entity_id": record}
    assert not any(secret in answer.get_data(as_text=True) for secret in (*SECRET, "Íris"))
    drain_all(databases)
    page = auditor.get(f"/audit?action=trail.export&actorId={cast.auditor.id}").get_data(as_text=True)
    assert page.count("exportou a trilha de auditoria") >= 2


def test_security_06_the_export_asks_for_the_password_again(
    app: Flask, databases: Databases, cast: Cast, record: str
) -> None:
    """And leads back to the trail as it was filtered."""
    auditor = signed_in(app, databases, cast.auditor)
    page = f"/audit?entityId={record}"
    form, headers = {"format": "csv", "entityId": record}, {"Referer": f"http://localhost{page}"}
    answer = auditor.post("/audit/export", form, form="/audit", headers=headers)
    assert answer.status_code == 303
    assert parse_qs(urlsplit(answer.headers["Location"]).query)["next"] == [page]


def test_an_export_is_read_in_bounded_pages_and_runs_no_formula(databases: Databases, cast: Cast) -> None:
    actor_id = uuid.uuid4()
    total = PAGE_ROWS + 7
    write_events(databases, total, actor_id=actor_id, user_agent="=1+1")
    drain_all(databases)
    auditor = replace(cast.auditor.actor, scopes=None, token_id=None)
    made = export_trail(databases, auditor, TrailFilters(actor_id=actor_id), Format.CSV)
    write_events(databases, 1, actor_id=actor_id)
    drain_all(databases)
    chunks = list(made.chunks)
    assert len(chunks) == 3, "the head of the table and two pages"
    rows = list(csv.DictReader(io.StringIO(b"".join(chunks).decode())))
    assert len(rows) == total, "what was sealed after the beginning is not in it"
    assert {row["userAgent"] for row in rows} == {"'=1+1"}


def test_only_an_auditor_exports(app: Flask, databases: Databases, cast: Cast) -> None:
    doctor = signed_in(app, databases, cast.doctor)
    assert "/audit/export" not in doctor.get("/audit").get_data(as_text=True)
    assert doctor.post("/audit/export", {"format": "csv"}, form="/audit").status_code == 403
    for person in (cast.doctor, cast.admin):
        with pytest.raises(Forbidden):
            export_trail(databases, replace(person.actor, scopes=None), TrailFilters(), Format.CSV)
    with pytest.raises(Forbidden):
        export_trail(databases, cast.auditor.actor, TrailFilters(), Format.CSV)  # a token reads, and takes nothing away


def test_every_act_of_the_services_has_words(app: Flask) -> None:
    written = re.compile(r'(?:Event\(\s*|action=)"([a-z_]+(?:\.[a-z_]+)?)"')
    acts = {act for path in (ROOT / "services").glob("*.py") for act in written.findall(path.read_text())}
    # Imports and the demo clinic give theirs as texts.
    bulk = re.compile(r'"((?:allergy|care_team|import|medical_record|patient|user|visit)\.[a-z_]+)"')
    for names in ("import_*.py", "demo_*.py"):
        acts |= {act for path in (ROOT / "services").glob(names) for act in bulk.findall(path.read_text())}
    assert {"medical_record.read", "break_glass.review", "session.login", "care_team.add"} <= acts
    with app.test_request_context():
        words = render_template_string(
            '{% from "components/audit_words.html" import ACTIONS with context %}{{ ACTIONS.keys()|join(" ") }}'
        )
    assert acts - set(words.split()) == set(), "give them words in templates/components/audit_words.html"


def _htmx(target: str) -> dict[str, str]:
    return {"HX-Request": "true", "HX-Target": target}


def test_the_filters_of_an_export_are_those_of_the_page(app: Flask, databases: Databases, cast: Cast) -> None:
    auditor = signed_in(app, databases, cast.auditor, is_sure=True)
    page = auditor.get(f"/audit?actorId={cast.doctor.id}&outcome=refused").get_data(as_text=True)
    form = page.partition('action="/audit/export"')[2].partition("</form>")[0]
    assert f'name="actorId" value="{cast.doctor.id}"' in form and 'name="outcome" value="refused"' in form
    answer = auditor.post("/audit/export", {"format": "csv", "entityId": "x"}, form="/audit")
    assert answer.status_code == 422


def test_no_name_ever_stands_in_an_address(app: Flask, databases: Databases, cast: Cast) -> None:
    page = signed_in(app, databases, cast.auditor).get("/audit").get_data(as_text=True)
    get_form = page.partition('<form class="filters"')[2].partition("</form>")[0]
    assert 'method="get"' in get_form and 'name="q"' not in get_form
    assert 'method="post" action="/audit/people"' in page
