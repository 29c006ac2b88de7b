"""Breaking the glass: for whom, why, for how long, and who is told."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from config import Principal, Settings
from models import AuditOutbox, BreakGlassGrant, Notification
from models.engine import Databases
from models.user import Role
from services.break_glass import Preset, break_glass
from services.errors import Conflict, Forbidden, Invalid, NotFound
from services.field_encryption import FieldCipher
from services.patient_get import get_patient
from services.patient_update import may_update_patient
from services.record_create import NewRecord, create_record
from services.record_get import get_record
from tests.factories.cast import Cast, Person, join_team, make_cpf, make_patient, make_person

REASON = "Paciente inconsciente, sem acompanhante"


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    made = make_patient(databases, settings, "Vidro", cpf=make_cpf())
    join_team(databases, made, cast.doctor.id)
    join_team(databases, made, cast.nurse.id)
    return made


def open_up(
    databases: Databases, person: Person, patient_id: uuid.UUID, reason: str | None = REASON
) -> BreakGlassGrant:
    with databases.session(Principal.STAFF) as session:
        return break_glass(session, person.actor, patient_id, reason=reason)


def test_security_38_the_view_is_clear_for_half_an_hour_and_then_masked_again(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(patient_id, {"title": "Consulta", "diagnosis": "Sigilosa"})
        record_id = create_record(session, cast.doctor.actor, cipher, new).record.id

    def view() -> tuple[str, str, str, str]:
        patient = get_patient(databases, cast.doctor2.actor, cipher, patient_id)
        record = get_record(databases, cast.doctor2.actor, record_id)
        return json.loads(patient.data)["cpf"], patient.etag, json.loads(record.data)["diagnosis"], record.etag

    masked = view()
    grant = open_up(databases, cast.doctor2, patient_id)
    assert grant.expires_at - grant.granted_at == timedelta(minutes=30)
    cpf, patient_tag, diagnosis, record_tag = view()
    assert "*" not in cpf and diagnosis == "Sigilosa"
    assert patient_tag == record_tag == '"1"'
    with databases.session(Principal.WORKER) as session:
        query = select(AuditOutbox).where(AuditOutbox.actor_id == cast.doctor2.id, AuditOutbox.basis_id == grant.id)
        found = {event.action: event.basis for event in session.scalars(query)}
    assert found == dict.fromkeys(("patient.break_glass", "patient.read", "medical_record.read"), "break-glass")
    with databases.session(Principal.STAFF) as session, pytest.raises(Forbidden):
        may_update_patient(session, cast.doctor2.actor, patient_id)
    over = datetime.now(UTC) - timedelta(seconds=1)
    with databases.session(Principal.MIGRATOR) as session:  # staff may end an access, not date its beginning back
        session.execute(
            update(BreakGlassGrant)
            .where(BreakGlassGrant.id == grant.id)
            .values(granted_at=over - timedelta(minutes=30), expires_at=over)
        )
    assert view() == masked


def test_the_team_and_the_administrators_are_told_at_once(
    databases: Databases, cast: Cast, patient_id: uuid.UUID
) -> None:
    grant = open_up(databases, cast.nurse2, patient_id)
    with databases.session(Principal.STAFF) as session:
        told = session.scalars(select(Notification).where(Notification.subject_id == grant.id)).all()
    people = {notification.user_id for notification in told}
    assert {cast.doctor.id, cast.nurse.id, cast.admin.id} <= people
    assert not {cast.nurse2.id, cast.doctor2.id, cast.reception.id, cast.auditor.id} & people
    assert {(note.kind, note.patient_id) for note in told} == {("patient.break_glass", patient_id)}


def test_only_clinicians_outside_the_team_break_it(databases: Databases, cast: Cast, patient_id: uuid.UUID) -> None:
    for person in (cast.doctor, cast.nurse):
        with pytest.raises(Conflict):
            open_up(databases, person, patient_id)
    for name in ("reception", "admin", "auditor", "patient"):
        with pytest.raises(Forbidden):
            open_up(databases, cast.people[name], patient_id)
    with pytest.raises(NotFound):
        open_up(databases, cast.doctor2, uuid.uuid4())


@pytest.mark.parametrize(
    "reason", [None, "", "   ", "curto", "..........", "aaaaaaaaaaaaaaa", "x" * 1001, " " * 20 + "urg"]
)
def test_a_reason_is_one_that_others_can_review(
    databases: Databases, cast: Cast, patient_id: uuid.UUID, reason: str | None
) -> None:
    with pytest.raises(Invalid) as refused:
        open_up(databases, cast.doctor2, patient_id, reason)
    assert [error.pointer for error in refused.value.errors] == ["/reason"]


def test_a_preset_stands_before_the_text(databases: Databases, cast: Cast, patient_id: uuid.UUID) -> None:
    with databases.session(Principal.STAFF) as session:
        grant = break_glass(session, cast.doctor2.actor, patient_id, reason=REASON, preset=Preset.EMERGENCY)
        assert grant.reason == f"EMERGENCY: {REASON}"
    assert open_up(databases, cast.doctor2, patient_id).id != grant.id, "a second one takes its own reason"


def test_a_scoped_token_needs_the_scope(databases: Databases, cast: Cast, patient_id: uuid.UUID) -> None:
    person = make_person(databases, Role.DOCTOR, "Token Estreito", scopes=["patients:read", "records:read"])
    with pytest.raises(Forbidden):
        open_up(databases, person, patient_id)
