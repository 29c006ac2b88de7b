"""What a page offers is what the services allow, for everybody of the cast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from config import Settings
from services.allergy_create import NewAllergy, create_allergy
from services.break_glass import break_glass
from services.care_team_add import add_member
from services.errors import Conflict, Forbidden
from services.field_encryption import FieldCipher, field_cipher
from services.patient_acts import patient_acts
from services.patient_inactivate import inactivate_patient
from services.patient_update import may_update_patient
from services.record_create import NewRecord, create_record
from services.visit_create import NewVisit, create_visit
from tests.factories.cast import Cast, Person

STAFF = ("doctor", "doctor2", "nurse", "nurse2", "reception", "admin")
Try = Callable[[Session, Person, FieldCipher, Cast], Any]

ACTS: dict[str, Try] = {
    "edit": lambda s, who, c, cast: may_update_patient(s, who.actor, cast.patient_id),
    "note_allergy": lambda s, who, c, cast: create_allergy(s, who.actor, c, cast.patient_id, NewAllergy("Dipirona")),
    "change_team": lambda s, who, c, cast: (
        add_member(s, who.actor, c, cast.patient_id, cast.nurse.id)
        if who is not cast.nurse
        else add_member(s, who.actor, c, cast.patient_id, cast.doctor.id)
    ),
    "inactivate": lambda s, who, c, cast: inactivate_patient(s, who.actor, c, cast.patient_id, reason="engano"),
    "check_in": lambda s, who, c, cast: create_visit(s, who.actor, c, NewVisit(cast.patient_id, "Dor", "LOW")),
    "write_record": lambda s, who, c, cast: create_record(
        s, who.actor, c, NewRecord(cast.patient_id, {"title": "T", "kind": "TRIAGE"})
    ),
    "break_glass": lambda s, who, c, cast: break_glass(s, who.actor, cast.patient_id, reason="plantão da noite"),
}


@pytest.mark.parametrize("name", STAFF)
@pytest.mark.parametrize("act", ACTS)
def test_offered_if_and_only_if_it_is_allowed(
    session: Session, settings: Settings, cast: Cast, name: str, act: str
) -> None:
    person = cast.people[name]
    offered = getattr(patient_acts(session, person.actor, cast.patient_id), act)
    allowed = True
    try:
        ACTS[act](session, person, field_cipher(settings), cast)
    except Forbidden:
        allowed = False
    except Conflict:  # inside already: no glass to break; or a visit that another test left open
        allowed = act != "break_glass"
    assert offered is allowed


def test_a_running_grant_offers_no_other(session: Session, cast: Cast) -> None:
    break_glass(session, cast.doctor2.actor, cast.patient_id, reason="plantão da noite")
    acts = patient_acts(session, cast.doctor2.actor, cast.patient_id)
    assert (acts.break_glass, acts.in_team) == (False, False)
