"""Sealing: every committed event exactly once, numbered without gaps, in time that never runs backwards."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from config import Principal
from models import new_id
from models.advisory_locks import AUDIT_DRAIN
from models.engine import Databases
from services.audit_drain import drain
from services.audit_event import Event, event_row
from tests.audit.trail import as_superuser, drain_all, insert_rows, sealed, varied_origin, write_events

pytestmark = pytest.mark.database


def test_invariant_3_events_are_sealed_oldest_first_and_once(trail: Databases, superuser: str) -> None:
    ids = write_events(trail, 25)
    assert drain_all(trail, limit=10) == 25
    kept = sealed(superuser)
    assert [row["id"] for row in kept] == sorted(ids)
    assert [row["sequence"] for row in kept] == list(range(1, 26))
    with as_superuser(superuser) as connection:
        assert connection.execute("SELECT count(*) FROM audit_outbox").fetchone() == (0,)


def test_invariant_3_what_was_written_is_what_is_sealed(trail: Databases, superuser: str) -> None:
    rows = [
        event_row(
            Event("patient.update", "patient", new_id(), (new_id(), new_id()), new_id(), 4, 5,
                  ({"field": "fullName", "before": "x", "after": None},), "break-glass", new_id(), "refused"),
            varied_origin(number),
        )
        for number in range(2)
    ]  # fmt: skip
    insert_rows(trail, rows)
    drain_all(trail)
    for written, kept in zip(rows, sealed(superuser), strict=True):
        address = str(kept["ip"]) if kept["ip"] is not None else None
        assert {**written, "ip": address} == {name: kept[name] for name in written} | {"ip": address}
        assert address == written["ip"]


def test_invariant_3_concurrent_writers_and_drains_lose_and_repeat_nothing(trail: Databases, superuser: str) -> None:
    writing = threading.Event()
    writing.set()

    def write() -> list[uuid.UUID]:
        return [event_id for _ in range(15) for event_id in write_events(trail, 8)]

    def seal() -> None:
        while writing.is_set():
            drain_all(trail, limit=7)

    with ThreadPoolExecutor(5) as pool:
        drains = [pool.submit(seal) for _ in range(2)]
        writers = [pool.submit(write) for _ in range(3)]
        try:
            ids = [event_id for writer in writers for event_id in writer.result()]
        finally:
            writing.clear()
        for sealing in drains:
            sealing.result()
    drain_all(trail)
    kept = sealed(superuser)
    assert sorted(row["id"] for row in kept) == sorted(ids)
    assert [row["sequence"] for row in kept] == list(range(1, len(ids) + 1))


def test_invariant_3_a_late_commit_is_sealed_late_and_not_missed(trail: Databases, superuser: str) -> None:
    early = new_id()
    with trail.session(Principal.STAFF) as slow:
        slow.connection().exec_driver_sql(
            "INSERT INTO audit_outbox (id, occurred_at, action, outcome) VALUES (%s, now(), 'slow.act', 'success')",
            (early,),
        )
        later = write_events(trail, 1)
        drain_all(trail)
    drain_all(trail)
    assert [row["id"] for row in sealed(superuser)] == [*later, early]


def test_invariant_3_a_drain_that_fails_seals_nothing(trail: Databases, superuser: str) -> None:
    write_events(trail, 5)
    with trail.session(Principal.WORKER) as session:
        assert drain(session).count == 5
        session.rollback()
    assert sealed(superuser) == []
    assert drain_all(trail) == 5


def test_invariant_3_only_one_drain_works_and_the_other_leaves_at_once(trail: Databases, superuser: str) -> None:
    write_events(trail, 3)
    with psycopg.connect(superuser) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (AUDIT_DRAIN,))
        with trail.session(Principal.WORKER) as session:
            result = drain(session)
    assert (result.count, result.is_busy) == (0, True)
    assert drain_all(trail) == 3


def test_invariant_5_sealed_at_never_decreases(trail: Databases, superuser: str) -> None:
    noon = datetime.now(UTC).replace(hour=12)
    for minutes in (0, 5, -30, 6):
        write_events(trail, 2)
        with trail.session(Principal.WORKER) as session:
            drain(session, now=noon + timedelta(minutes=minutes))
    times = [row["sealed_at"] for row in sealed(superuser)]
    assert times == sorted(times)
    assert times[4] == times[2] == noon + timedelta(minutes=5)
    assert times[-1] == noon + timedelta(minutes=6)


def test_invariant_5_partitions_follow_the_months_and_do_not_interleave(trail: Databases, superuser: str) -> None:
    """Also beyond the months that were made ahead, across a turn of the year."""
    moment = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for month in range(1, 9):
        moment = (moment + timedelta(days=32)).replace(day=1)
        for now in (moment - timedelta(microseconds=1), moment) if month > 1 else (moment,):
            write_events(trail, 2)
            with trail.session(Principal.WORKER) as session:
                drain(session, now=now)
    with as_superuser(superuser) as connection:
        spans = connection.execute(
            "SELECT tableoid::regclass::text, min(sequence), max(sequence), count(*), "
            "min(to_char(sealed_at, 'YYYYMM')), max(to_char(sealed_at, 'YYYYMM')) "
            "FROM audit_trail GROUP BY 1 ORDER BY 2"
        ).fetchall()
    assert len(spans) == 8
    for name, first, last, count, earliest, latest in spans:
        assert name == f"audit_trail_p{earliest}"
        assert earliest == latest
        assert last - first + 1 == count
    assert [span[2] + 1 for span in spans[:-1]] == [span[1] for span in spans[1:]]


def test_a_clock_that_was_years_ahead_stops_nothing(trail: Databases, superuser: str) -> None:
    """Sealing goes on at the head's time, in its partition, though none would be made for it now."""
    write_events(trail, 1)
    drain_all(trail)
    with as_superuser(superuser) as connection:
        connection.execute("CREATE TABLE far PARTITION OF audit_trail FOR VALUES FROM ('2101-01-01') TO ('2101-02-01')")
        connection.execute("UPDATE audit_trail SET sealed_at = '2101-01-05'")
    write_events(trail, 2)
    assert drain_all(trail) == 2
    assert [row["sealed_at"].year for row in sealed(superuser)] == [2101] * 3


