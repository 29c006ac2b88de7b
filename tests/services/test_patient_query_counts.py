"""Statements of patients' and visits' services: reads are one, and rows multiply none."""

from __future__ import annotations

import json
import uuid

from config import Principal, Settings
from models.engine import Databases
from services.allergy_list import list_allergies
from services.care_team_list import list_team
from services.field_encryption import field_cipher
from services.patient_create import create_patient
from services.patient_get import get_patient
from services.patient_list import PatientSearch, list_patients, search_patients
from services.patient_update import may_update_patient, update_patient
from services.visit_call import call_visit
from services.visit_create import NewVisit, create_visit
from services.visit_list import list_visits
from tests.factories.cast import Cast, make_cpf, make_patient
from tests.services.test_query_counts import counted, statements_sent


def test_an_audited_read_is_one_statement_however_long_the_page(
    databases: Databases, settings: Settings, cast: Cast
) -> None:
    cipher, actor = field_cipher(settings), cast.doctor.actor
    for number in range(6):
        patient_id = make_patient(databases, settings, f"Contado {number}", cpf=make_cpf())
        with databases.session(Principal.STAFF) as session:
            create_visit(session, actor, cipher, NewVisit(patient_id, "Dor", "LOW"))
    words = PatientSearch(q="contado")
    for limit in (1, 6):
        assert len(json.loads(search_patients(databases, actor, cipher, words, limit=limit).data)) == limit
        for act in (
            lambda n=limit: list_patients(databases, actor, cipher, limit=n),
            lambda n=limit: search_patients(databases, actor, cipher, words, limit=n),
            lambda n=limit: list_visits(databases, actor, limit=n),
        ):
            assert statements_sent(databases, act) == 1
    assert statements_sent(databases, lambda: get_patient(databases, actor, cipher, patient_id)) == 1
    assert statements_sent(databases, lambda: list_team(databases, actor, patient_id)) == 1
    assert statements_sent(databases, lambda: list_allergies(databases, actor, patient_id)) == 1


def test_writing_takes_a_fixed_number_of_statements(databases: Databases, settings: Settings, cast: Cast) -> None:
    cipher, actor = field_cipher(settings), cast.doctor.actor
    content = {"fullName": "Contada", "sex": "FEMALE", "cpf": make_cpf()}
    with databases.session(Principal.STAFF) as session, counted(databases) as creating:
        patient_id: uuid.UUID = create_patient(session, actor, cipher, content).patient.id
    # the duplicate look-up, patient, membership (look, insert, event), standing, version, event
    assert len(creating) == 8, creating
    with databases.session(Principal.STAFF) as session, counted(databases) as updating:
        access = may_update_patient(session, actor, patient_id)
        update_patient(session, actor, cipher, access, version=1, content={"phone": "1"})
    # patient's lock, standing, update, version, event
    assert len(updating) == 5, updating
    with databases.session(Principal.STAFF) as session:
        visit, _ = create_visit(session, cast.reception.actor, cipher, NewVisit(patient_id, "Dor", "LOW"))
    with databases.session(Principal.STAFF) as session, counted(databases) as calling:
        call_visit(session, actor, cipher, visit.id)
    assert len(calling) <= 13, calling
