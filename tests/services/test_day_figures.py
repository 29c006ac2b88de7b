"""The days' sums of records: remembered, and never older than the records."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event

from config import Principal, Settings
from integrations.cache import Cache, NoCache, RedisCache
from models.engine import Databases
from models.user import Role
from services.actor import Actor
from services.day_figures import RECORDS, RecordFigures, record_figures
from services.field_encryption import field_cipher
from services.record_create import NewRecord, create_record
from services.record_inactivate import inactivate_record
from tests.factories.cast import Cast

ZONE = ZoneInfo("America/Sao_Paulo")


@pytest.fixture
def cache(redis_url: str) -> Iterator[RedisCache]:
    """Of the test's own: another secret finds nothing of others'."""
    made = RedisCache(redis_url, uuid.uuid4().hex)
    yield made
    made.close()


def figures(databases: Databases, actor: Actor, cache: Cache) -> tuple[RecordFigures, int]:
    """What is shown, and how often the records were summed up for it."""
    summed: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        summed.extend([statement] if "AS by_now" in statement else [])

    engine = databases.engine(Principal.STAFF)
    event.listen(engine, "before_cursor_execute", note)
    try:
        with databases.session(Principal.STAFF) as session:
            return record_figures(session, actor, ZONE, cache), len(summed)
    finally:
        event.remove(engine, "before_cursor_execute", note)


def write(databases: Databases, settings: Settings, cast: Cast, **content: Any) -> uuid.UUID:
    with databases.session(Principal.STAFF) as session:
        new = NewRecord(cast.patient_id, {"title": "Consulta", **content})
        return create_record(session, cast.doctor.actor, field_cipher(settings), new).record.id


def test_sums_are_worked_out_once_until_a_record_changes(
    databases: Databases, settings: Settings, cast: Cast, cache: RedisCache
) -> None:
    doctor = cast.doctor.actor
    first, summed = figures(databases, doctor, cache)
    assert summed == 1
    assert "AS by_now" in str(RECORDS)
    again = [figures(databases, doctor, cache) for _ in range(3)]
    # A minute may end meanwhile, and the sums with it.
    assert sum(count for _, count in again) <= 1
    assert [shown.per_day for shown, _ in again] == [first.per_day] * 3

    record = write(databases, settings, cast)
    more, summed = figures(databases, doctor, cache)
    assert (more.today, summed) == (first.today + 1, 1), "at once"
    write(databases, settings, cast, occurredAt=datetime.now(UTC) - timedelta(days=3))
    assert sum(number for _, number in figures(databases, doctor, cache)[0].per_day) == 2 + sum(
        number for _, number in first.per_day
    )
    with databases.session(Principal.STAFF) as session:
        inactivate_record(
            session, doctor, field_cipher(settings), record, reason="registro em duplicidade", version=None
        )
    assert figures(databases, doctor, cache)[0].today == first.today


def test_what_is_remembered_is_what_would_be_worked_out(
    databases: Databases, settings: Settings, cast: Cast, cache: RedisCache
) -> None:
    write(databases, settings, cast)
    for actor in (cast.doctor.actor, cast.nurse.actor):
        figures(databases, actor, cache)
        remembered, _ = figures(databases, actor, cache)
        worked_out, _ = figures(databases, actor, NoCache())
        assert remembered == worked_out


def test_another_role_finds_nothing_of_this_ones(databases: Databases, cast: Cast, cache: RedisCache) -> None:
    figures(databases, cast.doctor.actor, cache)
    _, summed = figures(databases, cast.nurse.actor, cache)
    assert summed == 1
    assert cast.nurse.actor.role is not Role.DOCTOR


def test_a_change_that_is_not_committed_leaves_nothing_behind(
    databases: Databases, settings: Settings, cast: Cast, cache: RedisCache
) -> None:
    """Whoever sums up within a change that comes to nothing remembers it under a state that nobody else ever sees."""
    before, _ = figures(databases, cast.doctor.actor, cache)
    with databases.session(Principal.STAFF) as session:
        create_record(
            session, cast.doctor.actor, field_cipher(settings), NewRecord(cast.patient_id, {"title": "Consulta"})
        )
        assert record_figures(session, cast.doctor.actor, ZONE, cache).today == before.today + 1
        session.rollback()
    assert figures(databases, cast.doctor.actor, cache)[0].today == before.today
