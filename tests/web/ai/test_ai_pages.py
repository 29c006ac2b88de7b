"""The card with the summary, the patient's refusal, and the figures, as the server answers them."""

from __future__ import annotations

import re
import uuid

from flask import Flask
from sqlalchemy import func, select

from config import Principal, Settings
from models import MedicalRecord
from models.engine import Databases
from services.ai_gather import RECORDS_MAX
from services.ai_run import run_next
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from tests.factories.cast import Cast, join_team, make_patient
from tests.factories.emergency import make_grant
from tests.factories.question import make_question
from tests.factories.signed_in import SignedIn
from tests.web.ai.conftest import DIAGNOSIS
from tests.web.ai.pages import words

ASK = "Resumir o prontuário"


def test_asked_waited_for_and_shown(
    doctor: SignedIn, databases: Databases, settings: Settings, patient_id: uuid.UUID
) -> None:
    page = doctor.page(f"/patients/{patient_id}")
    assert ASK in words(page)
    asked = doctor.send(f"/patients/{patient_id}/summary", into="ai-summary")
    body = asked.get_data(as_text=True)
    assert asked.status_code == 200 and 'hx-trigger="every 500ms"' in body and "<html" not in body
    assert "A sua é a próxima pergunta." in words(asked)
    while run_next(databases, field_cipher(settings), None):
        pass
    done = doctor.page(f"/patients/{patient_id}/summary", into="ai-summary")
    body = done.get_data(as_text=True)
    assert "hx-trigger" not in body and "aria-busy" not in body, "it stops asking at the end"
    assert DIAGNOSIS in body and "extraído por regras, sem modelo" in words(done)
    assert re.search(r'<a href="/medical-records/[0-9a-f-]{36}">', body), "each sentence leads to its record"
    assert DIAGNOSIS in doctor.page(f"/patients/{patient_id}").get_data(as_text=True)


