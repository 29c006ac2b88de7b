"""Finding a colleague: active doctors and nurses, by words of the name or the council number."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import Principal
from models import AuditOutbox, User
from models.engine import Databases
from models.user import IMPORT_USER_ID, Role
from services.errors import Forbidden
from services.staff_directory import find_staff, find_who_acted
from tests.factories.cast import Cast, make_person


def names(session: Session, cast: Cast, q: str, **options: object) -> list[str]:
    return [each.name for each in find_staff(session, cast.reception.actor, q, limit=1000, **options)]  # type: ignore[arg-type]


def test_words_of_the_name_in_any_order_without_accents(databases: Databases, session: Session, cast: Cast) -> None:
    make_person(databases, Role.DOCTOR, "Conceição Müller Directory")
    assert names(session, cast, "MULLER concei") == ["Conceição Müller Directory"]
    assert names(session, cast, "concei ninguem") == []


def test_the_council_number_is_found_and_a_wildcard_is_only_a_letter(
    databases: Databases, session: Session, cast: Cast
) -> None:
    nurse = make_person(databases, Role.NURSE, "Íris Directory")
    assert "Íris Directory" in names(session, cast, "coren-sp 654321 iris")
    for wild in ("%", "_", "iris%directory", "\0"):
        assert nurse.actor.name not in names(session, cast, f"zzz {wild}")


def test_only_active_doctors_and_nurses(databases: Databases, session: Session, cast: Cast) -> None:
    gone = make_person(databases, Role.DOCTOR, "Saiu Directory")
    make_person(databases, Role.RECEPTION, "Balcão Directory")
    nurse = make_person(databases, Role.NURSE, "Nara Directory")
    with databases.session(Principal.STAFF) as other:
        other.get_one(User, gone.id).disabled_at = datetime.now(UTC)
    found = names(session, cast, "directory")
    assert "Nara Directory" in found
    assert not {"Saiu Directory", "Balcão Directory"} & set(found)
    assert "Nara Directory" not in names(session, cast, "directory", roles=[Role.DOCTOR])
    assert "Nara Directory" not in names(session, cast, "directory", but_not=[nurse.id])
    ids = {each.id for each in find_staff(session, cast.doctor.actor, "", limit=1000)}
    assert IMPORT_USER_ID not in ids


def test_who_manages_no_visits_gets_no_directory(session: Session, cast: Cast) -> None:
    for person in (cast.admin, cast.auditor, cast.patient):
        with pytest.raises(Forbidden):
            find_staff(session, person.actor, "")


def test_the_auditor_finds_who_acted_disabled_ones_too_and_the_search_is_an_event(
    databases: Databases, session: Session, cast: Cast
) -> None:
    gone = make_person(databases, Role.RECEPTION, "Partiu Directory")
    with databases.session(Principal.STAFF) as other:
        other.get_one(User, gone.id).disabled_at = datetime.now(UTC)
    with databases.session(Principal.STAFF) as own:
        assert [each.id for each in find_who_acted(own, cast.auditor.actor, "directory partiu")] == [gone.id]
        assert find_who_acted(own, cast.auditor.actor, " \0") == []
        found = {each.id for each in find_who_acted(own, cast.auditor.actor, cast.patient.actor.name)}
    assert cast.patient.id not in found, "patients are no staff"
    with databases.session(Principal.WORKER) as worker:
        query = select(AuditOutbox.entity_ids).where(
            AuditOutbox.action == "user.search", AuditOutbox.actor_id == cast.auditor.id
        )
        assert [gone.id] in worker.scalars(query).all()
    for person in (cast.reception, cast.admin, cast.patient):
        with pytest.raises(Forbidden):
            find_who_acted(session, person.actor, "directory")
