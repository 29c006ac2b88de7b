"""Unusual accesses by lists, and that no way to a patient is forgotten by the rules."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from config import Principal, Settings
from models import new_id
from models.engine import Databases
from models.user import Role
from services import access_watch
from services.access_bursts import Fact
from services.access_rules import RULES, RuleKey
from services.audit_event import Event
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from services.visit_create import NewVisit, create_visit
from tests.audit.watched import (
    SetRule,
    did,
    listed,
    minutes,
    of_rule,
    seen,
    watch_all,
)
from tests.factories.cast import Person, make_patient, make_person

pytestmark = pytest.mark.usefixtures("nothing_found_yet")
MEMBER = """
    INSERT INTO care_team_members (id, patient_id, user_id, origin, added_at)
    VALUES (:id, :patient, :user, 'ADDED', :from)
"""
ROOT = Path(__file__).resolve().parent.parent.parent


def test_patients_of_listed_records_are_counted_once_each(
    trail: Databases, trail_settings: Settings, doctor: Person, set_rule: SetRule
) -> None:
    set_rule(RuleKey.RECORDS_LISTED, threshold=3)
    patients = [make_patient(trail, trail_settings, f"Paciente {number}") for number in range(3)]
    with trail.session(Principal.STAFF) as session:
        records = [
            create_record(
                session, doctor.actor, field_cipher(trail_settings), NewRecord(patient, {"title": "Consulta"})
            ).record.id
            for patient in (*patients, patients[0])
        ]

    def shows(*ids: uuid.UUID) -> Event:
        return Event("medical_record.list", "medical_record", entity_ids=ids)

    did(trail, doctor, (minutes(0), shows(records[0], records[3])), (minutes(1), shows(records[1])))
    assert watch_all(trail) == 0
    did(trail, doctor, (minutes(2), shows(records[2])))
    assert watch_all(trail) == 1
    assert seen(trail) == [("records_listed", doctor.id, 3)]


def test_patients_of_listed_visits_are_counted_once_each(
    trail: Databases, trail_settings: Settings, set_rule: SetRule
) -> None:
    """Together with those whom lists name themselves."""
    set_rule(RuleKey.MANY_LISTED, threshold=4)
    desk = make_person(trail, Role.RECEPTION, "Bia Rocha")
    patients = [make_patient(trail, trail_settings, f"Paciente {number}") for number in range(3)]
    with trail.session(Principal.STAFF) as session:
        visits = [
            create_visit(session, desk.actor, field_cipher(trail_settings), NewVisit(patient, "Dor", "LOW"))[0].id
            for patient in patients
        ]
    shown = [Event("visit.list", "visit", entity_ids=(visits[0], each)) for each in visits[1:]]
    did(trail, desk, *((minutes(0), event) for event in (*shown, *shown, listed(patients[0]))))
    assert watch_all(trail) == 0
    other = new_id()
    did(trail, desk, (minutes(2), listed(other)))
    assert watch_all(trail) == 1
    [alert] = of_rule(trail, RuleKey.MANY_LISTED)
    assert (alert.count, set(alert.patient_ids)) == (4, {*patients, other})


def test_patients_named_in_lists_are_counted_once_each(trail: Databases, doctor: Person, set_rule: SetRule) -> None:
    set_rule(RuleKey.MANY_LISTED, threshold=30)
    patients = [new_id() for _ in range(30)]
    did(trail, doctor, (minutes(0), listed(*patients[:20])), (minutes(1), listed(*patients[9:29])))
    assert watch_all(trail) == 0
    did(trail, doctor, (minutes(2), listed(*patients[20:])))
    assert watch_all(trail) == 1
    assert seen(trail) == [("many_listed", doctor.id, 30)]


def test_who_looks_at_the_same_page_again_and_again_costs_a_look_nothing(
    trail: Databases, doctor: Person, set_rule: SetRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An integrator does, every few seconds: what can't be a burst is told apart within the database, and the look
    before an alert reads no more than it has to."""
    read: list[Fact] = []

    def counted(*values: Any) -> Fact:
        read.append(Fact(*values))
        return read[-1]

    monkeypatch.setattr(access_watch, "Fact", counted)
    set_rule(RuleKey.MANY_LISTED, threshold=6)
    page = [new_id() for _ in range(5)]
    did(trail, doctor, *((minutes(number / 20), listed(*page)) for number in range(200)))
    assert (watch_all(trail), len(read)) == (0, 0)
    did(trail, doctor, (minutes(11), listed(new_id())))
    assert (watch_all(trail), len(read)) == (1, 1001), "with what is new it is a burst, of all that it was made of"
    assert seen(trail) == [("many_listed", doctor.id, 6)]


