"""From the question to the page: a hostile answer unmasks nobody, whoever asks and however early they look."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import pytest
from sqlalchemy import update

from config import Principal
from embedded.process import wait_until
from models import Patient, User
from services.ai_cancel import cancel_request
from services.pseudonym_leaks import leaks
from services.record_create import NewRecord, create_record
from tests.ai.pipeline.clinic import DIAGNOSIS, Clinic, browsing
from tests.factories.cast import join_team, make_patient
from tests.integrations.fake_ollama import Trouble

TOKENS = "[CPF-1] [CNS-1] [PASSAPORTE-1] [TEL-1] [EMAIL-1] [ENDERECO-1] [PESSOA-1] [PESSOA-2] [PESSOA-3] cpf-1"


def unmasking(asked: dict[str, Any]) -> str:
    """What a model says that takes the table of pseudonyms for a register, citing what it was given."""
    given = json.loads(asked["messages"][1]["content"])
    if "candidatos" in given:
        code = given["candidatos"][0]["codigo"]
        return json.dumps({"suggestions": [{"code": code, "because": f"Enxaqueca, {TOKENS}"}]})
    refs = [each["ref"] for each in given["fontes"]][:1]
    texts = [f"Enxaqueca, {token}." for token in TOKENS.split()] + ["Enxaqueca."]
    return json.dumps({"sentences": [{"text": text, "sources": refs} for text in texts]})


def outsiders_record(clinic: Clinic, patient_id: uuid.UUID) -> None:
    own = NewRecord(patient_id, {"title": "Parecer", "diagnosis": "Enxaqueca"})
    with clinic.databases.session(Principal.STAFF) as session:
        create_record(session, browsing(clinic.cast.doctor2), clinic.cipher, own)


def test_a_doctor_outside_the_team_sees_no_document_that_an_answer_names(clinic: Clinic) -> None:
    patient_id, identifiers = clinic.patient()
    outsiders_record(clinic, patient_id)
    clinic.server.answer_with(unmasking)
    asked = clinic.ask(patient_id, clinic.cast.doctor2)
    assert clinic.run()
    shown = clinic.show(asked.id, clinic.cast.doctor2)
    assert shown.answer is not None
    assert [each["text"] for each in shown.answer["sentences"]] == ["Enxaqueca."]
    assert shown.removed == len(TOKENS.split())
    assert leaks(str(shown.answer), identifiers) == []


def test_nor_while_it_is_written(clinic: Clinic) -> None:
    patient_id, identifiers = clinic.patient()
    outsiders_record(clinic, patient_id)
    clinic.server.answer_with(unmasking)
    clinic.server.misbehave(Trouble(hangs_after=60, between=0.02))
    asked = clinic.ask(patient_id, clinic.cast.doctor2)
    worker = threading.Thread(target=clinic.run)
    worker.start()
    try:
        assert wait_until(lambda: "CPF-1" in partial(clinic, asked.id), 10.0)
        shown = clinic.show(asked.id, clinic.cast.doctor2)
        assert shown.state == "RUNNING" and leaks(" ".join(shown.so_far), identifiers) == []
        assert not any("[" in words for words in shown.so_far)
    finally:
        with clinic.databases.session(Principal.STAFF) as session:
            cancel_request(session, browsing(clinic.cast.doctor2), asked.id)
        worker.join(timeout=5.0)


def partial(clinic: Clinic, request_id: uuid.UUID) -> str:
    sealed = clinic.row(request_id).partial_cipher
    return "" if sealed is None else clinic.cipher.decrypt_bytes(sealed, request_id).decode()


def test_names_of_the_whole_clinic_do_not_leave(clinic: Clinic) -> None:
    """Also of who is in nobody's team and wrote nothing."""
    patient_id, _ = clinic.patient()
    with clinic.databases.session(Principal.MIGRATOR) as session:
        session.execute(update(User).where(User.id == clinic.cast.reception.id).values(full_name="Aurora Quitunde"))
    clinic.write(patient_id, title="Retorno", diagnosis=DIAGNOSIS, notes="Remarcado por Quitunde. Aurora avisou.")
    clinic.ask(patient_id)
    assert clinic.run()
    sent = clinic.server.every_byte.decode()
    assert "Remarcado por" in sent and leaks(sent, ["Aurora Quitunde"]) == []


@pytest.mark.parametrize(
    ("name", "notes"),
    [
        ("Rosa Almeida", "Rosa refere dor. ROSA DORME MAL"), ("Clara Leme", "Queixa: Clara tosse. CLARA, 20 anos"),
        ("Bento Dias", "Bento nega febre; paciente bento em repouso"),
    ],
)  # fmt: skip
def test_a_name_that_is_an_everyday_word_does_not_leave(clinic: Clinic, name: str, notes: str) -> None:
    patient_id = make_patient(clinic.databases, clinic.settings, name)
    join_team(clinic.databases, patient_id, clinic.cast.doctor.id)
    clinic.write(patient_id, title="Consulta", diagnosis=DIAGNOSIS, notes=notes)
    clinic.ask(patient_id)
    assert clinic.run()
    sent = clinic.server.every_byte.decode()
    assert DIAGNOSIS in sent and leaks(notes, [name]) == [name] and leaks(sent, [name]) == []


def test_a_person_is_called_by_their_social_name(clinic: Clinic) -> None:
    patient_id, _ = clinic.patient()
    with clinic.databases.session(Principal.MIGRATOR) as session:
        session.execute(update(Patient).where(Patient.id == patient_id).values(social_name="Bia Fontoura"))
    clinic.write(patient_id, title="Retorno", diagnosis="Asma", notes="Bia Fontoura com tosse.")

    def calling(asked: dict[str, Any]) -> str:
        [ref] = [each["ref"] for each in json.loads(asked["messages"][1]["content"])["fontes"] if "tosse" in str(each)]
        return json.dumps({"sentences": [{"text": "[PESSOA-1] com tosse.", "sources": [ref]}]})

    clinic.server.answer_with(calling)
    asked = clinic.ask(patient_id)
    assert clinic.run()
    answer = clinic.show(asked.id).answer
    assert answer is not None and answer["sentences"][0]["text"] == "Bia Fontoura com tosse."
