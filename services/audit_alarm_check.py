"""Alarms that somebody made unsaid in the database: the trail says that each was raised, and who took note of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import psycopg

ALARMS = """
    SELECT a.id, a.noted_by, EXISTS (SELECT FROM audit_alarms later WHERE later.found_at > a.noted_at),
        a.noted_at < (SELECT sealed_at FROM audit_trail ORDER BY sequence LIMIT 1)
    FROM audit_alarms a
"""
WAITING = "SELECT entity_id, actor_id FROM audit_outbox WHERE action = 'audit_alarm.note'"
SEALED = """
    SELECT sequence, action, entity_id, actor_id FROM audit_trail
    WHERE action IN ('audit_alarm.create', 'audit_alarm.note') AND entity_id IS NOT NULL ORDER BY sequence
"""


@dataclass(frozen=True, slots=True)
class Unsaid:
    """An alarm that event ``sequence`` raised (0: not known). ``is_gone``: its row is, else its note is nobody's."""

    id: uuid.UUID
    sequence: int
    is_gone: bool


def unsaid_alarms(connection: psycopg.Connection[Any]) -> list[Unsaid]:
    """Those whose row is gone, and those that are called noted where no event says that its auditor did so, unless
    another was raised since. ``connection`` acts as the worker; one look at all events that are online."""
    # Rows first: an event that is committed with what is read here is met later, in the outbox or behind it.
    rows = connection.execute(ALARMS).fetchall()
    noted = set(connection.execute(WAITING).fetchall())
    raised: dict[uuid.UUID, int] = {}
    for sequence, action, alarm_id, actor_id in connection.execute(SEALED):
        if action == "audit_alarm.create":
            raised.setdefault(alarm_id, sequence)
        else:
            noted.add((alarm_id, actor_id))
    there = {row[0] for row in rows}
    gone = [Unsaid(alarm_id, sequence, is_gone=True) for alarm_id, sequence in raised.items() if alarm_id not in there]
    false = [
        Unsaid(alarm_id, raised.get(alarm_id, 0), is_gone=False)
        for alarm_id, noted_by, is_said_again, is_archived in rows
        if noted_by is not None and (alarm_id, noted_by) not in noted and not is_said_again and not is_archived
    ]
    return gone + false