def test_a_list_of_a_relatives_records_tells_as_much_as_one_of_them(
    trail: Databases, settings: Settings, doctor: Person
) -> None:
    """Unless the reader treated them then, or wrote in the record."""
    aunt, uncle, cousin = (make_patient(trail, settings, f"{name} Quintanilha") for name in ("Célia", "Caio", "Cora"))
    with trail.session(Principal.STAFF) as session:
        create_record(session, doctor.actor, field_cipher(settings), NewRecord(cousin, {"title": "Consulta"}))
    with trail.session(Principal.MIGRATOR) as session:
        session.execute(text(MEMBER), {"id": new_id(), "patient": uncle, "user": doctor.id, "from": minutes(-60)})
    looks = [
        (minutes(number), Event("medical_record.list", "medical_record", patient_id=patient))
        for number, patient in enumerate((uncle, cousin, aunt))
    ]
    did(trail, doctor, *looks, (minutes(3), Event("medical_record.list", "medical_record")))
    assert watch_all(trail) == 1
    assert [alert.subject_id for alert in of_rule(trail, RuleKey.FAMILY_NAME)] == [aunt]
    with trail.session(Principal.MIGRATOR) as session:
        session.execute(text("UPDATE care_team_members SET removed_at = :at"), {"at": minutes(30)})
    search = Event("medical_record.search", "medical_record", patient_id=uncle)
    did(trail, doctor, (minutes(20), search), (minutes(40), search))
    assert watch_all(trail) == 1
    newest = of_rule(trail, RuleKey.FAMILY_NAME)[-1]
    assert (newest.subject_id, newest.count, newest.started_at) == (uncle, 1, minutes(40))


# What names a patient in the trail and no rule looks at, by why.
UNWATCHED = {
    "who writes leaves their name in the data": {
        "allergy.create", "allergy.update", "care_team.add", "care_team.remove", "medical_record.close",
        "medical_record.create", "medical_record.delete", "medical_record.restore", "medical_record.update",
        "patient.create", "patient.delete", "patient.restore", "patient.update", "visit.call", "visit.close",
        "visit.create", "visit.triage",
    },
    "it names the team, which is to be known": {"care_team.list"},
    "it is the end or the review of what is counted": {
        "break_glass.end", "break_glass.list", "break_glass.read", "break_glass.review",
    },
    "it is one's own": {"access_log.read", "access_log.receipt", "draft.list"},
    "it is of the trail, which has no names": {"audit.read", "audit.prove", "trail.archive"},
    "it is a setting or a task, no event": {"audit.partitions", "break_glass.minutes"},
}  # fmt: skip
NAMES_A_PATIENT = re.compile(
    r"""["'](
    (?:access_log|allergy|audit|break_glass|care_team|draft|medical_record|patient|trail|visit)\.[a-z_]+
    )["']""",
    re.VERBOSE,
)


def test_every_event_that_may_name_a_patient_is_in_a_rule_or_said_not_to_be() -> None:
    apart = {"access_rules.py", "permissions.py"}
    sources = [path for path in (ROOT / "services").glob("*.py") if path.name not in apart]
    written = {action for path in sources for action in NAMES_A_PATIENT.findall(path.read_text(encoding="utf-8"))}
    watched = {action for rule in RULES.values() for action in NAMES_A_PATIENT.findall(rule.condition)}
    unwatched = set().union(*UNWATCHED.values())
    assert written - watched == unwatched
    assert not watched & unwatched
