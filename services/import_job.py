"""The row that an import is: begun, claimed, moved forward with each batch, and ended.

Whoever works on a job holds an advisory lock named after it, so two runs of one job cannot overlap, and a
killed one lets go by itself. ``position`` says how far the committed batches went.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from models import new_id
from models.advisory_locks import IMPORT_CLAIM
from models.import_job import PARTS_AT_ONCE
from models.user import IMPORT_USER_ID
from services.audit_event import Event, Origin, event_row
from services.errors import Conflict, ServiceError
from services.import_statements import Connection, insert_rows

BUSY = "This import is running already. Wait for it, or see it on the imports page."
PAUSED = "The import has had its time for now, and goes on with the next run."
CANCELLED = "The import was cancelled. What it had committed stays."

# The oldest upload that waits, or that lost its worker: whether somebody still works on it tells its lock.
WAITING = """
SELECT id FROM import_jobs j
WHERE state IN ('QUEUED', 'RUNNING') AND EXISTS (SELECT FROM import_files f WHERE f.job_id = j.id)
ORDER BY created_at, id FOR UPDATE SKIP LOCKED
"""
ADVANCE = """
UPDATE import_jobs
SET position = %(position)s, total = %(total)s, read = %(read)s, created = %(created)s, updated = %(updated)s,
    unchanged = %(unchanged)s, rejected = %(rejected)s, counts = %(counts)s, heartbeat_at = now()
WHERE id = %(id)s AND state = 'RUNNING'
"""
DROP_PARTS = """
DELETE FROM import_file_parts WHERE ctid = ANY (ARRAY(
    SELECT p.ctid FROM import_file_parts p WHERE p.job_id = %s LIMIT %s))
"""


class Cancelled(Conflict):
    """Somebody cancelled the job; its committed batches stay."""


class Paused(ServiceError):
    """The time given to this run is over; the job goes on where it stands with the next one."""


@dataclass
class Job:
    """A job in work: its row's values, which ``advance`` writes back."""

    id: uuid.UUID
    format: str
    options: dict[str, Any]
    created_by: uuid.UUID | None
    rejects_done: int = 0  # number of the last refusal of the reading that is committed
    units_done: int = 0
    total: int | None = None
    counts: Counter[str] = field(default_factory=Counter)  # "patients.created", "rejected", "ignored.Claim" → n
    is_resumed: bool = False

    def counted(self, outcome: str) -> int:
        """How many entries of any kind had this outcome."""
        return sum(count for name, count in self.counts.items() if name.endswith(f".{outcome}"))

    @property
    def read(self) -> int:
        """Entries dealt with so far."""
        outcomes = sum(self.counted(outcome) for outcome in ("created", "updated", "unchanged"))
        return outcomes + self.counts["rejected"]

    def moved(self, counts: Mapping[str, int], **places: int) -> Job:
        """The job further on: with these counts added and these places (``rejects_done``, ``units_done``) set."""
        return replace(self, counts=self.counts + Counter(counts), **places)  # type: ignore[arg-type]


