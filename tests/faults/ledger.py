"""What must hold after any fault: every committed act has exactly one event, and no event is without its act."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from embedded.process import wait_until
from services.audit_verify import verify_trail
from services.signed_note import VerifierKey

SEALED_SECONDS = 60.0  # until work is taken again, without help

EVENTS = """
    WITH events AS (
        SELECT id, action, outcome, entity_id, to_version, request_id FROM audit_outbox
        UNION ALL SELECT id, action, outcome, entity_id, to_version, request_id FROM audit_trail
    )
"""
# Written by requests; what the demo's seed wrote is no act of anybody's.
WRITTEN = "action IN ('medical_record.create', 'medical_record.update') AND outcome = 'success'"
TWICE = EVENTS + "SELECT count(*) FROM (SELECT FROM events GROUP BY id HAVING count(*) > 1) twice"
# Of every version that the ledger's author wrote: how many events tell of it.
UNTOLD = f"""{EVENTS}
    SELECT v.record_id, v.version, count(e.id) FROM record_versions v
    LEFT JOIN events e ON e.entity_id = v.record_id AND e.to_version = v.version AND {WRITTEN}
    WHERE v.changed_at >= %(since)s AND v.changed_by = %(author)s
    GROUP BY v.record_id, v.version HAVING count(e.id) <> 1
"""
UNDONE = f"""{EVENTS}
    SELECT e.entity_id, e.to_version FROM events e
    WHERE {WRITTEN} AND NOT EXISTS (
        SELECT FROM record_versions v WHERE v.record_id = e.entity_id AND v.version = e.to_version)
"""
BY_REQUEST = EVENTS + "SELECT request_id, count(*) FROM events WHERE request_id = ANY (%s) GROUP BY request_id"
GAPS = "SELECT count(*) - coalesce(max(sequence), 0), count(DISTINCT sequence) - count(*) FROM audit_trail"

Connection = psycopg.Connection[Any]


def is_sealed(superuser: Connection) -> bool:
    """Whether nothing waits. A server that is away is one where something may."""
    row = superuser.execute("SELECT count(*) FROM audit_outbox").fetchone()
    return row == (0,)


def check_ledger(
    superuser: Connection,
    url: str,
    key: VerifierKey,
    *,
    author: object,
    since: object,
    answered: Iterable[str],
    unanswered: Iterable[str] = (),
) -> int:
    """Fail unless acts and events agree; gives how many events are sealed.

    ``superuser`` is in autocommit, and ``url`` its URL. ``answered``: ids of requests that got 2xx, each of which is
    exactly one event; of those ``unanswered``, which were cut off or refused, each is one at most.
    """
    assert wait_until(lambda: is_sealed(superuser), SEALED_SECONDS), "the outbox was not sealed within a minute"
    assert superuser.execute(TWICE).fetchone() == (0,), "an event is there twice"
    assert superuser.execute(GAPS).fetchone() == (0, 0), "the sequence has gaps"
    who = {"author": author, "since": since}
    assert superuser.execute(UNTOLD, who).fetchall() == [], "versions without their one event"
    assert superuser.execute(UNDONE).fetchall() == [], "events without their act"
    asked = [*answered]
    told = dict(superuser.execute(BY_REQUEST, (asked,)).fetchall())
    assert {each: told.get(each, 0) for each in asked if told.get(each, 0) != 1} == {}, "requests without their event"
    doubtful = dict(superuser.execute(BY_REQUEST, ([*unanswered],)).fetchall())
    assert {each: count for each, count in doubtful.items() if count > 1} == {}, "requests told twice"
    with psycopg.connect(url) as reader:
        report = verify_trail(reader, [key])
    assert report.is_intact, str(report)
    return report.events
