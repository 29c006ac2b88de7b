"""How many statements an act takes, and that rows do not multiply them. Times would depend on the machine."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import event

from config import Principal, Settings
from models.engine import Databases
from models.raw_connection import RawConnection
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from services.record_get import get_record
from services.record_list import RecordFilters, list_records, search_records
from services.record_update import may_update, update_record
from services.record_versions import list_versions
from tests.factories.cast import Cast, join_team, make_patient


@contextmanager
def counted(databases: Databases, principal: Principal = Principal.STAFF) -> Iterator[list[str]]:
    """Collects the statements that sessions and audited reads run meanwhile."""
    statements: list[str] = []
    engine = databases.engine(principal)

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture(scope="module")
def busy(databases: Databases, settings: Settings, cast: Cast) -> uuid.UUID:
    patient_id = make_patient(databases, settings, "Muitas Notas")
    join_team(databases, patient_id, cast.doctor.id)
    cipher = field_cipher(settings)
    with databases.session(Principal.STAFF) as session:
        for number in range(30):
            new = NewRecord(patient_id, {"title": f"Nota {number}", "notes": "acompanhamento"})
            create_record(session, cast.doctor.actor, cipher, new)
    return patient_id


def statements_sent(databases: Databases, act: Callable[[], object]) -> int:
    """How often ``act`` sends a statement, by either way to the driver: each is one round trip."""
    sent: list[object] = []
    with databases.autocommit(Principal.STAFF):
        pass  # a new connection sends its settings, which is no part of the act
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((psycopg.Cursor, "execute"), (RawConnection, "first_row")):
            patch.setattr(owner, name, _noting(getattr(owner, name), sent))
        act()
    return len(sent)


def _noting(original: Callable[..., object], sent: list[object]) -> Callable[..., object]:
    def noting(self: object, statement: object, *args: object, **kwargs: object) -> object:
        sent.append(statement)
        return original(self, statement, *args, **kwargs)

    return noting


def test_an_audited_read_is_one_statement_however_long_the_page(
    databases: Databases, cast: Cast, busy: uuid.UUID
) -> None:
    doctor = cast.doctor.actor
    some, word = RecordFilters(patient_id=busy), RecordFilters(patient_id=busy, q="acompanhamento")
    for limit in (1, 30):
        assert statements_sent(databases, lambda n=limit: list_records(databases, doctor, some, limit=n)) == 1  # type: ignore[misc]
        assert statements_sent(databases, lambda n=limit: search_records(databases, doctor, word, limit=n)) == 1  # type: ignore[misc]
    record_id = uuid.UUID(list_records(databases, doctor, some, limit=1).data.split(b'"')[3].decode())
    assert statements_sent(databases, lambda: get_record(databases, doctor, record_id)) == 1


def test_writing_takes_a_fixed_number_of_statements(
    databases: Databases, settings: Settings, cast: Cast, busy: uuid.UUID
) -> None:
    cipher = field_cipher(settings)
    with databases.session(Principal.STAFF) as session, counted(databases) as creating:
        record_id = create_record(session, cast.doctor.actor, cipher, NewRecord(busy, {"title": "Uma"})).record.id
    with databases.session(Principal.STAFF) as session, counted(databases) as updating:
        access = may_update(session, cast.doctor.actor, record_id)
        update_record(session, cast.doctor.actor, cipher, access, version=1, content={"title": "Outra"})
    # patient, standing, record, version, event; and for a change the record's lock first
    assert len(creating) == 5, creating
    assert len(updating) == 6, updating


def test_versions_do_not_multiply_statements(
    databases: Databases, settings: Settings, cast: Cast, busy: uuid.UUID
) -> None:
    cipher = field_cipher(settings)
    with databases.session(Principal.STAFF) as session:
        record_id = create_record(session, cast.doctor.actor, cipher, NewRecord(busy, {"title": "0"})).record.id
    sizes = []
    for number in (1, 2, 3, 4):
        with databases.session(Principal.STAFF) as session:
            access = may_update(session, cast.doctor.actor, record_id)
            update_record(session, cast.doctor.actor, cipher, access, version=number, content={"title": str(number)})
        with databases.session(Principal.STAFF) as session, counted(databases) as statements:
            list_versions(session, cast.doctor.actor, record_id)
        sizes.append(len(statements))
    assert len(set(sizes)) == 1, sizes
