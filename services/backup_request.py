"""Ask for a backup: a row that waits for its worker. Whoever serves the request wakes it after the commit."""

from __future__ import annotations

import uuid

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models import Backup, new_id
from services.actor import Actor
from services.audit_event import Event, record
from services.errors import Conflict
from services.permissions import Permission

WAITS = "A backup waits to begin already."
INTERRUPTED = "Its process was interrupted or killed, and what it had written was removed."
RETRIES = 3
PAUSE = "interval '1 hour'"  # of a failure; what only lost its process is made again at once
# Of ``backups b``: stored, and what its drills failed of says nothing about it.
OWED = f"""
    b.state = 'DONE' AND b.pruned_at IS NULL
    AND NOT EXISTS (SELECT FROM backup_drills d WHERE d.backup_id = b.id AND (d.state = 'PASSED' OR d.is_damaged))
    AND (SELECT count(*) FROM backup_drills d WHERE d.backup_id = b.id) <= {RETRIES}
"""
# Those of this installation that are to be drilled now.
UNDRILLED = f"""
    SELECT b.id FROM backups b WHERE {OWED} AND b.origin <> 'FOUND'
    AND NOT EXISTS (SELECT FROM backup_drills d WHERE d.backup_id = b.id AND (
        d.state = 'RUNNING' OR (d.failure <> '{INTERRUPTED}' AND d.finished_at > now() - {PAUSE})))
"""
# Those whose drill failed, and when it is made again.
DRILLED_AGAIN = f"""
    SELECT b.id, max(d.finished_at) + {PAUSE} AS at FROM backups b JOIN backup_drills d ON d.backup_id = b.id
    WHERE {OWED} AND b.origin <> 'FOUND' GROUP BY b.id HAVING bool_and(d.state = 'FAILED')
"""
# The newest backup where it failed and another is made in its place, and when.
MADE_AGAIN = f"""
    SELECT b.id, b.finished_at + {PAUSE} AS at FROM backups b WHERE b.state = 'FAILED'
    AND NOT EXISTS (SELECT FROM backups n WHERE (n.created_at, n.id) > (b.created_at, b.id))
    AND (SELECT count(*) FROM backups a WHERE a.origin = 'AGAIN' AND a.created_at > coalesce(
        (SELECT max(o.created_at) FROM backups o WHERE o.origin <> 'AGAIN'), '-infinity')) < {RETRIES}
"""
MADE_AGAIN_NOW = f"SELECT FROM ({MADE_AGAIN}) again WHERE again.at <= now()"
# SQL boolean, for the scheduler: a backup waits, a process that made or drilled one died, or what failed is to be tried
# again.
WAITING = f"""
    EXISTS (SELECT FROM backups WHERE state = 'PENDING'
        OR (state = 'RUNNING' AND heartbeat_at < now() - interval '2 minutes'))
    OR EXISTS ({UNDRILLED}) OR EXISTS ({MADE_AGAIN_NOW})
    OR EXISTS (SELECT FROM backup_drills WHERE state = 'RUNNING' AND heartbeat_at < now() - interval '10 minutes')
"""


def request_backup(session: Session, actor: Actor) -> uuid.UUID:
    """Id of the backup that will be made. Raises Forbidden, and Conflict while another waits."""
    actor.require(Permission.USER_MANAGE)
    statement = insert(Backup).values(id=new_id(), origin="REQUESTED", requested_by=actor.user_id)
    made: uuid.UUID | None = session.scalar(statement.on_conflict_do_nothing().returning(Backup.id))
    if made is None:
        raise Conflict(WAITS)
    record(session, actor, Event("backup.request", "backup", made))
    return made