def test_what_did_not_fit_is_said(
    doctor: SignedIn, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    with databases.session(Principal.STAFF) as session:
        for number in range(RECORDS_MAX + 2):
            new = NewRecord(patient_id, {"title": f"Consulta {number}", "notes": "Refere melhora. " * 90})
            create_record(session, cast.doctor.actor, field_cipher(settings), new)
    make_question(databases, settings, cast.doctor, patient_id)
    shown = words(doctor.page(f"/patients/{patient_id}/summary", into="ai-summary"))
    told = re.search(r"(\d+) de (\d+) entradas foram lidas: o resto não coube\.", shown)
    assert told is not None, shown
    assert int(told[2]) == RECORDS_MAX + 3, "those that were never read are counted"
    assert 3 < int(told[1]) < 12


def test_what_fits_says_nothing_of_a_rest(
    doctor: SignedIn, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    make_question(databases, settings, cast.doctor, patient_id)
    assert "não coube" not in words(doctor.page(f"/patients/{patient_id}/summary", into="ai-summary"))


def test_stopped(doctor: SignedIn, patient_id: uuid.UUID) -> None:
    asked = doctor.send(f"/patients/{patient_id}/summary", into="ai-summary").get_data(as_text=True)
    [path] = set(re.findall(r'hx-post="(/ai/questions/[0-9a-f-]+/cancel)"', asked))
    stopped = doctor.send(path, into="ai-summary")
    assert ASK in words(stopped) and "hx-trigger" not in stopped.get_data(as_text=True)


def test_accepted_with_what_the_person_wrote(
    doctor: SignedIn, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    question = make_question(databases, settings, cast.doctor, patient_id)
    path = f"/ai/questions/{question}/accept"
    empty = doctor.send(path, {"text": "  "}, into="ai-summary")
    assert empty.status_code == 422 and "aria-invalid" in empty.get_data(as_text=True)
    saved = doctor.send(path, {"text": "Enxaqueca, sem sinais de alarme."})
    assert saved.status_code == 303 and saved.headers["Location"].startswith("/medical-records/")
    with databases.session(Principal.STAFF) as session:
        notes = session.scalars(
            select(MedicalRecord.notes).where(MedicalRecord.patient_id == patient_id, MedicalRecord.notes.is_not(None))
        ).one()
    assert notes is not None and notes.startswith("Enxaqueca, sem sinais de alarme.\n\nResumo feito com apoio de")
    again = doctor.send(path, {"text": "Outra vez"}, into="ai-summary")
    assert again.status_code == 409 and "já foi aceita ou rejeitada" in words(again)


def test_a_nurse_takes_it_over_into_a_triage_note(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    question = make_question(databases, settings, cast.nurse, patient_id)
    saved = SignedIn(app, databases, cast.nurse).send(f"/ai/questions/{question}/accept", {"text": "Conferido."})
    assert saved.status_code == 303
    with databases.session(Principal.STAFF) as session:
        kinds = session.scalars(select(MedicalRecord.kind).where(MedicalRecord.author_id == cast.nurse.id))
        assert "TRIAGE" in set(kinds)


def test_rejected_changes_nothing(
    doctor: SignedIn, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    question = make_question(databases, settings, cast.doctor, patient_id)
    rejected = doctor.send(f"/ai/questions/{question}/reject", into="ai-summary")
    assert "Você rejeitou" in words(rejected) and DIAGNOSIS not in rejected.get_data(as_text=True)
    with databases.session(Principal.STAFF) as session:
        assert session.scalar(select(func.count()).where(MedicalRecord.patient_id == patient_id)) == 1


def test_refused_by_whom_the_patient_told(
    app: Flask, doctor: SignedIn, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    make_question(databases, settings, cast.doctor, patient_id)
    desk = SignedIn(app, databases, cast.reception)
    assert "O paciente recusa IA" in words(desk.page(f"/patients/{patient_id}"))
    assert desk.send(f"/patients/{patient_id}/ai-refusal").headers["Location"].startswith(f"/patients/{patient_id}")
    for page in (f"/patients/{patient_id}", f"/patients/{patient_id}/summary"):
        shown = words(doctor.page(page))
        assert "não quer IA" in shown and ASK not in shown
    refused = doctor.send(f"/patients/{patient_id}/summary", into="ai-summary")
    assert refused.status_code == 409
    desk.send(f"/patients/{patient_id}/ai-refusal/end")
    assert "O paciente recusa IA" in words(desk.page(f"/patients/{patient_id}"))


def test_refused_by_the_patient(app: Flask, databases: Databases, cast: Cast) -> None:
    patient = SignedIn(app, databases, cast.stranger)
    path = f"/patients/{cast.stranger_id}/ai-refusal"
    assert "Não quero IA no meu prontuário" in words(patient.page("/me"))
    assert patient.send(path).headers["Location"].startswith("/me")
    assert "Você não quer IA" in words(patient.page("/me"))
    patient.send(f"{path}/end")
    assert "Não quero IA no meu prontuário" in words(patient.page("/me"))


def test_an_old_summary_says_so(
    doctor: SignedIn, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    make_question(databases, settings, cast.doctor, patient_id)
    with databases.session(Principal.STAFF) as session:
        create_record(session, cast.doctor.actor, field_cipher(settings), NewRecord(patient_id, {"title": "Retorno"}))
    assert "O prontuário mudou desde então" in words(doctor.page(f"/patients/{patient_id}/summary"))


def test_nothing_to_sum_up_is_said_in_the_card(
    doctor: SignedIn, databases: Databases, settings: Settings, cast: Cast
) -> None:
    empty = make_patient(databases, settings, "Sem Registro")
    join_team(databases, empty, cast.doctor.id)
    answer = doctor.send(f"/patients/{empty}/summary", into="ai-summary")
    assert answer.status_code == 409 and 'id="ai-summary"' in answer.get_data(as_text=True)


def test_outside_the_care_team_the_card_says_why_there_is_none_and_offers_the_glass(
    app: Flask, databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    outside = SignedIn(app, databases, cast.doctor2)
    for path in (f"/patients/{patient_id}", f"/patients/{patient_id}/summary"):
        page = outside.page(path)
        assert "Diagnóstico, conduta e anotações estão ocultos para você" in words(page) and ASK not in words(page)
        assert f"/patients/{patient_id}/break-glass?next=" in page.get_data(as_text=True)
    assert outside.send(f"/patients/{patient_id}/summary", into="ai-summary").status_code == 403
    make_grant(databases, cast.doctor2, patient_id, minutes_left=20)
    assert ASK in words(outside.page(f"/patients/{patient_id}"))
    assert outside.send(f"/patients/{patient_id}/summary", into="ai-summary").status_code == 200


def test_figures_name_models_and_nobody(
    app: Flask, databases: Databases, settings: Settings, cast: Cast, patient_id: uuid.UUID
) -> None:
    make_question(databases, settings, cast.doctor, patient_id)
    for person in (cast.admin, cast.auditor):
        page = SignedIn(app, databases, person).page("/ai")
        assert page.status_code == 200 and "summary/2" in words(page)
        assert "Gumercindo" not in words(page) and DIAGNOSIS not in words(page)
        assert 'href="/ai"' in page.get_data(as_text=True)
