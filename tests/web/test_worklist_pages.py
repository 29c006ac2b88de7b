"""The start page of each role, and check-in, triage, calling and closing from it."""

from __future__ import annotations

import re
import uuid

import pytest
from sqlalchemy import select, text

from config import Principal
from models import Allergy, CareTeamMember, MedicalRecord, Visit
from models.user import Role
from services.break_glass import break_glass
from services.visit_call import call_visit
from tests.factories.cast import join_team, make_patient, make_person
from tests.services.test_query_counts import statements_sent
from tests.web.worklist_room import REASON, Room, room

__all__ = ["room"]


def row_of(page: str, visit_id: uuid.UUID) -> str:
    found = re.search(rf'<li id="visit-{visit_id}".*?</li>', page, re.DOTALL)
    assert found is not None
    return found[0]


def test_a_doctor_sees_who_waits_the_urgent_first(room: Room) -> None:
    low = room.arrive("Ana Baixa", priority="LOW", minutes=30)
    late = room.arrive("Bia Tarde", priority="HIGH", minutes=33)
    critical = room.arrive("Caio Crítico", priority="CRITICAL")
    with room.databases.session(Principal.STAFF) as session:
        session.add(Allergy(patient_id=late.patient_id, substance="Penicilina", recorded_by=room.cast.doctor.id))
    page = room.page("doctor")
    assert [page.index(name) for name in ("Caio Crítico", "Bia Tarde", "Ana Baixa")] == sorted(
        page.index(name) for name in ("Caio Crítico", "Bia Tarde", "Ana Baixa")
    )
    assert "3 pessoas aguardando, 1 em prioridade crítica" in page
    row = row_of(page, late.id)
    assert REASON in row and "33 min" in row and 'class="wait late"' in row and "alergia" in row
    assert "Penicilina" not in page, "which allergy is nobody's business in the corridor"
    assert 'class="wait late"' not in row_of(page, low.id)
    assert 'class="arrive"' in row_of(page, critical.id) and 'class="arrive"' not in row_of(page, low.id)
    assert f'action="/visits/{critical.id}/call"' in page


def test_the_worklist_shows_no_diagnosis(room: Room) -> None:
    visit = room.arrive()
    with room.databases.session(Principal.STAFF) as session:
        called = call_visit(session, room.cast.doctor.actor, room.cipher, visit.id)
        called.record.record.diagnosis = "Angina instável"
        called.record.record.notes = "Encaminhar"
    for name in ("doctor", "doctor2", "nurse", "reception"):
        page = room.page(name)
        assert "Zélia da Sala" in page
        assert "Angina" not in page and "Encaminhar" not in page


def test_filters_show_and_audit_what_they_name(room: Room) -> None:
    other = make_person(room.databases, Role.DOCTOR, "Outra Doutora")
    mine = room.arrive("Para Mim", doctor_id=room.cast.doctor.id)
    theirs = room.arrive("Para Ela", doctor_id=other.id, priority="CRITICAL")
    team = room.arrive("Da Equipe")
    join_team(room.databases, team.patient_id, room.cast.doctor.id)
    names, pages = ("Para Mim", "Para Ela", "Da Equipe"), ("mine", "critical", "nonsense")
    shown = {which: {name for name in names if name in room.page("doctor", f"/?show={which}")} for which in pages}
    assert shown == {
        "mine": {"Para Mim", "Da Equipe"}, "critical": {"Para Ela"}, "nonsense": {"Para Mim", "Para Ela", "Da Equipe"},
    }  # fmt: skip
    assert "aguarda Outra Doutora" in row_of(room.page("doctor"), theirs.id)
    assert f"/visits/{theirs.id}/call" not in room.page("doctor")
    room.page("doctor", "/?show=mine")
    with room.databases.session(Principal.WORKER) as session:
        statement = "SELECT entity_ids FROM audit_outbox WHERE action = 'visit.list' ORDER BY id DESC LIMIT 1"
        assert set(session.execute(text(statement)).scalar_one()) == {mine.id, team.id}


