"""Whether the trail holds what everybody did: each act exactly once, and nothing that nobody did."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

import psycopg

from config import Settings
from embedded.process import wait_until
from load.ledger import Ledger
from load.people import Person
from services.audit_verify import verify

SEALED_SECONDS = 120.0
BY_REQUEST = """
    SELECT request_id, action, outcome FROM audit_trail WHERE actor_id = ANY(%(people)s) AND request_id IS NOT NULL
"""
TWICE = "SELECT count(*) FROM (SELECT FROM audit_trail GROUP BY id HAVING count(*) > 1) twice"
GAPS = "SELECT coalesce(max(sequence), 0) - count(*) FROM audit_trail"
# Versions of records that these people wrote: how many events tell of each.
UNTOLD = """
    SELECT count(*) FROM (
        SELECT FROM record_versions v LEFT JOIN audit_trail e
            ON e.entity_id = v.record_id AND e.to_version = v.version AND e.outcome = 'success'
            AND e.action IN ('medical_record.create', 'medical_record.update')
        WHERE v.changed_by = ANY(%(people)s) GROUP BY v.record_id, v.version HAVING count(e.id) <> 1
    ) untold
"""


def check_trail(settings: Settings, superuser_url: str, people: Sequence[Person], ledger: Ledger) -> dict[str, Any]:
    """``{"acts", "events", "sealed_after_seconds", "problems"}``: acts that were answered, events of them, how long
    after the last answer all was sealed, and sentences. Raises psycopg.Error."""
    problems: list[str] = []
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        seconds = _sealed_after(connection)
        if seconds is None:
            problems.append(f"the outbox is not sealed {SEALED_SECONDS:.0f} s after the last answer")
        ids = {"people": [uuid.UUID(person.user_id) for person in people]}
        events = connection.execute(BY_REQUEST, ids).fetchall()
        problems += disagreements(ledger, events)
        for statement, trouble in (
            (TWICE, "events are there twice"), (GAPS, "numbers of the sequence are missing"),
            (UNTOLD, "versions of records have not exactly one event"),
        ):  # fmt: skip
            row = connection.execute(statement, ids if "%(" in statement else None).fetchone()
            if row is not None and row[0]:
                problems.append(f"{row[0]} {trouble}")
    report = verify(settings)
    if not report.is_intact:
        problems.append(f"the trail is not intact: {report}")
    return {
        "acts": sum(each.act is not None and each.problem is None for each in ledger.asked),
        "events": len(events),
        "sealed_after_seconds": seconds,
        "problems": problems,
    }


def _sealed_after(connection: psycopg.Connection[Any]) -> float | None:
    started = time.monotonic()

    def is_sealed() -> bool:
        return connection.execute("SELECT count(*) FROM audit_outbox").fetchone() == (0,)

    return round(time.monotonic() - started, 1) if wait_until(is_sealed, SEALED_SECONDS) else None


def disagreements(ledger: Ledger, events: Sequence[tuple[str, str, str]]) -> list[str]:
    """What the ledger and the ``events`` (request, action, outcome) do not agree about."""
    told = Counter((request, action) for request, action, outcome in events if outcome == "success")
    wrong = Counter(
        f"{each.kind}: {each.act} is there {told[each.request_id, each.act]} times"
        for each in ledger.asked
        if each.act is not None and each.problem is None and told[each.request_id, each.act] != 1
    )
    asked = {each.request_id: each for each in ledger.asked}
    silent = {each.request_id for each in ledger.asked if each.kind in ("live: anything new?", "static file")}
    wrong.update(f"{action} of a request that nobody made" for request, action, _ in events if request not in asked)
    wrong.update(f"{action} of a request that reads nothing" for request, action, _ in events if request in silent)
    return [f"{text} ({count} requests)" for text, count in wrong.most_common()]
