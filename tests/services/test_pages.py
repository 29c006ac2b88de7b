"""Pages neither skip nor repeat, whatever is inserted while somebody turns them."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config import Principal, Settings
from models import MedicalRecord
from models.engine import Databases
from services import cursor as cursors
from services.errors import Invalid
from services.record_list import RecordFilters, list_records, search_records
from tests.factories.cast import Cast, make_patient

pytestmark = pytest.mark.database
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
# Few distinct minutes, so that many records share their time and the id has to decide.
MINUTES = st.integers(0, 4)


def insert(databases: Databases, cast: Cast, patient_id: uuid.UUID, minutes: list[int], words: int = 1) -> list[str]:
    with databases.session(Principal.STAFF) as session:
        records = [
            MedicalRecord(
                patient_id=patient_id, author_id=cast.doctor.id, kind="EXAM", title="Exame " + "rotina " * words,
                priority="LOW", occurred_at=NOW - timedelta(minutes=minute), closes_at=NOW, cid10_codes=[],
                restricted=False,
            )
            for minute in minutes
        ]  # fmt: skip
        session.add_all(records)
        session.flush()
        return [str(record.id) for record in records]


@pytest.mark.parametrize("reader", [list_records, search_records])
@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.lists(MINUTES, min_size=1, max_size=12),
    later=st.lists(st.lists(MINUTES, max_size=3), max_size=8),
    limit=st.integers(1, 5),
)
def test_what_was_there_is_seen_once(
    databases: Databases,
    settings: Settings,
    cast: Cast,
    reader: Any,
    start: list[int],
    later: list[list[int]],
    limit: int,
) -> None:
    patient_id = make_patient(databases, settings, "Páginas")
    there = insert(databases, cast, patient_id, start)
    filters = RecordFilters(patient_id=patient_id, q="rotina" if reader is search_records else None)
    seen: list[str] = []
    cursor, batches = None, iter(later)
    while True:
        page = reader(databases, cast.doctor.actor, filters, limit=limit, cursor=cursor)
        rows = [row["id"] for row in json.loads(page.data)]
        assert len(rows) <= limit
        seen += rows
        cursor = page.next_cursor
        if cursor is None:
            break
        insert(databases, cast, patient_id, next(batches, []))
    assert len(seen) == len(set(seen)), "nothing twice"
    assert set(there) <= set(seen), "nothing skipped"


def test_an_empty_list_is_an_empty_page(databases: Databases, settings: Settings, cast: Cast) -> None:
    patient_id = make_patient(databases, settings, "Vazio")
    page = list_records(databases, cast.doctor.actor, RecordFilters(patient_id=patient_id))
    assert (page.data, page.next_cursor) == (b"[]", None)


@given(text=st.text(max_size=600))
def test_a_cursor_of_nobodys_making_is_refused_clearly(text: str) -> None:
    with pytest.raises(Invalid):
        cursors.decode({}, text, datetime, uuid.UUID)


@given(
    moment=st.datetimes(timezones=st.just(UTC)), rank=st.floats(allow_nan=False, allow_infinity=False), key=st.uuids()
)
def test_a_cursor_gives_back_what_was_put_in(moment: datetime, rank: float, key: uuid.UUID) -> None:
    filters = {"priority": "HIGH", "kind": None}
    assert cursors.decode(filters, cursors.encode(filters, moment, key), datetime, uuid.UUID) == (moment, key)
    assert cursors.decode(filters, cursors.encode(filters, rank, key), float, uuid.UUID) == (rank, key)
    with pytest.raises(Invalid):
        cursors.decode({"priority": "LOW"}, cursors.encode(filters, rank, key), float, uuid.UUID)
