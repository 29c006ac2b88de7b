"""The indexes that the original analysis asks for are there, and pages come from them in their order."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from sqlalchemy import text

from config import Principal
from models.engine import Databases

pytestmark = pytest.mark.database
NOBODY = "'00000000-0000-7000-8000-000000000000'"
# table → what an index of it begins with, and whether that index is for some of its rows alone.
ASKED = {
    "medical_records": [
        ("patient_id, occurred_at DESC, id DESC", True), ("priority, occurred_at DESC, id DESC", True),
        ("deleted_at", True), ("occurred_at DESC, id DESC", False), ("updated_at", False), ("search_all", False),
    ],
    "audit_trail": [("patient_id, sequence", False), ("actor_id, sequence", False), ("entity_id, sequence", False)],
    "rate_limit_log": [("occurred_at", False)],
}  # fmt: skip


@pytest.mark.parametrize(("table", "columns", "partial"), [(table, *each) for table in ASKED for each in ASKED[table]])
def test_the_tables_of_the_analysis_are_indexed_as_it_asks(
    databases: Databases, table: str, columns: str, partial: bool
) -> None:
    with databases.session(Principal.MIGRATOR) as session:
        definitions = session.scalars(text("SELECT indexdef FROM pg_indexes WHERE tablename = :t"), {"t": table}).all()
    begins = re.compile(rf" USING \w+ \({re.escape(columns)}[,)]")
    fitting = [each for each in definitions if begins.search(each) and (" WHERE " in each) is partial]
    assert fitting, definitions


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("deleted_at IS NULL", "ix_medical_records_page"),
        (f"deleted_at IS NULL AND patient_id = {NOBODY}", "ix_medical_records_patient_page"),
        ("deleted_at IS NULL AND priority = 'CRITICAL'", "ix_medical_records_priority_page"),
        ("TRUE", "ix_medical_records_all_page"),
    ],
)
def test_a_page_of_records_is_read_in_order_from_an_index(databases: Databases, condition: str, index: str) -> None:
    """Where it goes on from a cursor too. A handful of rows is sorted sooner than looked up: so the planner is told to
    sort only where nothing else gives the order."""
    statement = (
        f"SELECT id FROM medical_records WHERE {condition} AND (occurred_at, id) < (now(), {NOBODY})"
        " ORDER BY occurred_at DESC, id DESC LIMIT 21"
    )
    with databases.session(Principal.STAFF) as session:
        for way in ("sort", "seqscan", "bitmapscan"):
            session.execute(text(f"SET LOCAL enable_{way} = off"))
        plan = session.execute(text(f"EXPLAIN (FORMAT JSON) {statement}")).scalar_one()
    steps = list(_steps((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]))
    assert index in [step.get("Index Name") for step in steps]
    assert not [step for step in steps if "Sort" in step["Node Type"]]


def _steps(plan: dict[str, Any]) -> Any:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _steps(each)
