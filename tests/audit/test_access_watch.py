"""Unusual accesses are found at their thresholds, once, whatever dies in between; only what is new is read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from psycopg import errors
from sqlalchemy import text

from config import Principal, Settings
from models import User, new_id
from models.engine import Databases
from models.user import Role
from services.access_kin import family_names
from services.access_rules import RULES, Limits, RuleKey
from services.access_watch import BEHIND, new_statement
from services.audit_event import Event
from services.field_encryption import field_cipher
from tests.audit.trail import as_superuser, sealed
from tests.audit.watched import (
    SetRule,
    alerts,
    did,
    minutes,
    of_rule,
    opened,
    opens,
    rare_name,
    seen,
    watch,
    watch_all,
)
from tests.factories.cast import Person, make_cpf, make_patient, make_person

pytestmark = pytest.mark.usefixtures("nothing_found_yet")
EXPORT = Event("patient.export", "patient")


def test_many_patients_at_the_threshold_and_not_one_below(trail: Databases, doctor: Person, set_rule: SetRule) -> None:
    set_rule(RuleKey.MANY_PATIENTS, threshold=5, window_minutes=10)
    opens(trail, doctor, 4)
    assert watch_all(trail) == 0
    opens(trail, doctor, 1, start=10)
    assert watch_all(trail) == 1
    [alert] = alerts(trail)
    assert (alert.rule, alert.user_id, alert.subject_id, alert.acting_role) == (
        "many_patients", doctor.id, doctor.id, "DOCTOR",
    )  # fmt: skip
    assert (alert.count, alert.threshold, alert.window_minutes, len(alert.patient_ids)) == (5, 5, 10, 5)
    assert (alert.started_at, alert.ends_at, alert.last_at) == (minutes(0), minutes(10), minutes(10))
    assert (alert.first_sequence, alert.last_sequence) == (1, 5)


def test_beyond_the_window_nothing_is_found(trail: Databases, doctor: Person, set_rule: SetRule) -> None:
    set_rule(RuleKey.MANY_PATIENTS, threshold=5, window_minutes=10)
    opens(trail, doctor, 4)
    opens(trail, doctor, 1, start=10.01)
    assert watch_all(trail) == 0


def test_one_patient_is_one_however_often_and_people_are_not_added_up(
    trail: Databases, doctor: Person, set_rule: SetRule
) -> None:
    set_rule(RuleKey.MANY_PATIENTS, threshold=3)
    patient = new_id()
    did(trail, doctor, *((minutes(number), opened(patient)) for number in range(8)))
    opens(trail, make_person(trail, Role.NURSE, "Rita Prado"), 2)
    assert watch_all(trail) == 0


def test_a_burst_that_goes_on_is_one_alert_that_grows_and_after_its_window_another(
    trail: Databases, doctor: Person, set_rule: SetRule
) -> None:
    set_rule(RuleKey.MANY_PATIENTS, threshold=3, window_minutes=30)
    for start in range(0, 70, 5):
        opens(trail, doctor, 1, start=start)
        watch_all(trail)
    assert seen(trail) == [("many_patients", doctor.id, 7), ("many_patients", doctor.id, 7)]
    assert [alert.started_at for alert in alerts(trail)] == [minutes(0), minutes(35)]


def test_what_goes_on_after_the_review_is_another_alert(trail: Databases, doctor: Person, set_rule: SetRule) -> None:
    set_rule(RuleKey.MANY_PATIENTS, threshold=3, window_minutes=60)
    opens(trail, doctor, 3)
    watch_all(trail)
    auditor = make_person(trail, Role.AUDITOR, "Eva Torres")
    with trail.session(Principal.AUDITOR) as session:
        session.execute(
            text("UPDATE access_alerts SET reviewed_at = now(), reviewed_by = :me, verdict = 'JUSTIFIED'"),
            {"me": auditor.id},
        )
    opens(trail, doctor, 2, start=10)
    assert watch_all(trail) == 0
    opens(trail, doctor, 1, start=20)
    assert watch_all(trail) == 1
    assert [(alert.count, alert.verdict) for alert in alerts(trail)] == [(3, "JUSTIFIED"), (3, None)]


def test_at_night_across_midnight_of_the_clinics_zone(trail: Databases, doctor: Person, set_rule: SetRule) -> None:
    set_rule(RuleKey.AT_NIGHT, threshold=3)
    at = [datetime(2026, 11, 25, 0, 59, 59, tzinfo=UTC), datetime(2026, 11, 25, 9, 0, tzinfo=UTC)]  # 21:59:59 and 06:00
    did(trail, doctor, *((each, opened(new_id())) for each in at))
    night = [datetime(2026, 11, 25, 1, 0, tzinfo=UTC), datetime(2026, 11, 25, 8, 59, 59, tzinfo=UTC)]
    did(trail, doctor, *((each, opened(new_id())) for each in night))
    assert watch_all(trail) == 0
    did(trail, doctor, (datetime(2026, 11, 25, 3, 30, tzinfo=UTC), opened(new_id())))  # 00:30
    assert watch_all(trail) == 1
    [alert] = alerts(trail)
    assert (alert.rule, alert.count, alert.window_minutes) == ("at_night", 3, None)
    assert (alert.started_at, alert.last_at) == (night[0], night[1])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Ana Quintanilha Ramos", {"quintanilha"}), ("João da Silva Filho", set()), ("Cher", set()), ("", set()),
        ("Inês Böhm-Avellar dos Santos", {"bohm", "avellar"}),
    ],
)  # fmt: skip
def test_what_may_be_a_familys_name(name: str, found: set[str]) -> None:
    assert family_names(name) == found


def test_a_rare_family_name_outside_the_care_team(trail: Databases, settings: Settings, doctor: Person) -> None:
    aunt = make_patient(trail, settings, "Célia Quintanílha")
    friend = make_patient(trail, settings, "Ana Ramos")  # a first and a common name alone
    did(
        trail, doctor, (minutes(0), opened(aunt)), (minutes(1), opened(friend, basis="break-glass")),
        (minutes(2), opened(aunt, basis="author")),
    )  # fmt: skip
    assert watch_all(trail) == 0
    did(trail, doctor, (minutes(3), opened(aunt, basis="outside-care-team")))
    assert watch_all(trail) == 1
    did(trail, doctor, (minutes(4), opened(aunt, basis="break-glass")))
    assert watch_all(trail) == 0
    [alert] = alerts(trail)
    assert (alert.rule, alert.subject_id, alert.patient_ids, alert.count) == ("family_name", aunt, [aunt], 2)


@pytest.mark.parametrize(
    "event",
    [
        Event("visit.read", "visit", basis="outside-care-team"), Event("allergy.list", "allergy"),
        Event("patient.lookup", "patient"),
    ],
    ids=lambda event: event.action,
)  # fmt: skip
def test_every_way_to_a_patient_is_looked_at(
    trail: Databases, trail_settings: Settings, set_rule: SetRule, event: Event
) -> None:
    """As one opened among many, and as one's own family."""
    set_rule(RuleKey.MANY_PATIENTS, threshold=3)
    family = rare_name()
    reader = make_person(trail, Role.NURSE, f"Rita {family}")
    patients = [make_patient(trail, trail_settings, f"{name} {family}") for name in ("Célia", "Caio", "Cora")]
    did(trail, reader, *((minutes(0), replace(event, patient_id=patient)) for patient in patients))
    watch_all(trail)
    assert [alert.count for alert in of_rule(trail, RuleKey.MANY_PATIENTS)] == [3]
    assert {alert.subject_id for alert in of_rule(trail, RuleKey.FAMILY_NAME)} == set(patients)


