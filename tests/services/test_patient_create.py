"""Registering a patient: what is kept, what is refused, duplicates and homonyms."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from config import Principal, Settings
from models import AuditOutbox, Patient, PatientVersion
from models.engine import Databases
from services.errors import (
    Conflict,
    Forbidden,
    Invalid,
)
from services.field_encryption import FieldCipher
from services.patient_create import create_patient
from services.patient_fields import content_of, open_content
from services.patient_get import get_patient
from services.patient_homonyms import find_homonyms
from services.patient_view import patient_etag, show_patient
from tests.conftest import test_key as key_for
from tests.factories.cast import Cast, Person, make_cpf
from tests.services.patients_at_the_desk import change, events, members, read, register

EVERYTHING: dict[str, Any] = {
    "fullName": "Maria  das Dôres d'Ávila",
    "socialName": "Dora",
    "motherName": "Ana d'Ávila",
    "birthDate": date(1980, 2, 29),
    "birthDateEstimated": True,
    "sex": "FEMALE",
    "passport": "FD123456",
    "nationality": "BR",
    "phone": "+55 11 5555-0101",
    "email": "dora@example.org",
    "address": "Rua A, 1\nSão Paulo",
}


def create_with(databases: Databases, cipher: FieldCipher, person: Person, content: dict[str, Any]) -> None:
    with databases.session(Principal.STAFF) as session:
        create_patient(session, person.actor, cipher, content)


def test_text_is_kept_as_typed_and_documents_in_one_form(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    cpf = make_cpf()
    with databases.session(Principal.STAFF) as session:
        access = create_patient(session, cast.doctor.actor, cipher, {**EVERYTHING, "cpf": cpf})
        shown, etag = show_patient(cipher, access), patient_etag(access)
    for name, value in EVERYTHING.items():
        assert shown[name] == (value.isoformat() if name == "birthDate" else value), name
    assert shown["cpf"] == f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}"
    assert shown["version"] == 1 and shown["privacy"] == {"maskedFields": [], "reason": None}
    assert shown["responsibleId"] == str(cast.doctor.id)
    page = get_patient(databases, cast.doctor.actor, cipher, access.patient.id)
    assert json.loads(page.data) == shown, "SQL and Python show the same"
    assert page.etag == etag == '"1"'


def test_registering_makes_the_team_the_version_and_the_events(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    by_doctor = register(databases, cipher, cast.doctor2, motherName="Zulmira Testemunha")
    assert members(databases, by_doctor) == {cast.doctor2.id: "RESPONSIBLE"}
    (event,) = events(databases, by_doctor, "patient.create")
    assert event.to_version == 1 and event.from_version is None and event.basis == "care-team"
    assert event.changes is not None and {"motherName", "responsibleId"} <= {c["field"] for c in event.changes}
    assert "Zulmira" not in str(event.changes)
    assert len(events(databases, by_doctor, "care_team.add")) == 1
    with databases.session(Principal.STAFF) as session:
        version = session.get_one(PatientVersion, (by_doctor, 1))
        patient = session.get_one(Patient, by_doctor)
        assert open_content(cipher, by_doctor, version.content) == content_of(cipher, patient)
        assert len(cipher.decrypt_bytes(patient.audit_key_cipher, by_doctor)) == 32

    by_reception = register(databases, cipher, cast.reception, responsibleId=cast.doctor2.id)
    assert members(databases, by_reception) == {cast.doctor2.id: "RESPONSIBLE"}
    assert members(databases, register(databases, cipher, cast.nurse)) == {}
    for person in (cast.nurse, cast.doctor):
        with pytest.raises(Forbidden) as refused:
            register(databases, cipher, person, responsibleId=cast.doctor2.id)
        assert refused.value.pointers == ("/responsibleId",)
    with pytest.raises(Invalid):
        register(databases, cipher, cast.reception, responsibleId=cast.nurse.id)
    for name in ("admin", "auditor", "patient"):
        with pytest.raises(Forbidden):
            register(databases, cipher, cast.people[name])


def test_an_unidentified_patient_needs_a_description_and_a_sex(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    patient_id = register(
        databases, cipher, cast.reception, fullName="Desconhecido, homem, cerca de 40 anos", sex="MALE"
    )
    shown = read(databases, cipher, cast.reception, patient_id)
    assert shown["cpf"] is None and shown["birthDate"] is None
    with pytest.raises(Invalid) as refused:
        create_with(databases, cipher, cast.reception, {})
    assert {error.pointer for error in refused.value.errors} == {"/fullName", "/sex"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fullName", "   "),
        ("fullName", "x" * 201),
        ("sex", "F3MALE"),
        ("cpf", "11111111111"),
        ("cns", "100000000000015"),
        ("passport", "?"),
        ("birthDate", date(1849, 12, 31)),
        ("birthDate", date.today() + timedelta(days=2)),  # noqa: DTZ011
        ("address", ""),
        ("deceasedAt", datetime.now(UTC) + timedelta(days=3)),
    ],
)
def test_what_breaks_a_rule_is_refused_by_name_and_never_repeated(
    databases: Databases, cast: Cast, cipher: FieldCipher, field: str, value: Any
) -> None:
    with pytest.raises(Invalid) as refused:
        register(databases, cipher, cast.doctor, **{field: value})
    assert [error.pointer for error in refused.value.errors] == [f"/{field}"]
    if str(value).strip():
        assert str(value) not in str([refused.value, *refused.value.errors])


def test_a_duplicate_is_a_conflict_that_names_nobody(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    cpf = make_cpf()
    first = register(databases, cipher, cast.doctor, cpf=cpf, fullName="Dona do Número")
    with pytest.raises(Conflict) as refused:
        register(databases, cipher, cast.doctor2, cpf=f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}")
    assert cpf not in refused.value.detail and "Dona" not in refused.value.detail
    other = register(databases, cipher, cast.doctor)
    with pytest.raises(Conflict):
        change(databases, cipher, cast.doctor, other, 1, cpf=cpf)
    assert change(databases, cipher, cast.doctor, first, 1, cpf=cpf) == 1, "one's own number is no duplicate"


def test_a_duplicate_is_found_under_the_previous_key_too(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    import base64

    cpf = make_cpf()
    register(databases, cipher, cast.doctor, cpf=cpf)
    rotated = FieldCipher(
        base64.b64decode(key_for("new fields")), base64.b64decode(settings.field_key.get_secret_value())
    )
    with pytest.raises(Conflict):
        register(databases, rotated, cast.doctor, cpf=cpf)


def test_of_two_who_register_one_cpf_at_once_one_succeeds(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    cpf = make_cpf()
    start = threading.Barrier(4)
    outcomes: list[str] = []

    def attempt() -> None:
        start.wait(timeout=10)
        try:
            register(databases, cipher, cast.reception, cpf=cpf)
            outcomes.append("made")
        except Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(outcomes) == ["conflict"] * 3 + ["made"]


def test_homonyms_are_named_by_id_and_the_showing_is_an_event(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    born, mother = date(1977, 7, 7), "Lúcia Homônima"
    first = register(databases, cipher, cast.doctor, fullName="José Homônimo", birthDate=born, motherName=mother)
    other_person = register(
        databases, cipher, cast.doctor, fullName="Jose HOMONIMO", birthDate=date(1990, 1, 1), motherName="Outra Mãe"
    )
    twin = register(databases, cipher, cast.doctor, fullName="Júlio", birthDate=born, motherName="lucia homonima")
    with databases.session(Principal.STAFF) as session:
        content = {
            "fullName": "jose homonimo",
            "socialName": "Zé",
            "sex": "MALE",
            "birthDate": born,
            "motherName": mother,
        }
        made = create_patient(session, cast.reception.actor, cipher, content).patient
        assert find_homonyms(session, cast.reception.actor, made) == [first, twin]
        nameless = Patient(id=uuid.uuid4(), full_name="JOSÉ HOMÔNIMO")
        assert find_homonyms(session, cast.reception.actor, nameless) == [first, other_person, made.id]
        assert find_homonyms(session, cast.auditor.actor, made) == []
    with databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox).where(AuditOutbox.entity_ids == [first, twin])
        (event,) = session.scalars(query)
    assert event.action == "patient.search" and event.actor_id == cast.reception.id
