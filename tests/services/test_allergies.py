"""Allergies: who notes them, who sees them, and that hiding them hides how many there are."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from config import Principal, Settings
from models.engine import Databases
from services.allergy_create import NewAllergy, create_allergy, show_allergy
from services.allergy_list import list_allergies
from services.errors import Forbidden, Invalid, NotFound
from services.field_encryption import FieldCipher
from tests.factories.cast import Cast, Person, join_team, make_patient


@pytest.fixture
def patient_id(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    made = make_patient(databases, settings, "Alérgica")
    join_team(databases, made, cast.doctor.id)
    return made


def note(databases: Databases, cipher: FieldCipher, person: Person, patient_id: uuid.UUID, new: NewAllergy) -> object:
    with databases.session(Principal.STAFF) as session:
        return show_allergy(*create_allergy(session, person.actor, cipher, patient_id, new))


def test_the_team_notes_and_clinicians_and_the_patient_see(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    for name in ("doctor2", "nurse", "reception", "admin", "auditor", "patient"):
        with pytest.raises(Forbidden):
            note(databases, cipher, cast.people[name], patient_id, NewAllergy("Dipirona"))
    shown = note(databases, cipher, cast.doctor, patient_id, NewAllergy("Dipirona", "Urticária", "SEVERE"))
    note(databases, cipher, cast.doctor, patient_id, NewAllergy("Látex"))
    for name in ("doctor", "doctor2", "nurse2"):
        listed = list_allergies(databases, cast.people[name].actor, patient_id)
        rows = json.loads(listed.data)
        assert rows[0] == shown and [row["substance"] for row in rows] == ["Dipirona", "Látex"]
        assert json.loads(listed.privacy) == {"maskedFields": [], "reason": None}


def test_hiding_does_not_look_like_none_and_does_not_count(
    databases: Databases, settings: Settings, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    note(databases, cipher, cast.doctor, patient_id, NewAllergy("Dipirona"))
    without = make_patient(databases, settings, "Sem alergias")
    for person in (cast.reception, cast.admin):
        assert list_allergies(databases, person.actor, patient_id) == list_allergies(databases, person.actor, without)
        hidden = list_allergies(databases, person.actor, patient_id)
        assert hidden.data == b"null" and "substance" in json.loads(hidden.privacy)["maskedFields"]
    assert list_allergies(databases, cast.doctor2.actor, without).data == b"[]"


def test_a_patient_sees_their_own(databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID) -> None:
    note(databases, cipher, cast.doctor, cast.patient_id, NewAllergy("Penicilina"))
    assert b"Penicilina" in list_allergies(databases, cast.patient.actor, cast.patient_id).data
    for person, other in ((cast.stranger, cast.patient_id), (cast.doctor, uuid.uuid4())):
        with pytest.raises(NotFound):
            list_allergies(databases, person.actor, other)
    with pytest.raises(Forbidden):
        list_allergies(databases, cast.auditor.actor, patient_id)


def test_what_breaks_a_rule_is_named(
    databases: Databases, cast: Cast, cipher: FieldCipher, patient_id: uuid.UUID
) -> None:
    wrong = NewAllergy(" ", "x" * 1001, "LETHAL", datetime.now(UTC) + timedelta(days=1))
    with pytest.raises(Invalid) as refused:
        note(databases, cipher, cast.doctor, patient_id, wrong)
    assert [error.pointer for error in refused.value.errors] == ["/substance", "/reaction", "/severity", "/notedAt"]