def begin_job(connection: Connection, digest: bytes, source_format: str, options: dict[str, Any]) -> Job:
    """The job over files with this ``digest``: the one that was interrupted, else a new one. Takes its lock.

    Raises Conflict while another process works on it.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [IMPORT_CLAIM])
        found = connection.execute(
            "SELECT id FROM import_jobs j WHERE source_digest = %s AND format = %s AND options = %s "
            "AND state IN ('QUEUED', 'RUNNING') AND NOT EXISTS (SELECT FROM import_files f WHERE f.job_id = j.id) "
            "ORDER BY created_at LIMIT 1",
            [digest, source_format, Jsonb(options)],
        ).fetchone()
        if found is not None:
            return _take(connection, found[0])
        job_id = new_id()
        connection.execute(
            "INSERT INTO import_jobs (id, format, source_digest, options) VALUES (%s, %s, %s, %s)",
            [job_id, source_format, digest, Jsonb(options)],
        )
        return _take(connection, job_id)


def claim_upload(connection: Connection) -> Job | None:
    """The oldest uploaded job that waits or was interrupted, with its lock taken; None when there is none."""
    with connection.transaction():
        for (job_id,) in connection.execute(WAITING).fetchall():
            try:
                return _take(connection, job_id)
            except Conflict:
                continue
    return None


def _take(connection: Connection, job_id: uuid.UUID) -> Job:
    (is_free,) = connection.execute("SELECT pg_try_advisory_lock(%s)", [lock_of(job_id)]).fetchone() or (False,)
    if not is_free:
        raise Conflict(BUSY)
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("SELECT * FROM import_jobs WHERE id = %s FOR UPDATE", [job_id]).fetchone()
    if row is None or row["state"] not in ("QUEUED", "RUNNING"):
        connection.execute("SELECT pg_advisory_unlock(%s)", [lock_of(job_id)])
        raise Conflict(BUSY)
    connection.execute(
        "UPDATE import_jobs SET state = 'RUNNING', started_at = coalesce(started_at, now()), heartbeat_at = now() "
        "WHERE id = %s",
        [job_id],
    )
    job = Job(
        id=job_id,
        format=row["format"],
        options=row["options"],
        created_by=row["created_by"],
        rejects_done=row["position"].get("rejects", 0),
        units_done=row["position"].get("units", 0),
        total=row["total"],
        counts=Counter(row["counts"]),
        is_resumed=row["state"] == "RUNNING",
    )
    _write_event(connection, job, "import.resume" if job.is_resumed else "import.start")
    return job


def advance(connection: Connection, job: Job) -> None:
    """Write the job's place and counts, in the transaction of the batch. Raises Cancelled."""
    values = {
        "id": job.id,
        "position": Jsonb({"rejects": job.rejects_done, "units": job.units_done}),
        "total": job.total,
        "read": job.read,
        "created": job.counted("created"),
        "updated": job.counted("updated"),
        "unchanged": job.counted("unchanged"),
        "rejected": job.counts["rejected"],
        "counts": Jsonb(dict(job.counts), dumps=json.dumps),
    }
    if connection.execute(ADVANCE, values).rowcount != 1:
        raise Cancelled(CANCELLED)


def heartbeat(connection: Connection, job: Job) -> None:
    """Say that the job is alive, between batches."""
    connection.execute("UPDATE import_jobs SET heartbeat_at = now() WHERE id = %s", [job.id])


def end_job(connection: Connection, job: Job, *, error: str | None = None) -> None:
    """Close the job as DONE, or as FAILED with the reason, and let its lock go. The uploaded bytes go with DONE;
    a failed import keeps them for a week (services/cleanup_expired.py), so that it can be tried again."""
    with connection.transaction():
        state = "DONE" if error is None else "FAILED"
        connection.execute(
            "UPDATE import_jobs SET state = %s, error = %s, finished_at = now() WHERE id = %s AND state = 'RUNNING'",
            [state, error, job.id],
        )
        if error is None:
            # They hold what is now in the record, or was refused; nobody needs a second copy.
            connection.execute("DELETE FROM import_files WHERE job_id = %s", [job.id])
        _write_event(connection, job, "import.finish", failed=error is not None)
    if error is None:
        # A few at a time, so that no transaction is long; what a kill leaves is the clean-up's.
        while connection.execute(DROP_PARTS, [job.id, PARTS_AT_ONCE]).rowcount == PARTS_AT_ONCE:
            pass
    release(connection, job)


def release(connection: Connection, job: Job) -> None:
    """Let go of the job's lock without ending it."""
    connection.execute("SELECT pg_advisory_unlock(%s)", [lock_of(job.id)])


def lock_of(job_id: uuid.UUID) -> int:
    """The advisory lock of a job: the random half of its id, as a signed 64-bit number."""
    return int.from_bytes(job_id.bytes[8:], signed=True)


def _write_event(connection: Connection, job: Job, action: str, *, failed: bool = False) -> None:
    event = Event(
        action=action,
        entity_type="import_job",
        entity_id=job.id,
        basis="import",
        outcome="failure" if failed else "success",
    )
    actor = Origin(user_id=job.created_by or IMPORT_USER_ID, role="SYSTEM")
    insert_rows(connection, "audit_outbox", [event_row(event, actor)])