def test_a_name_that_many_patients_have_is_nobodys_familys(
    trail: Databases, settings: Settings, set_rule: SetRule
) -> None:
    name = rare_name()
    reader = make_person(trail, Role.RECEPTION, f"Bia {name}")
    patients = [make_patient(trail, settings, f"Paciente {name}") for _ in range(6)]
    did(trail, reader, (minutes(0), opened(patients[0], basis="reception")))
    set_rule(RuleKey.FAMILY_NAME, threshold=1)
    assert watch_all(trail) == 0
    set_rule(RuleKey.FAMILY_NAME, threshold=100)
    did(trail, reader, (minutes(1), opened(patients[1], basis="reception")))
    assert watch_all(trail) == 1


def test_a_colleague_is_known_by_account_number_or_name(
    trail: Databases, settings: Settings, superuser: str, doctor: Person
) -> None:
    cpf = make_cpf()
    nurse = make_person(trail, Role.NURSE, f"Caio {new_id().hex}")
    by_account, by_number, by_name, other, portal = (
        make_patient(trail, settings, name, **values)
        for name, values in (
            ("Paciente Um", {}), ("Paciente Dois", {"cpf": cpf}), (nurse.actor.name.upper(), {}), ("Paciente Três", {}),
            ("Paciente Quatro", {}),
        )
    )  # fmt: skip
    make_person(trail, Role.RECEPTION, "Bia Rocha", patient_id=by_account)
    make_person(trail, Role.PATIENT, "Paciente Quatro", patient_id=portal)
    with trail.session(Principal.MIGRATOR) as session:
        session.get_one(User, nurse.id).cpf_index = field_cipher(settings).blind_index("cpf", cpf)
    for patient in (by_account, by_number, by_name, other, portal):
        did(trail, doctor, (minutes(0), opened(patient)), (minutes(1), opened(patient, basis="outside-care-team")))
    assert watch_all(trail) == 3
    assert [alert.subject_id for alert in of_rule(trail, RuleKey.COLLEAGUE)] == [by_account, by_number, by_name]


