"""Codes suggested for a diagnosis: from the form to the model and back, and into a record that says so."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, update

from config import Principal
from models import AiRequest, CareTeamMember, MedicalRecord
from models.engine import Databases
from services.ai_refusal import refuse_ai
from services.ai_verdict import reject
from services.demo_cid10 import put_demo_table
from services.errors import Conflict, Invalid
from services.field_encryption import FieldCipher
from services.pseudonym_leaks import leaks
from services.record_create import NewRecord
from services.record_edit import edit_record
from services.record_submit import submit_record
from tests.ai.pipeline.clinic import FULL_NAME, Clinic, browsing, told
from tests.factories.cast import join_team

TEXT = "Pressão alta"
NOTE = "CID-10 escolhido com apoio de inteligência artificial (modelo local llama3.2:3b, "


@pytest.fixture(scope="module", autouse=True)
def codes(own_databases: Databases) -> None:
    with own_databases.session(Principal.MIGRATOR) as session:
        put_demo_table(session)


def ranking(*codes: str, because: str = "O texto fala em pressão alta.") -> Callable[[dict[str, Any]], str]:
    """A model that names these codes."""

    def say(asked: dict[str, Any]) -> str:
        return json.dumps({"suggestions": [{"code": code, "because": because} for code in codes]}, ensure_ascii=False)

    return say


@pytest.fixture
def question(clinic: Clinic) -> tuple[uuid.UUID, uuid.UUID]:
    """(patient, the doctor's question, answered with I10)."""
    clinic.server.answer_with(ranking("I10"))
    patient_id, _ = clinic.patient()
    asked = clinic.ask_codes(patient_id, TEXT)
    assert clinic.run()
    return patient_id, asked


def save(
    clinic: Clinic, patient_id: uuid.UUID, helped_by: uuid.UUID, form_id: uuid.UUID | None = None, **content: Any
) -> MedicalRecord:
    new = NewRecord(patient_id, {"title": "Consulta", **content})
    with clinic.databases.session(Principal.STAFF) as session:
        actor = browsing(clinic.cast.doctor)
        made = submit_record(
            session, actor, clinic.cipher, new, form_id=form_id or uuid.uuid4(), helped_by=[helped_by]
        )
        return session.get_one(MedicalRecord, made)


def test_the_model_ranks_what_our_own_search_found(clinic: Clinic) -> None:
    clinic.server.answer_with(ranking("X99", "I11.9", "I10", because="Pressão alta, com glicemia de 400 mg/dL."))
    patient_id, _ = clinic.patient()
    asked = clinic.ask_codes(patient_id, TEXT)
    assert clinic.run()
    [sent] = clinic.server.chats
    candidates = {each["codigo"]: each["titulo"] for each in told(sent)["candidatos"]}
    shown = clinic.show(asked)
    assert shown.answer is not None and shown.removed >= 1
    suggested = {each["code"]: each for each in shown.answer["suggestions"]}
    assert "X99" not in suggested and set(suggested) <= set(candidates), "no code that the table does not have"
    assert suggested["I10"]["title"] == candidates["I10"]
    assert "400" not in suggested["I10"]["because"], "a reason says what the text or the title says"


def test_nothing_of_the_record_is_read_and_nobody_named(clinic: Clinic) -> None:
    patient_id, identifiers = clinic.patient()
    before = clinic.events(patient_id)
    asked = clinic.ask_codes(patient_id, f"Pressão alta de {FULL_NAME}, atendida por Ana Moura")
    clinic.server.answer_with(ranking("I10"))
    assert clinic.run()
    assert leaks(clinic.server.every_byte.decode(), identifiers) == []
    assert told(clinic.server.chats[0]).keys() == {"paciente", "diagnostico", "candidatos"}
    shown = clinic.show(asked)
    assert shown.asked is not None and FULL_NAME in shown.asked.text, "its asker's own words are put back"
    assert clinic.events(patient_id)[len(before) :] == ["ai.request", "ai.read"]


def test_the_same_diagnosis_of_another_patient_is_another_question(
    clinic: Clinic, question: tuple[uuid.UUID, uuid.UUID]
) -> None:
    patient_id, asked = question
    other, _ = clinic.patient()
    assert clinic.ask_codes(patient_id, TEXT) == asked
    assert clinic.ask_codes(other, TEXT) != asked


def test_what_can_not_be_asked(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    for text in ("  ", "x" * 1501):
        with pytest.raises(Invalid):
            clinic.ask_codes(patient_id, text)
    with pytest.raises(Conflict, match="No code"):
        clinic.ask_codes(patient_id, "zyxwv")
    with clinic.databases.session(Principal.STAFF) as session:
        refuse_ai(session, browsing(clinic.cast.doctor), patient_id)
    with pytest.raises(Conflict, match="wants no AI"):
        clinic.ask_codes(patient_id, TEXT)


def test_rules_suggest_what_the_search_found_in_its_order(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    asked = clinic.ask_codes(patient_id, TEXT)
    assert clinic.run(has_model=False)
    shown = clinic.show(asked)
    assert shown.engine == "RULES" and shown.answer is not None
    assert shown.answer["suggestions"][0]["code"] == "I10"
    saved = save(clinic, patient_id, asked, cid10Codes=["I10"])
    said = "CID-10 escolhido com apoio de busca automática por regras (rules/1), sem modelo de linguagem"
    assert saved.notes == f"{said}; revisto por quem assina."


def test_a_record_with_a_suggested_code_says_so_and_settles_it(
    clinic: Clinic, question: tuple[uuid.UUID, uuid.UUID]
) -> None:
    patient_id, asked = question
    assert clinic.row(asked).verdict is None, "nothing changes until somebody chooses"
    form_id = uuid.uuid4()
    saved = save(clinic, patient_id, asked, form_id, cid10Codes=["I10"], notes="PA 160/100")
    assert saved.notes is not None and saved.notes.startswith(f"PA 160/100\n\n{NOTE}")
    row = clinic.row(asked)
    assert (row.verdict, row.led_to_id) == ("ACCEPTED", saved.id)
    again = save(clinic, patient_id, asked, form_id, cid10Codes=["I10"], notes="PA 160/100")
    assert again.id == saved.id, "the button pressed twice is one record"
    assert "ai.accept" in clinic.events(patient_id)


def test_a_neighbour_of_a_suggested_code_is_an_edit_of_it(clinic: Clinic) -> None:
    clinic.server.answer_with(ranking("E11.9"))
    patient_id, _ = clinic.patient()
    asked = clinic.ask_codes(patient_id, "Diabetes tipo 2")
    assert clinic.run()
    saved = save(clinic, patient_id, asked, cid10Codes=["E11.2"])
    assert saved.notes is not None and NOTE in saved.notes and clinic.row(asked).verdict == "EDITED"


def test_what_took_nothing_over_says_nothing(clinic: Clinic, question: tuple[uuid.UUID, uuid.UUID]) -> None:
    patient_id, asked = question
    saved = save(clinic, patient_id, asked, cid10Codes=["J45.9"], notes="Sem mais")
    assert saved.notes == "Sem mais" and clinic.row(asked).verdict is None


def test_nobody_elses_answer_helped(clinic: Clinic, question: tuple[uuid.UUID, uuid.UUID]) -> None:
    patient_id, asked = question
    clinic.server.answer_with(ranking("I10"))
    colleagues = clinic.ask_codes(patient_id, TEXT, clinic.cast.nurse)
    other, _ = clinic.patient()
    assert clinic.run()
    for named, whose in ((colleagues, patient_id), (asked, other), (uuid.uuid4(), patient_id)):
        assert save(clinic, whose, named, cid10Codes=["I10"]).notes is None
    with clinic.databases.session(Principal.STAFF) as session:
        reject(session, browsing(clinic.cast.doctor), asked)
    assert save(clinic, patient_id, asked, cid10Codes=["I10"]).notes is None


def test_an_answer_that_is_gone_by_now_helped_all_the_same(
    clinic: Clinic, question: tuple[uuid.UUID, uuid.UUID]
) -> None:
    patient_id, asked = question
    with clinic.databases.session(Principal.STAFF) as session:
        refuse_ai(session, browsing(clinic.cast.reception), patient_id)
    saved = save(clinic, patient_id, asked, cid10Codes=["I10"])
    assert saved.notes is not None and saved.notes.startswith(NOTE)
    assert clinic.row(asked).verdict == "EDITED"


def test_a_key_that_is_gone_hides_an_answer_and_keeps_nobody_from_saving(
    clinic: Clinic, question: tuple[uuid.UUID, uuid.UUID]
) -> None:
    patient_id, asked = question
    sealed = FieldCipher(os.urandom(32)).encrypt_bytes(b"{}", asked)
    with clinic.databases.session(Principal.MIGRATOR) as session:
        session.execute(
            update(AiRequest).where(AiRequest.id == asked).values(question_cipher=sealed, answer_cipher=sealed)
        )
    shown = clinic.show(asked)
    assert shown.answer is None and shown.asked is None and shown.hidden is not None
    saved = save(clinic, patient_id, asked, cid10Codes=["I10"])
    assert saved.notes is not None and saved.notes.startswith(NOTE)
    assert clinic.row(asked).verdict == "EDITED", "nobody can tell how much was changed"


def test_codes_for_a_colleagues_diagnosis_are_shown_no_longer_than_it_is(clinic: Clinic) -> None:
    clinic.server.answer_with(ranking("I10"))
    patient_id, _ = clinic.patient()
    join_team(clinic.databases, patient_id, clinic.cast.doctor2.id)
    record_id = clinic.write(patient_id, title="Consulta", diagnosis=TEXT)
    asked = clinic.ask_codes(patient_id, TEXT, clinic.cast.doctor2, edited=record_id)
    assert clinic.run()
    assert told(clinic.server.chats[0]).keys() == {"paciente", "diagnostico", "candidatos"}
    shown = clinic.show(asked, clinic.cast.doctor2)
    assert shown.answer is not None and shown.sources["R1"]["id"] == str(record_id)
    with clinic.databases.session(Principal.STAFF) as session:
        session.execute(
            update(CareTeamMember)
            .where(CareTeamMember.patient_id == patient_id, CareTeamMember.user_id == clinic.cast.doctor2.id)
            .values(removed_at=func.now())
        )
    over = clinic.show(asked, clinic.cast.doctor2)
    assert over.answer is None and over.asked is None and over.hidden is not None


def test_an_edit_says_so_too_but_not_of_codes_that_stood_there(
    clinic: Clinic, question: tuple[uuid.UUID, uuid.UUID]
) -> None:
    patient_id, asked = question
    actor = browsing(clinic.cast.doctor)

    def edit(record_id: uuid.UUID, version: int, codes: list[str]) -> str | None:
        with clinic.databases.session(Principal.STAFF) as session:
            access = edit_record(
                session, actor, clinic.cipher, record_id, version=version, texts={"cid10Codes": ", ".join(codes)},
                content={"cid10Codes": codes}, reason=None, zone=clinic.settings.timezone, form_id=uuid.uuid4(),
                helped_by=[asked],
            )  # fmt: skip
            return access.record.notes

    stood = clinic.write(patient_id, title="Consulta", notes="Bem", cid10Codes=["I10"])
    assert edit(stood, 1, ["I10", "J45.9"]) == "Bem"
    record_id = clinic.write(patient_id, title="Consulta", notes="Bem")
    notes = edit(record_id, 1, ["I10"])
    assert notes is not None and notes.startswith(f"Bem\n\n{NOTE}")
    assert clinic.row(asked).led_to_id == record_id


def test_no_room_for_the_note_is_said(clinic: Clinic, question: tuple[uuid.UUID, uuid.UUID]) -> None:
    patient_id, asked = question
    with pytest.raises(Invalid):
        save(clinic, patient_id, asked, cid10Codes=["I10"], notes="x" * 20_000)
    assert clinic.row(asked).verdict is None


def test_suggestions_are_shown_as_they_come(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    asked = clinic.ask_codes(patient_id, TEXT)
    come = '{"suggestions": [{"code": "I10", "because": "Pressão alta."}, {"code": "Z00", "because": "x"}, {"code": "I1'
    sealed = clinic.cipher.encrypt_bytes(come.encode(), asked)
    with clinic.databases.session(Principal.MIGRATOR) as session:
        session.execute(
            update(AiRequest).where(AiRequest.id == asked).values(state="RUNNING", attempts=1, partial_cipher=sealed)
        )
    shown = clinic.show(asked)
    assert [(each["code"], each["because"]) for each in shown.codes_so_far] == [("I10", "Pressão alta.")]
    assert shown.codes_so_far[0]["title"].startswith("Hipertensão") and shown.answer is None
    clinic.set(asked, "state = 'CANCELLED', finished_at = now()")
