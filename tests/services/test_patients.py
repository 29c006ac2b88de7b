"""Registering, correcting, reading and inactivating patients through the services, as everybody of the cast."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update

from config import Principal, Settings
from models import AuditOutbox, CareTeamMember, Patient, PatientVersion, Visit
from models.engine import Databases
from services.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    PreconditionRequired,
    ServiceError,
    StaleVersion,
)
from services.field_encryption import FieldCipher, field_cipher
from services.patient_create import create_patient
from services.patient_fields import content_of, open_content
from services.patient_get import get_patient
from services.patient_homonyms import find_homonyms
from services.patient_inactivate import inactivate_patient, restore_patient
from services.patient_update import may_update_patient, update_patient
from services.patient_view import patient_etag, show_patient
from tests.conftest import test_key as key_for
from tests.factories.cast import Cast, Person, make_cpf, make_patient

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


@pytest.fixture(scope="module")
def cipher(settings: Settings) -> FieldCipher:
    return field_cipher(settings)


def register(databases: Databases, cipher: FieldCipher, person: Person, **content: Any) -> uuid.UUID:
    values = {"fullName": "Paciente Novo", "sex": "UNKNOWN", **content}
    with databases.session(Principal.STAFF) as session:
        return create_patient(session, person.actor, cipher, values).patient.id


def change(
    databases: Databases,
    cipher: FieldCipher,
    person: Person,
    patient_id: uuid.UUID,
    version: int | None,
    **content: Any,
) -> int:
    with databases.session(Principal.STAFF) as session:
        access = may_update_patient(session, person.actor, patient_id)
        return update_patient(session, person.actor, cipher, access, version=version, content=content).patient.version


def read(databases: Databases, cipher: FieldCipher, person: Person, patient_id: uuid.UUID, **options: Any) -> Any:
    return json.loads(get_patient(databases, person.actor, cipher, patient_id, **options).data)


def events(databases: Databases, patient_id: uuid.UUID, action: str) -> list[AuditOutbox]:
    with databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox).where(AuditOutbox.patient_id == patient_id, AuditOutbox.action == action)
        return list(session.scalars(query.order_by(AuditOutbox.id)))


def members(databases: Databases, patient_id: uuid.UUID) -> dict[uuid.UUID, str]:
    with databases.session(Principal.STAFF) as session:
        query = select(CareTeamMember).where(
            CareTeamMember.patient_id == patient_id, CareTeamMember.removed_at.is_(None)
        )
        return {member.user_id: member.origin for member in session.scalars(query)}


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


def test_everybody_sees_what_the_table_says(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    cpf = make_cpf()
    patient_id = register(databases, cipher, cast.doctor, cpf=cpf, passport="FD123456", phone="11 5555-0000")
    for name in ("doctor", "reception"):
        shown = read(databases, cipher, cast.people[name], patient_id)
        assert shown["cpf"].replace(".", "").replace("-", "") == cpf, name
    for name, reason in (
        ("doctor2", "outside-care-team"),
        ("nurse", "outside-care-team"),
        ("admin", "admin"),
    ):
        person = cast.people[name]
        shown = read(databases, cipher, person, patient_id)
        assert shown["cpf"] == f"***.{cpf[3:6]}.{cpf[6:9]}-**", name
        assert shown["passport"] == "*****456" and shown["phone"] == "11 5555-0000"
        assert shown["privacy"] == {"maskedFields": ["cpf", "cns", "passport"], "reason": reason}
        assert get_patient(databases, person.actor, cipher, patient_id).etag.startswith('"1-')
    with pytest.raises(Forbidden):
        get_patient(databases, cast.auditor.actor, cipher, patient_id)


def test_a_patient_sees_themselves_and_nobody_else(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    own = read(databases, cipher, cast.patient, cast.patient_id)
    assert own["fullName"] == "Conceição Ávila" and own["privacy"]["maskedFields"] == []
    for other in (cast.stranger_id, uuid.uuid4()):
        with pytest.raises(NotFound):
            get_patient(databases, cast.patient.actor, cipher, other)
    refused = events_of(databases, cast.stranger_id, cast.patient)
    assert refused and {event.outcome for event in refused} == {"refused"}


def events_of(databases: Databases, entity_id: uuid.UUID, person: Person) -> list[AuditOutbox]:
    with databases.session(Principal.WORKER) as session:
        return list(
            session.scalars(
                select(AuditOutbox).where(AuditOutbox.entity_id == entity_id, AuditOutbox.actor_id == person.id)
            )
        )


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


def create_with(databases: Databases, cipher: FieldCipher, person: Person, content: dict[str, Any]) -> None:
    with databases.session(Principal.STAFF) as session:
        create_patient(session, person.actor, cipher, content)


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


def test_update_needs_the_version_and_names_what_conflicts(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    cpf = make_cpf()
    patient_id = register(databases, cipher, cast.doctor, cpf=cpf, phone="1")
    assert change(databases, cipher, cast.reception, patient_id, 1, phone="2", address="Rua B") == 2
    with pytest.raises(StaleVersion) as stale:
        change(databases, cipher, cast.doctor, patient_id, 1, phone="3", address="Rua B", cpf=cpf, email="a@b.c")
    assert stale.value.current_version == 2 and stale.value.conflicting_fields == ("phone",)
    with pytest.raises(PreconditionRequired):
        change(databases, cipher, cast.doctor, patient_id, None, phone="3")
    assert change(databases, cipher, cast.doctor, patient_id, 2, phone="2", cpf=cpf) == 2, "nothing changed, no version"
    changed = change(databases, cipher, cast.doctor, patient_id, 2, phone=None, cpf=None, deceasedAt=datetime.now(UTC))
    assert changed == 3
    shown = read(databases, cipher, cast.doctor, patient_id)
    assert shown["phone"] is None and shown["cpf"] is None and shown["deceasedAt"] is not None
    assert {c["field"] for c in events(databases, patient_id, "patient.update")[-1].changes or ()} == {
        "phone",
        "cpf",
        "deceasedAt",
    }
    for wrong in ({"fullName": None}, {"sex": None}, {"deceasedAt": datetime(1840, 1, 1, tzinfo=UTC)}):
        with pytest.raises(Invalid):
            change(databases, cipher, cast.doctor, patient_id, 3, **wrong)
    assert change(databases, cipher, cast.doctor, patient_id, 3, birthDate=date(1990, 5, 5)) == 4
    with pytest.raises(Invalid):
        change(databases, cipher, cast.doctor, patient_id, 4, deceasedAt=datetime(1990, 5, 4, tzinfo=UTC))


def test_who_may_correct_a_patient(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    for name in ("doctor", "nurse", "reception"):
        with databases.session(Principal.STAFF) as session:
            may_update_patient(session, cast.people[name].actor, cast.patient_id)
    for name in ("doctor2", "nurse2", "admin", "auditor", "patient"):
        with databases.session(Principal.STAFF) as session, pytest.raises(Forbidden):
            may_update_patient(session, cast.people[name].actor, cast.patient_id)
    with databases.session(Principal.STAFF) as session, pytest.raises(NotFound):
        may_update_patient(session, cast.doctor.actor, uuid.uuid4())


def test_security_39_a_masked_copy_sent_back_changes_nothing(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    cpf = make_cpf()
    patient_id = register(databases, cipher, cast.doctor, cpf=cpf)
    copy = read(databases, cipher, cast.doctor2, patient_id)
    with pytest.raises(Forbidden):
        change(databases, cipher, cast.doctor2, patient_id, 1, cpf=copy["cpf"], cns=copy["cns"])
    with pytest.raises(Invalid):
        change(databases, cipher, cast.doctor, patient_id, 1, cpf=copy["cpf"])
    assert read(databases, cipher, cast.reception, patient_id)["cpf"].replace(".", "").replace("-", "") == cpf


def test_the_responsible_doctor_changes_with_the_team(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    patient_id = register(databases, cipher, cast.doctor)
    with pytest.raises(Forbidden):
        change(databases, cipher, cast.doctor2, patient_id, 1, responsibleId=cast.doctor2.id)
    assert change(databases, cipher, cast.reception, patient_id, 1, responsibleId=cast.doctor2.id) == 2
    assert members(databases, patient_id) == {cast.doctor.id: "ADDED", cast.doctor2.id: "RESPONSIBLE"}
    with pytest.raises(Forbidden):
        change(databases, cipher, cast.doctor, patient_id, 2, responsibleId=cast.doctor.id)
    with pytest.raises(Invalid):
        change(databases, cipher, cast.doctor, patient_id, 2, responsibleId=None)
    assert change(databases, cipher, cast.doctor2, patient_id, 2, responsibleId=cast.doctor.id) == 3
    assert members(databases, patient_id) == {cast.doctor.id: "RESPONSIBLE", cast.doctor2.id: "ADDED"}


def test_inactivation_takes_a_reason_and_can_be_undone(databases: Databases, cast: Cast, cipher: FieldCipher) -> None:
    patient_id = register(databases, cipher, cast.doctor)

    def inactivate(person: Person, reason: str | None = "engano") -> None:
        with databases.session(Principal.STAFF) as session:
            inactivate_patient(session, person.actor, cipher, patient_id, reason=reason)

    def restore(person: Person) -> None:
        with databases.session(Principal.STAFF) as session:
            restore_patient(session, person.actor, cipher, patient_id, reason="era válido")

    for name in ("doctor2", "nurse", "admin", "patient"):
        with pytest.raises(Forbidden):
            inactivate(cast.people[name])
    with pytest.raises(Invalid):
        inactivate(cast.doctor, " ")
    with pytest.raises(Conflict):
        restore(cast.doctor)
    with databases.session(Principal.STAFF) as session:
        session.add(Visit(patient_id=patient_id, reason="Dor", priority="LOW", arrived_at=datetime.now(UTC)))
    with pytest.raises(Conflict):
        inactivate(cast.doctor)
    with databases.session(Principal.STAFF) as session:
        session.execute(
            update(Visit).where(Visit.patient_id == patient_id).values(status="LEFT", closed_at=datetime.now(UTC))
        )
    inactivate(cast.doctor)
    with pytest.raises(Gone):
        inactivate(cast.reception)
    for name in ("doctor", "doctor2", "reception", "admin"):
        with pytest.raises(Gone):
            read(databases, cipher, cast.people[name], patient_id)
    assert read(databases, cipher, cast.doctor, patient_id, include_deleted=True)["deletedAt"] is not None
    with pytest.raises(Gone):
        change(databases, cipher, cast.doctor, patient_id, 2, phone="1")
    restore(cast.reception)
    assert read(databases, cipher, cast.doctor, patient_id)["version"] == 3
    actions = [event.action for event in all_events(databases, patient_id)]
    assert actions.count("patient.delete") == actions.count("patient.restore") == 1


def all_events(databases: Databases, patient_id: uuid.UUID) -> list[AuditOutbox]:
    with databases.session(Principal.WORKER) as session:
        return list(session.scalars(select(AuditOutbox).where(AuditOutbox.patient_id == patient_id)))


def test_an_inactive_patient_is_nobody_to_their_own_login(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher
) -> None:
    from dataclasses import replace

    patient_id = make_patient(databases, settings, "Duplicado")
    person = replace(cast.patient, actor=replace(cast.patient.actor, patient_id=patient_id))
    assert read(databases, cipher, person, patient_id)["fullName"] == "Duplicado"
    with databases.session(Principal.STAFF) as session:
        inactivate_patient(session, cast.reception.actor, cipher, patient_id, reason="engano")
    with pytest.raises(NotFound):
        read(databases, cipher, person, patient_id, include_deleted=True)


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


def test_security_23_a_dump_of_every_table_contains_no_cpf_or_cns(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    cpf, cns, passport = make_cpf(), "898001160660761", "ZX987654"
    patient_id = register(databases, cipher, cast.doctor, cpf=cpf, passport=passport, cns=cns)
    newer = make_cpf()
    change(databases, cipher, cast.doctor, patient_id, 1, cpf=newer)
    with pytest.raises(ServiceError):
        register(databases, cipher, cast.doctor2, cpf=newer)
    with databases.session(Principal.BACKUP) as session:
        tables = session.scalars(
            text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                "AND relkind IN ('r', 'p') AND NOT relispartition"
            )
        ).all()
        rows = 0
        for table in tables:
            for (row,) in session.execute(text(f"SELECT to_jsonb(t)::text FROM {table} t")):
                rows += 1
                for secret in (cpf, newer, cns, passport, f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}"):
                    assert secret not in row, table
                    assert secret.encode().hex() not in row, table
    assert rows > 10 and len(tables) > 25


def test_security_23_ciphertext_moved_to_another_row_does_not_open(
    databases: Databases, cast: Cast, cipher: FieldCipher
) -> None:
    first = register(databases, cipher, cast.doctor, cpf=make_cpf())
    second = register(databases, cipher, cast.doctor)
    with databases.session(Principal.STAFF) as session:
        stolen = session.get_one(Patient, first).cpf_cipher
        assert stolen is not None
        with pytest.raises(ValueError, match="does not belong"):
            cipher.decrypt(stolen, second)