@pytest.mark.parametrize(
    ("key", "event"),
    [
        (RuleKey.BREAK_GLASS_BURST, Event("patient.break_glass", "break_glass_grant")),
        (RuleKey.REFUSALS, Event("medical_record.read", "medical_record", outcome="refused")),
        (RuleKey.EXPORTS, Event("patient.export", "patient")),
        (RuleKey.EXPORTS, Event("trail.export", "audit_event")),
    ],
)
def test_acts_are_counted_at_their_threshold_and_not_one_below(
    trail: Databases, doctor: Person, set_rule: SetRule, key: RuleKey, event: Event
) -> None:
    set_rule(key, threshold=3, window_minutes=60)
    did(trail, doctor, (minutes(0), event), (minutes(30), event))
    assert watch_all(trail) == 0
    did(trail, doctor, (minutes(60), event))
    assert watch_all(trail) == 1
    assert seen(trail) == [(key.value, doctor.id, 3)]


def test_one_export_is_enough_unless_the_clinic_says_otherwise_and_a_patients_own_is_none(trail: Databases) -> None:
    patient, auditor = make_person(trail, Role.PATIENT, "Conceição"), make_person(trail, Role.AUDITOR, "Eva Torres")
    did(trail, patient, (minutes(0), Event("patient.export", "patient", patient_id=new_id())))
    assert watch_all(trail) == 0
    did(trail, auditor, (minutes(0), Event("trail.export", "audit_event")))
    assert watch_all(trail) == 1


def test_a_wrong_password_is_not_held_against_whose_account_it_is(trail: Databases, doctor: Person) -> None:
    did(trail, doctor, *((minutes(0), Event("session.login", "user", outcome="refused")) for _ in range(40)))
    assert watch_all(trail) == 0


def test_a_rule_that_is_off_finds_nothing_but_that_it_was_turned_off_is_found(
    trail: Databases, set_rule: SetRule
) -> None:
    set_rule(RuleKey.EXPORTS, is_on=False)
    set_rule(RuleKey.RULES_CHANGED, is_on=False)
    admin = make_person(trail, Role.ADMIN, "Davi Nunes")
    did(trail, admin, (minutes(0), Event("trail.export", "audit_event")))
    assert watch_all(trail) == 0
    did(trail, admin, (minutes(1), Event("access_rule.update", "access_rule")))
    assert watch_all(trail) == 1
    assert seen(trail) == [("rules_changed", admin.id, 1)]


def test_looking_again_finds_nothing_twice_and_stretches_find_what_one_look_finds(
    trail: Databases, superuser: str, doctor: Person, set_rule: SetRule
) -> None:
    set_rule(RuleKey.MANY_PATIENTS, threshold=4, window_minutes=20)
    opens(trail, doctor, 30, every=3)
    watch_all(trail, limit=7)
    found = [(alert.id, alert.count, alert.started_at, alert.last_sequence) for alert in alerts(trail)]
    assert [count for _, count, _, _ in found] == [7, 7, 7, 7]
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE access_watch SET sequence = 0")
    assert watch_all(trail) == 0
    assert [(alert.id, alert.count, alert.started_at, alert.last_sequence) for alert in alerts(trail)] == found


def test_a_look_that_dies_did_nothing_and_is_made_up_for(
    trail: Databases, superuser: str, doctor: Person, set_rule: SetRule
) -> None:
    set_rule(RuleKey.MANY_PATIENTS, threshold=2)
    opens(trail, doctor, 2)
    with as_superuser(superuser) as connection:
        # Dies after the alert was written, as the mark is moved.
        connection.execute(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'killed'; END $$;"
            "CREATE TRIGGER die BEFORE UPDATE ON access_watch FOR EACH ROW EXECUTE FUNCTION die()"
        )
        with pytest.raises(Exception, match="killed"):
            watch(trail)
        connection.execute("DROP FUNCTION die() CASCADE")
    assert alerts(trail) == []
    assert watch_all(trail) == 1
    assert watch_all(trail) == 0


def test_two_workers_at_once_do_not_wait_for_each_other_and_find_it_once(
    trail: Databases, doctor: Person, set_rule: SetRule
) -> None:
    set_rule(RuleKey.MANY_PATIENTS, threshold=2)
    opens(trail, doctor, 2)
    with trail.session(Principal.WORKER) as session:
        session.execute(text("SELECT sequence FROM access_watch FOR UPDATE"))
        assert watch(trail).alerts == 0
    assert watch_all(trail) == 1


