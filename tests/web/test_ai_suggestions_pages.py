"""Suggestions inside the form of a record and of a triage, as the server answers them, with a script and without."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, select, update

from config import Principal, Settings
from models import AiRequest, Cid10Code, Cid10Release, Draft, MedicalRecord, Patient, Visit
from models.engine import Databases
from services.ai_run import run_next
from services.demo_cid10 import put_demo_table
from services.field_encryption import field_cipher
from tests.factories.browser_session import open_session
from tests.factories.cast import Cast, Person, join_team, make_patient
from tests.factories.question import empty_queue
from tests.factories.signed_in import SignedIn
from tests.web.writing.writer import NEW, Writer, id_in, inputs_of, record_of
from web.forms.reading import Form
from web.views.ai_card import HELPED_BY_MAX, helped_by, name_help

CODES = "/ai/codes"
CARD = {"HX-Request": "true", "HX-Target": "section#code-suggestions"}
NOTE = "CID-10 escolhido com apoio de busca automática por regras"
OTHER_SEX, NO_CAUSE_OF_DEATH = "na CID-10, é só para o outro sexo", "na CID-10, é causa improvável de óbito"
SIGNS = {"heartRate": "140", "oxygenSaturation": "84", "notes": "Tosse", "priority": "NORMAL"}


@pytest.fixture(autouse=True)
def codes(databases: Databases) -> Iterator[None]:
    empty_queue(databases)
    with databases.session(Principal.MIGRATOR) as session:
        put_demo_table(session)
    yield
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(delete(Cid10Code))
        session.execute(delete(Cid10Release))
    empty_queue(databases)


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    made = make_patient(databases, settings, "Quirino Sugestão")
    for person in (cast.doctor, cast.nurse):
        join_team(databases, made, person.id)
    return made


@pytest.fixture
def visit_id(databases: Databases, cast: Cast, patient_id: uuid.UUID) -> uuid.UUID:
    with databases.session(Principal.STAFF) as session:
        visit = Visit(patient_id=patient_id, reason="Resfriado", priority="NORMAL", checked_in_by=cast.reception.id)
        session.add(visit)
        session.flush()
        return visit.id


def at_browser(app: Flask, databases: Databases, person: Person) -> Writer:
    writer = Writer(app)
    writer.client.set_cookie("sigilo", open_session(databases, person), domain="localhost")
    return writer


@pytest.fixture
def doctor(app: Flask, databases: Databases, cast: Cast) -> Writer:
    return at_browser(app, databases, cast.doctor)


@pytest.fixture
def nurse(app: Flask, databases: Databases, cast: Cast) -> Writer:
    return at_browser(app, databases, cast.nurse)


def answer_all(databases: Databases, settings: Settings) -> None:
    while run_next(databases, field_cipher(settings), None):
        pass


def press(writer: Writer, fields: dict[str, str], act: str, status: int = 200, path: str = CODES) -> str:
    text: str = writer.send(path, fields | {"act": act}, status).get_data(as_text=True)
    return text


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def signs_of(page: str) -> dict[str, str]:
    """The inputs of the triage form, as a browser would send them."""
    form = re.search(r'<form class="card".*?</form>', page, re.DOTALL)
    assert form is not None
    return inputs_of(form[0].replace("<form", '<form id="record-form"', 1))


def test_without_a_script_the_form_asks_is_shown_again_and_takes_a_code(
    doctor: Writer, databases: Databases, settings: Settings, patient_id: uuid.UUID
) -> None:
    path = f"{NEW}?patientId={patient_id}"
    fields = doctor.fill(path, title="Retorno", diagnosis="pressão alta", notes="Trouxe exames")
    asked = press(doctor, fields, "ask")
    assert "<html" in asked and "A sua é a próxima pergunta." in asked
    fields = inputs_of(asked)
    assert (fields["title"], fields["notes"], fields["cid10Codes"]) == ("Retorno", "Trouxe exames", "")
    answer_all(databases, settings)
    found = press(doctor, fields, "look")
    assert "extraído por regras, sem modelo" in words(found) and 'value="take I10"' in found
    assert inputs_of(found)["cid10Codes"] == "", "nothing changes until somebody chooses"
    taken = inputs_of(press(doctor, inputs_of(found), "take I10"))
    assert (taken["cid10Codes"], taken["title"]) == ("I10", "Retorno")
    saved = record_of(databases, id_in(doctor.send(NEW, taken).headers["Location"]))
    assert saved.notes is not None and saved.notes.startswith(f"Trouxe exames\n\n{NOTE}")
    with databases.session(Principal.STAFF) as session:
        assert session.scalars(select(AiRequest.verdict).where(AiRequest.led_to_id == saved.id)).one() == "ACCEPTED"


def test_a_question_of_an_edit_names_the_record_that_it_rests_on(
    doctor: Writer, databases: Databases, patient_id: uuid.UUID
) -> None:
    fields = doctor.fill(f"{NEW}?patientId={patient_id}", title="Retorno", diagnosis="pressão alta")
    record_id = id_in(doctor.send(NEW, fields).headers["Location"])
    press(doctor, doctor.fill(f"/medical-records/{record_id}/edit"), "ask")
    with databases.session(Principal.STAFF) as session:
        [source] = session.scalars(select(AiRequest.inputs).where(AiRequest.patient_id == patient_id)).one()
    assert (source["id"], source["fields"]) == (str(record_id), ["diagnosis"])


def test_enter_saves_and_presses_no_button_of_the_card(doctor: Writer, patient_id: uuid.UUID) -> None:
    page = doctor.shown(f"{NEW}?patientId={patient_id}")
    form = page[page.index('<form id="record-form"') :]
    buttons = re.findall(r"<button([^>]*)>", form.partition("</form>")[0])
    submits = [each for each in buttons if 'type="button"' not in each and "form=" not in each]
    assert "formaction" not in submits[0], "a browser presses the first one"


def test_with_a_script_only_the_card_comes_and_asks_for_itself(
    doctor: Writer, databases: Databases, settings: Settings, patient_id: uuid.UUID
) -> None:
    fields = doctor.fill(f"{NEW}?patientId={patient_id}", diagnosis="pressão alta", act="ask")
    card = doctor.send(CODES, fields, 200, **CARD).get_data(as_text=True)
    assert "<html" not in card and 'hx-trigger="every 500ms"' in card
    [look] = re.findall(r'hx-get="([^"]+)"', card)
    assert look.startswith("/ai/questions/"), "no word of the form in an address"
    assert "noscript" not in card, "its buttons would be real ones there, and what Enter presses"
    answer_all(databases, settings)
    done = doctor.client.get(look, headers=CARD | {"Accept": "text/html"}).get_data(as_text=True)
    assert 'data-takes="cid10Codes" data-value="I10"' in done and "hx-get" not in done
    assert doctor.client.get(look, headers={"Accept": "text/html"}).status_code == 303, "it is no page"


@pytest.mark.parametrize(
    ("sex", "deceased_at", "odd"),
    [
        ("MALE", None, [OTHER_SEX]),
        ("FEMALE", datetime(2026, 5, 3, tzinfo=UTC), [NO_CAUSE_OF_DEATH]),
        ("FEMALE", None, []),
    ],
    ids=["other sex", "deceased", "nothing odd"],
)
def test_a_code_that_is_odd_for_the_patient_says_so(
    doctor: Writer, databases: Databases, settings: Settings, patient_id: uuid.UUID, sex: str,
    deceased_at: datetime | None, odd: list[str],
) -> None:  # fmt: skip
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(update(Patient).where(Patient.id == patient_id).values(sex=sex, deceased_at=deceased_at))
    fields = doctor.fill(f"{NEW}?patientId={patient_id}", diagnosis="dismenorreia")
    fields = inputs_of(press(doctor, fields, "ask"))
    answer_all(databases, settings)
    found = press(doctor, fields, "look")
    (suggested,) = re.findall(r'<li>(?:(?!</li>).)*value="take N94.6".*?</li>', found, re.DOTALL)
    assert re.findall(r'<small class="caution">(.*?)</small>', suggested) == odd


def test_what_came_stays_when_the_form_comes_back_with_errors(
    doctor: Writer, databases: Databases, settings: Settings, patient_id: uuid.UUID
) -> None:
    fields = doctor.fill(f"{NEW}?patientId={patient_id}", diagnosis="pressão alta")
    asked = inputs_of(press(doctor, fields, "ask"))
    answer_all(databases, settings)
    refused = doctor.send(NEW, asked | {"title": ""}, 422).get_data(as_text=True)
    assert 'data-value="I10"' in refused and inputs_of(refused)["question"] == asked["question"]
    stale = re.compile(r"<p[^>]* data-stale(?! hidden)[^>]*>")
    assert not stale.search(refused)
    assert stale.search(press(doctor, asked | {"diagnosis": "asma"}, "look")), "it was about another text"


def test_stopped_and_rejected(
    doctor: Writer, databases: Databases, settings: Settings, patient_id: uuid.UUID
) -> None:
    fields = doctor.fill(f"{NEW}?patientId={patient_id}", diagnosis="pressão alta")
    asked = inputs_of(press(doctor, fields, "ask"))
    stopped = press(doctor, asked, "cancel")
    assert "Sugerir códigos" in stopped and "próxima pergunta" not in stopped
    again = inputs_of(press(doctor, asked, "ask"))
    answer_all(databases, settings)
    rejected = press(doctor, again, "reject")
    assert "Você rejeitou as últimas sugestões." in rejected and "data-takes" not in rejected
    assert "já foi aceita ou rejeitada" in words(press(doctor, again, "reject", 409))


def test_what_can_not_be_asked_is_said_in_the_card(
    doctor: Writer, databases: Databases, cast: Cast, app: Flask, patient_id: uuid.UUID
) -> None:
    blank = doctor.fill(NEW)
    assert "Escolha primeiro o paciente." in press(doctor, blank, "ask", 409)
    fields = doctor.fill(f"{NEW}?patientId={patient_id}")
    assert "Escreva primeiro o diagnóstico." in press(doctor, fields, "ask", 409)
    assert "no máximo 1500 caracteres" in press(doctor, fields | {"diagnosis": "x" * 1501}, "ask", 422)
    assert "Nenhum código" in words(press(doctor, fields | {"diagnosis": "zy\0xwv"}, "ask", 409))
    SignedIn(app, databases, cast.reception).send(f"/patients/{patient_id}/ai-refusal")
    refused = press(doctor, fields | {"diagnosis": "pressão alta"}, "ask", 409)
    assert "não quer IA" in words(refused) and "Sugerir códigos" not in refused


def test_a_draft_remembers_what_helped(
    doctor: Writer, databases: Databases, settings: Settings, patient_id: uuid.UUID
) -> None:
    fields = doctor.fill(f"{NEW}?patientId={patient_id}", title="Retorno", diagnosis="pressão alta")
    asked = inputs_of(press(doctor, fields, "ask"))
    answer_all(databases, settings)
    taken = inputs_of(press(doctor, asked, "take I10"))
    doctor.send("/drafts", taken, 200)
    with databases.session(Principal.STAFF) as session:
        assert session.get_one(Draft, uuid.UUID(taken["draftId"])).content["values"]["helpedBy"] == asked["question"]
    continued = doctor.fill(f"{NEW}?draftId={taken['draftId']}")
    saved = record_of(databases, id_in(doctor.send(NEW, continued).headers["Location"]))
    assert saved.cid10_codes == ["I10"] and saved.notes is not None and saved.notes.startswith(NOTE)


def test_a_form_names_so_many_answers_and_no_more_those_that_helped_last() -> None:
    named = [uuid.uuid4() for _ in range(HELPED_BY_MAX + 5)]
    form: Form[Any] = Form(values={"helpedBy": " ".join(map(str, [*named, *named[-2:]]))})
    assert helped_by(form) == named[-HELPED_BY_MAX:]
    newest = uuid.uuid4()
    name_help(form, newest)
    assert form.values["helpedBy"].split() == [*map(str, named[-HELPED_BY_MAX + 1 :]), str(newest)]
    again = helped_by(form)[0]
    name_help(form, again)
    assert helped_by(form)[-1] == again and len(helped_by(form)) == HELPED_BY_MAX


def test_an_edit_asks_and_takes_too(
    doctor: Writer, databases: Databases, settings: Settings, patient_id: uuid.UUID
) -> None:
    first = doctor.send(NEW, doctor.fill(f"{NEW}?patientId={patient_id}", title="Retorno", diagnosis="pressão alta"))
    record_id = id_in(first.headers["Location"])
    path = f"/medical-records/{record_id}/edit"
    asked = inputs_of(press(doctor, doctor.fill(path), "ask"))
    answer_all(databases, settings)
    taken = inputs_of(press(doctor, asked, "take I10"))
    doctor.send(path, taken)
    saved = record_of(databases, record_id)
    assert saved.cid10_codes == ["I10"] and saved.notes is not None and saved.notes.startswith(NOTE)


def test_without_a_table_there_is_no_card(doctor: Writer, databases: Databases) -> None:
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(delete(Cid10Code))
        session.execute(delete(Cid10Release))
    assert "code-suggestions" not in doctor.shown(NEW)


def test_a_priority_is_suggested_taken_and_saved_without_a_script(
    nurse: Writer, databases: Databases, settings: Settings, patient_id: uuid.UUID, visit_id: uuid.UUID
) -> None:
    path = f"/visits/{visit_id}/triage"
    fields = signs_of(nurse.shown(path)) | SIGNS
    asked = press(nurse, fields, "ask", path=f"{path}/priority")
    answer_all(databases, settings)
    found = press(nurse, signs_of(asked) | SIGNS, "look", path=f"{path}/priority")
    said = words(found)
    assert "SpO2 84%" in said and "extraído por regras, sem modelo" in said and "Usar Crítica" in said
    assert not re.search(r'value="CRITICAL"[^>]* checked', found), "nothing changes until somebody chooses"
    taken = press(nurse, signs_of(found) | SIGNS, "take CRITICAL", path=f"{path}/priority")
    assert re.search(r'value="CRITICAL"[^>]* checked', taken)
    nurse.send(path, signs_of(taken) | SIGNS | {"priority": "CRITICAL"})
    with databases.session(Principal.STAFF) as session:
        assert session.get_one(Visit, visit_id).priority == "CRITICAL"
        notes = session.scalars(select(MedicalRecord.notes).where(MedicalRecord.visit_id == visit_id)).one()
    assert notes is not None and "Prioridade definida com apoio de regras automáticas" in notes


def test_a_lower_priority_says_so(
    nurse: Writer, databases: Databases, settings: Settings, visit_id: uuid.UUID
) -> None:
    with databases.session(Principal.STAFF) as session:
        session.get_one(Visit, visit_id).priority = "HIGH"
    path = f"/visits/{visit_id}/triage"
    fields = signs_of(nurse.shown(path)) | {"heartRate": "80", "priority": "HIGH"}
    asked = signs_of(press(nurse, fields, "ask", path=f"{path}/priority"))
    answer_all(databases, settings)
    said = words(press(nurse, asked | {"heartRate": "80"}, "look", path=f"{path}/priority"))
    assert "É menos urgente que a prioridade atual do atendimento (Alta)." in said and "Baixar para Normal" in said


def test_vital_signs_that_are_none_are_not_asked_about(nurse: Writer, visit_id: uuid.UUID) -> None:
    path = f"/visits/{visit_id}/triage"
    fields = signs_of(nurse.shown(path)) | {"heartRate": "rápida", "priority": "NORMAL"}
    refused = press(nurse, fields, "ask", 409, path=f"{path}/priority")
    assert "Corrija primeiro os sinais vitais" in refused and 'value="rápida"' in refused