def test_a_masked_complaint_stays_masked(room: Room) -> None:
    """The visit of a restricted record: outside the team its reason is nobody's, on any page of ours."""
    visit = room.arrive("Restrita de Tal", reason="Retorno HIV")
    with room.databases.session(Principal.STAFF) as session:
        called = call_visit(session, room.cast.doctor.actor, room.cipher, visit.id)
        called.record.record.restricted = True
    assert "Retorno HIV" in room.page("doctor")
    for name in ("doctor2", "nurse", "reception"):
        page = room.page(name)
        assert "Retorno HIV" not in page, name
        assert "Restrita de Tal" in page and 'class="masked"' in row_of(page, visit.id), name
    assert "Retorno HIV" not in room.page("doctor2", f"/visits/{visit.id}/triage")


def test_reception_does_not_learn_of_allergies(room: Room) -> None:
    visit = room.arrive()
    with room.databases.session(Principal.STAFF) as session:
        session.add(Allergy(patient_id=visit.patient_id, substance="Dipirona", recorded_by=room.cast.doctor.id))
    assert "alergia" in row_of(room.page("nurse"), visit.id)
    assert "alergia" not in row_of(room.page("reception"), visit.id)


def test_checking_in(room: Room) -> None:
    patient_id = make_patient(room.databases, room.settings, "Nova da Silva", mother_name="Mãe da Silva")
    desk = room.browser(room.cast.reception)
    found = desk.post("/visits/new", {"q": "nova silva"}).get_data(as_text=True)
    assert f'href="/visits/new/{patient_id}"' in found and "Mãe da Silva" in found
    path = f"/visits/new/{patient_id}"
    wrong = desk.post(path, {"reason": " ", "priority": "URGENT", "doctorId": "", "nurseId": ""})
    assert wrong.status_code == 422 and wrong.get_data(as_text=True).count('aria-invalid="true"') == 2
    fine = {"reason": "Febre", "priority": "HIGH", "doctorId": "", "nurseId": str(room.cast.nurse2.id)}
    answer = desk.post(path, fine)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?done=visit-created")
    again = desk.post(path, fine | {"reason": "Febre outra vez"})
    assert again.status_code == 409
    assert "atendimento aberto" in again.get_data(as_text=True) and "Febre outra vez" in again.get_data(as_text=True)
    with room.databases.session(Principal.STAFF) as session:
        (visit,) = session.scalars(select(Visit).where(Visit.patient_id == patient_id))
        assert (visit.reason, visit.priority) == ("Febre", "HIGH")
        team = session.scalars(select(CareTeamMember.user_id).where(CareTeamMember.patient_id == patient_id)).all()
    assert team == [room.cast.nurse2.id], "whom reception named may triage"


@pytest.mark.parametrize(
    ("q", "status", "said"),
    [
        ("111.111.111-11", 422, "Um CPF válido"), ("", 422, "Preencha"), ("zzzz", 200, "Ninguém cadastrado"),
        ("100000000000015", 422, "CNS com dígito válido"),
    ],
)  # fmt: skip
def test_a_search_that_finds_nobody_says_why(room: Room, q: str, status: int, said: str) -> None:
    answer = room.browser(room.cast.reception).post("/visits/new", {"q": q})
    assert answer.status_code == status
    assert said in answer.get_data(as_text=True)


def test_only_reception_names_a_nurse(room: Room) -> None:
    patient_id = make_patient(room.databases, room.settings)
    fields = {"reason": "Febre", "priority": "LOW", "nurseId": str(room.cast.nurse2.id)}
    assert room.browser(room.cast.doctor).post(f"/visits/new/{patient_id}", fields).status_code == 422
    wrong = fields | {"nurseId": str(room.cast.doctor.id)}
    assert room.browser(room.cast.reception).post(f"/visits/new/{patient_id}", wrong).status_code == 422
    with room.databases.session(Principal.STAFF) as session:
        assert session.scalars(select(Visit.id).where(Visit.patient_id == patient_id)).all() == []


