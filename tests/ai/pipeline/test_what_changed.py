"""What is said of an answer whose record is another one by now, and of one whose patient refused since."""

from __future__ import annotations

import uuid
from threading import Thread

import pytest
from sqlalchemy import func, select, update

from config import Principal
from models import AiRequest, MedicalRecord
from services.ai_refusal import REFUSED_SINCE, allow_ai, refuse_ai
from services.ai_verdict import accept_summary
from services.ai_visible import GONE, OVER
from services.cleanup_expired import delete_batch
from services.errors import Conflict, Gone, Invalid
from services.record_create import NewRecord, create_record
from services.record_inactivate import inactivate_record, restore_record
from tests.ai.pipeline.clinic import DIAGNOSIS, Clinic, browsing
from tests.ai.pipeline.test_pipeline import TEXTS


def inactivate(clinic: Clinic, record_id: uuid.UUID) -> None:
    with clinic.databases.session(Principal.STAFF) as session:
        inactivate_record(session, browsing(clinic.cast.doctor), clinic.cipher, record_id, reason="Em duplicidade")


def restore(clinic: Clinic, record_id: uuid.UUID) -> None:
    with clinic.databases.session(Principal.STAFF) as session:
        restore_record(session, browsing(clinic.cast.doctor), clinic.cipher, record_id, reason="Não era duplicado")


def test_an_inactivated_source_is_said_to_be_that(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    record_id = clinic.write(patient_id, title="Retorno", diagnosis="Asma")
    asked = clinic.ask(patient_id)
    assert clinic.run() and clinic.show(asked.id).answer is not None
    inactivate(clinic, record_id)
    shown = clinic.show(asked.id)
    assert shown.answer is None and shown.hidden == GONE != OVER
    with pytest.raises(Gone), clinic.databases.session(Principal.STAFF) as session:
        accept_summary(session, browsing(clinic.cast.doctor), clinic.cipher, asked.id, "Asma")


def test_a_restored_record_makes_a_summary_old(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    record_id = clinic.write(patient_id, title="Retorno", diagnosis="Asma")
    inactivate(clinic, record_id)
    asked = clinic.ask(patient_id)
    assert clinic.run() and not clinic.show(asked.id).is_stale
    restore(clinic, record_id)
    assert clinic.show(asked.id).is_stale, "though it was written before"
    assert clinic.ask(patient_id).is_new


def test_a_record_of_a_transaction_that_began_before_makes_a_summary_old(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    with clinic.databases.session(Principal.STAFF) as session:
        new = NewRecord(patient_id, {"title": "Retorno", "diagnosis": "Asma"})
        create_record(session, browsing(clinic.cast.doctor), clinic.cipher, new)
        session.flush()
        found: list[uuid.UUID] = []
        asking = Thread(target=lambda: found.append(clinic.ask(patient_id).id))
        asking.start()
        asking.join(timeout=20.0)
    [asked] = found
    with clinic.databases.session(Principal.STAFF) as session:
        newest = select(func.max(MedicalRecord.created_at)).where(MedicalRecord.patient_id == patient_id)
        written = session.scalar(newest)
        assert written is not None and written < session.get_one(AiRequest, asked).created_at
    assert clinic.run() and clinic.show(asked).is_stale


def test_a_question_of_before_that_was_kept_is_old(clinic: Clinic) -> None:
    asked = clinic.ask(clinic.patient()[0])
    assert clinic.run()
    clinic.set(asked.id, "visible = NULL")
    assert clinic.show(asked.id).is_stale


def test_a_patients_own_refusal_takes_back_what_was_asked_before_though_they_allow_it_again(clinic: Clinic) -> None:
    patient_id = clinic.cast.patient_id
    clinic.write(patient_id, title="Consulta", diagnosis=DIAGNOSIS)
    done = clinic.ask(patient_id)
    assert clinic.run() and clinic.show(done.id).answer is not None
    waiting = clinic.ask(patient_id, clinic.cast.nurse)
    sent = len(clinic.server.chats)
    with clinic.as_patient() as session:
        refuse_ai(session, browsing(clinic.cast.patient), patient_id)
    with clinic.as_patient() as session:
        allow_ai(session, browsing(clinic.cast.patient), patient_id)
    shown = clinic.show(done.id)
    assert shown.answer is None and shown.hidden == REFUSED_SINCE
    assert clinic.run() and clinic.row(waiting.id).state == "CANCELLED" and len(clinic.server.chats) == sent
    with pytest.raises(Conflict), clinic.databases.session(Principal.STAFF) as session:
        accept_summary(session, browsing(clinic.cast.doctor), clinic.cipher, done.id, "Resumo")
    again = clinic.ask(patient_id)
    assert again.is_new and again.id != done.id, "what they allow is what is asked from now on"
    assert clinic.run() and clinic.show(again.id).answer is not None
    with clinic.databases.session(Principal.WORKER) as session:
        assert delete_batch(session, TEXTS) >= 1
    assert clinic.row(done.id).answer_cipher is None and clinic.row(again.id).answer_cipher is not None


def test_the_same_question_may_be_asked_again_though_one_of_before_the_refusal_waits(clinic: Clinic) -> None:
    patient_id = clinic.cast.patient_id
    clinic.write(patient_id, title="Retorno", diagnosis=DIAGNOSIS)
    before = clinic.ask(patient_id)
    with clinic.as_patient() as session:
        refuse_ai(session, browsing(clinic.cast.patient), patient_id)
    with clinic.as_patient() as session:
        allow_ai(session, browsing(clinic.cast.patient), patient_id)
    again = clinic.ask(patient_id)
    assert again.is_new and clinic.row(before.id).state == "CANCELLED"


def test_a_summary_of_why_somebody_came_is_as_close_as_what_was_written_of_it(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    visit_id = clinic.visit(patient_id, "Crise de ansiedade")
    clinic.write_for(visit_id, patient_id, title="Acolhimento", diagnosis="Ansiedade", cid10Codes=["F41.9"])
    with clinic.databases.session(Principal.STAFF) as session:
        session.execute(
            update(MedicalRecord).where(MedicalRecord.visit_id == visit_id)
            .values(deleted_at=func.now(), deleted_by=clinic.cast.doctor.id, deletion_reason="Em duplicidade")
        )  # fmt: skip
    asked = clinic.ask(patient_id)
    assert any(each["kind"] == "visit" for each in clinic.row(asked.id).inputs)
    assert clinic.run()
    with clinic.databases.session(Principal.STAFF) as session:
        led_to = accept_summary(session, browsing(clinic.cast.doctor), clinic.cipher, asked.id, "Veio em crise.")
    with clinic.databases.session(Principal.STAFF) as session:
        assert session.get_one(MedicalRecord, led_to).restricted


def test_a_summary_that_leaves_no_room_for_its_note_is_refused_and_nothing_is_written(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    asked = clinic.ask(patient_id)
    assert clinic.run()
    with pytest.raises(Invalid) as refused, clinic.databases.session(Principal.STAFF) as session:
        accept_summary(session, browsing(clinic.cast.doctor), clinic.cipher, asked.id, "x" * 19_990)
    assert [each.pointer for each in refused.value.errors] == ["/text"]
    assert clinic.row(asked.id).verdict is None