@pytest.mark.parametrize(
    "changes",
    ['[{"field": "notes", "before": 1}]', "[7]", '{"field": "notes"}', "null", '[{"field": {"a": 1}}]', '"x"'],
)
def test_an_event_that_can_not_be_sealed_can_not_be_written(databases: Databases, changes: str) -> None:
    with (
        pytest.raises(psycopg.errors.CheckViolation),
        databases.autocommit(Principal.STAFF) as connection,
    ):
        connection.execute(
            "INSERT INTO audit_outbox (id, occurred_at, action, outcome, changes) "
            "VALUES (%s, now(), 'a', 'success', %s)",
            (new_id(), changes),
        )


def test_an_event_out_of_all_time_can_not_be_written(databases: Databases) -> None:
    with (
        pytest.raises(psycopg.errors.CheckViolation),
        databases.autocommit(Principal.STAFF) as connection,
    ):
        connection.execute(
            "INSERT INTO audit_outbox (id, occurred_at, action, outcome) VALUES (%s, 'infinity', 'a', 'success')",
            (new_id(),),
        )


READ, WRITE = "SELECT count(*) FROM audit_trail", "INSERT INTO audit_trail SELECT * FROM audit_trail"
CHANGE, REMOVE = "UPDATE audit_trail SET action = 'x'", "DELETE FROM audit_trail"


@pytest.mark.parametrize("statement", [CHANGE, REMOVE, "TRUNCATE audit_trail", "DROP TABLE audit_trail"])
@pytest.mark.parametrize("principal", [each for each in Principal if each is not Principal.MIGRATOR])
def test_security_32_no_role_of_the_application_changes_the_trail(
    databases: Databases, principal: Principal, statement: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), databases.autocommit(principal) as connection:
        connection.execute(statement)


@pytest.mark.parametrize("statement", [READ, WRITE, "SELECT count(*) FROM audit_outbox", "DELETE FROM audit_outbox"])
@pytest.mark.parametrize("principal", [Principal.STAFF, Principal.PATIENT, Principal.ANONYMOUS])
def test_invariant_5_web_roles_may_only_add_to_the_outbox(
    databases: Databases, principal: Principal, statement: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), databases.autocommit(principal) as connection:
        connection.execute(statement)


def test_invariant_5_the_auditor_reads_and_the_worker_adds(databases: Databases) -> None:
    with databases.autocommit(Principal.AUDITOR) as connection:
        assert connection.execute(READ).fetchone() is not None
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(WRITE)
    with databases.autocommit(Principal.WORKER) as connection:
        assert connection.execute(READ).fetchone() is not None
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE audit_outbox SET action = 'x'")


@pytest.mark.parametrize("statement", [CHANGE, REMOVE])
def test_invariant_5_the_owner_itself_changes_no_row(trail: Databases, superuser: str, statement: str) -> None:
    """Row-level security is FORCEd and has no such policy: the migrator's statement touches nothing."""
    write_events(trail, 2)
    drain_all(trail)
    with trail.autocommit(Principal.MIGRATOR) as connection:
        assert connection.execute(statement).rowcount == 0
    assert len(sealed(superuser)) == 2