def test_calling_leads_to_the_record_that_opens(room: Room) -> None:
    visit = room.arrive()
    answer = room.browser(room.cast.doctor).post(f"/visits/{visit.id}/call", form="/")
    with room.databases.session(Principal.STAFF) as session:
        record = session.scalars(select(MedicalRecord).where(MedicalRecord.visit_id == visit.id)).one()
    assert answer.headers["Location"] == f"/medical-records/{record.id}/edit?done=visit-called"
    row = row_of(room.page("doctor"), visit.id)
    assert "Você · desde" in row and f"/medical-records/{record.id}/edit" in row
    assert "Ana Moura · desde" in row_of(room.page("doctor2"), visit.id)


def test_a_patient_called_by_somebody_quicker(room: Room) -> None:
    visit = room.arrive()
    slow = room.browser(room.cast.doctor)
    slow.get("/")
    room.browser(room.cast.doctor2).post(f"/visits/{visit.id}/call", form="/")
    answer = slow.post(f"/visits/{visit.id}/call", form="/")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409
    assert "Este paciente não está mais aguardando" in page
    assert "Paulo Reis · desde" in row_of(page, visit.id), "the list below is up to date"
    part = slow.post(f"/visits/{visit.id}/call", form="/", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["HX-Retarget"]) == (409, "#problems")
    assert part.headers["HX-Trigger"] == "sigilo:changed"
    assert "<html" not in part.get_data(as_text=True)


def test_closing_from_the_queue(room: Room) -> None:
    gone, seen = room.arrive("Foi Embora"), room.arrive("Foi Atendida")
    with room.databases.session(Principal.STAFF) as session:
        call_visit(session, room.cast.doctor.actor, room.cipher, seen.id)
    desk = room.browser(room.cast.reception)
    assert desk.post(f"/visits/{gone.id}/close", {"status": "LEFT"}, form="/").status_code == 303
    assert desk.post(f"/visits/{seen.id}/close", {"status": "DONE"}, form="/").status_code == 303
    assert (room.visit(gone.id).status, room.visit(seen.id).status) == ("LEFT", "DONE")
    assert desk.post(f"/visits/{gone.id}/close", {"status": "LEFT"}, form="/").status_code == 409
    assert desk.post(f"/visits/{gone.id}/close", {"status": "WAITING"}, form="/").status_code == 422


def test_triage_writes_a_note_and_sets_the_priority(room: Room) -> None:
    visit = room.arrive(team=True)
    path = f"/visits/{visit.id}/triage"
    nurse = room.browser(room.cast.nurse)
    signs = {"systolic": "150", "diastolic": "95", "temperature": "38,5", "oxygenSaturation": "93", "notes": "Pálida"}
    answer = nurse.post(path, {"priority": "CRITICAL", **signs, "weight": ""})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?done=triage-saved")
    assert room.visit(visit.id).priority == "CRITICAL"
    with room.databases.session(Principal.STAFF) as session:
        note = session.scalars(select(MedicalRecord).where(MedicalRecord.visit_id == visit.id)).one()
    assert (note.kind, note.author_id, note.priority) == ("TRIAGE", room.cast.nurse.id, "CRITICAL")
    assert note.notes == "PA 150/95 mmHg, temperatura 38,5 °C, SpO2 93%\nPálida"
    with room.databases.session(Principal.WORKER) as session:
        actions = session.execute(
            text("SELECT action FROM audit_outbox WHERE patient_id = :p AND action <> 'visit.read' ORDER BY id"),
            {"p": visit.patient_id},
        )
        assert list(actions.scalars()) == ["visit.create", "allergy.list", "medical_record.create", "visit.triage"]
    assert "triagem às" in row_of(room.page("nurse"), visit.id)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, "notes"), ({"systolic": "120"}, "diastolic"), ({"systolic": "80", "diastolic": "120"}, "diastolic"),
        ({"temperature": "385"}, "temperature"), ({"pain": "muita"}, "pain"), ({"notes": "x" * 4001}, "notes"),
        ({"priority": "URGENT", "pain": "3"}, "priority"),
    ],
)  # fmt: skip
def test_a_slip_at_triage_is_shown_and_changes_nothing(room: Room, fields: dict[str, str], wrong: str) -> None:
    visit = room.arrive(team=True)
    answer = room.browser(room.cast.nurse).post(f"/visits/{visit.id}/triage", {"priority": "HIGH", **fields})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert f'href="#{wrong}"' in page
    assert all(f'value="{typed}"' in page for name, typed in fields.items() if name not in ("notes", "priority"))
    assert room.visit(visit.id).priority == "NORMAL"
    with room.databases.session(Principal.STAFF) as session:
        assert session.scalars(select(MedicalRecord.id).where(MedicalRecord.visit_id == visit.id)).all() == []