def test_what_was_found_is_an_event_of_the_system_itself(trail: Databases, superuser: str) -> None:
    auditor = make_person(trail, Role.AUDITOR, "Eva Torres")
    did(trail, auditor, (minutes(0), Event("trail.export", "audit_event")))
    watch_all(trail)
    did(trail, auditor)
    [alert] = alerts(trail)
    event = sealed(superuser)[-1]
    assert (event["action"], event["entity_id"], event["actor_role"]) == ("access_alert.create", alert.id, "SYSTEM")
    assert watch_all(trail) == 0


def test_nobodys_events_and_those_of_unknown_people_stop_nothing(trail: Databases, doctor: Person) -> None:
    export = Event("trail.export", "audit_event")
    did(trail, doctor, (minutes(0), export), (minutes(1), export), actor_id=uuid.uuid4())
    did(trail, doctor, (minutes(2), export), actor_id=None)
    did(trail, doctor, (minutes(3), export))
    assert watch_all(trail) == 1


def test_it_is_behind_until_it_looked(trail: Databases, superuser: str, doctor: Person) -> None:
    def behind() -> bool:
        with trail.session(Principal.WORKER) as session:
            return bool(session.scalar(text(f"SELECT {BEHIND}")))

    assert behind() is False
    opens(trail, doctor, 1)
    assert behind() is True
    watch_all(trail)
    assert behind() is False
    with as_superuser(superuser) as connection:
        connection.execute("TRUNCATE audit_trail")  # put back to an earlier state
    did(trail, doctor, (minutes(0), Event("trail.export", "audit_event")))
    watch_all(trail)
    did(trail, doctor, (minutes(1), Event("trail.export", "audit_event")))
    watch_all(trail)
    assert [alert.count for alert in alerts(trail)] == [2]


def test_only_what_is_new_is_read(trail: Databases, superuser: str, doctor: Person) -> None:
    others = make_person(trail, Role.DOCTOR, "Paulo Reis")
    did(trail, others, *((minutes(number / 100), opened(new_id())) for number in range(3_000)))
    opens(trail, doctor, 5, start=40)
    with as_superuser(superuser) as connection:
        connection.execute("ANALYZE audit_trail")
    with trail.session(Principal.WORKER) as session:
        plan = session.scalar(
            text(f"EXPLAIN (ANALYZE, FORMAT JSON) {new_statement(RULES)}"), {"after": 3_000, "upto": 3_005}
        )
    read = [node for node in nodes(plan[0]["Plan"]) if node["Node Type"].endswith("Scan")]
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in read) == 5
    assert sum(node.get("Rows Removed by Filter", 0) for node in read) == 0


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def test_security_21_only_the_worker_finds_and_only_auditors_read_and_review(trail: Databases, doctor: Person) -> None:
    did(trail, doctor, (minutes(0), Event("trail.export", "audit_event")))
    watch_all(trail)
    for principal in (Principal.STAFF, Principal.PATIENT, Principal.ANONYMOUS):
        with trail.autocommit(principal) as connection, pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM access_alerts")
    for principal, statement in (
        (Principal.AUDITOR, "INSERT INTO access_alerts (id) VALUES (gen_random_uuid())"),
        (Principal.AUDITOR, "UPDATE access_alerts SET count = 1"), (Principal.AUDITOR, "DELETE FROM access_alerts"),
        (Principal.WORKER, "UPDATE access_alerts SET verdict = 'JUSTIFIED'"),
        (Principal.WORKER, "DELETE FROM access_alerts"),
    ):  # fmt: skip
        with trail.autocommit(principal) as connection, pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)
    review = "UPDATE access_alerts SET reviewed_at = now(), reviewed_by = %s, verdict = %s"
    auditor = make_person(trail, Role.AUDITOR, "Eva Torres")
    with trail.autocommit(Principal.AUDITOR) as connection:
        with pytest.raises(errors.CheckViolation):
            connection.execute(review, (doctor.id, "JUSTIFIED"))
        assert connection.execute(review, (auditor.id, "FALSE_ALARM")).rowcount == 1
        assert connection.execute(review, (auditor.id, "JUSTIFIED")).rowcount == 0, "a verdict is final"


def test_numbers_of_the_table_are_json_and_back() -> None:
    for rule in RULES.values():
        assert Limits.of_json(orjson.loads(orjson.dumps(rule.limits.as_json()))) == rule.limits
    assert timedelta(minutes=RULES[RuleKey.MANY_PATIENTS].limits.window_minutes or 0) == timedelta(hours=1)