def test_a_nurse_outside_the_team_is_told_how_to_get_in(room: Room) -> None:
    visit = room.arrive()
    row = row_of(room.page("nurse"), visit.id)
    assert "fora da sua equipe" in row and "/triage" not in row
    answer = room.browser(room.cast.nurse).get(f"/visits/{visit.id}/triage")
    assert answer.status_code == 403
    assert "Você não está na equipe deste paciente" in answer.get_data(as_text=True)


def test_an_auditor_sees_opaque_ids_and_no_reason(room: Room) -> None:
    outsider = make_person(room.databases, Role.DOCTOR, "Doutor de Fora")
    with room.databases.session(Principal.STAFF) as session:
        break_glass(session, outsider.actor, room.cast.patient_id, reason="Chegou inconsciente ao pronto-socorro")
    with room.databases.session(Principal.MIGRATOR) as session:
        oldest = text("UPDATE break_glass_grants SET granted_at = now() - interval '9 years' WHERE user_id = :me")
        session.execute(oldest, {"me": outsider.id})
    page = room.page("auditor")
    assert str(outsider.id)[-8:] in page and str(room.cast.patient_id)[-8:] in page
    for hidden in ("inconsciente", "Doutor de Fora", "Conceição"):
        assert hidden not in page


def test_an_administrator_sees_whether_everything_works(room: Room) -> None:
    page = room.page("admin")
    assert 'class="state ok"' in page and 'href="/system"' in page
    assert "Aguardando" not in page, "who waits is not an administrator's business"


def test_a_patient_is_led_to_their_own_page(room: Room) -> None:
    answer = room.browser(room.cast.patient).get("/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/me")


def test_the_live_part_is_the_page_without_what_surrounds_it(room: Room) -> None:
    visit = room.arrive()
    for name in ("doctor", "nurse", "reception"):
        headers = {"HX-Request": "true", "HX-Target": "div#day", "Sigilo-Background": "1"}
        part = room.browser(room.cast.people[name]).get("/", headers=headers).get_data(as_text=True)
        assert part.lstrip().startswith("<div id=\"day\"") and "<html" not in part
        assert row_of(part, visit.id)


def test_a_page_carries_the_token_of_what_it_shows(room: Room) -> None:
    browser = room.browser(room.cast.doctor)
    found = re.search(r'data-token="([^"]{22})"', browser.get("/").get_data(as_text=True))
    assert found is not None
    assert browser.get("/live").get_json() == {"token": found[1]}


def test_rows_do_not_multiply_statements(room: Room) -> None:
    counts = set()
    for name in ("Um", "Dois", "Três", "Quatro"):
        room.arrive(name)
        counts.add(statements_sent(room.databases, lambda: room.page("doctor")))
    assert len(counts) == 1 or max(counts) - min(counts) == 1, counts  # the clinic's state is kept for a moment
