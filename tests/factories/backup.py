"""Backups and drills as rows alone: nothing of them lies in any store."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete

from config import Principal
from models import Backup, BackupDrill, BackupKey, new_id
from models.engine import Databases


def stored(at: datetime, **values: object) -> Backup:
    """One that a drill has restored, but for what ``values`` say."""
    given = {"state": "VERIFIED", "origin": "SCHEDULED", "manifest": "x", "name": "x", "store": "file:///x", "size": 7}
    return Backup(**(given | {"finished_at": at, "verified_at": at} | values))


def make_backup(databases: Databases, *, failed_drill: str | None = None, **values: object) -> uuid.UUID:
    """Its id: made an hour ago and drilled, with success unless ``failed_drill`` says why not."""
    ended = datetime.now(UTC) - timedelta(hours=1)
    usual = {"id": new_id(), "size": 123_456_789, "started_at": ended - timedelta(minutes=2), "finished_at": ended}
    made = stored(ended, **(usual | values))
    drill = BackupDrill(
        backup_id=made.id, state="FAILED" if failed_drill else "PASSED", failure=failed_drill, started_at=ended,
        finished_at=ended + timedelta(minutes=3), restore_seconds=None if failed_drill else 93.4,
        checks={} if failed_drill else {"rows": 1_234_567, "constraints": 214, "events": 9_876, "samples": 100},
    )  # fmt: skip
    with databases.session(Principal.MIGRATOR) as session:
        session.add(made)
        session.flush()
        if made.manifest is not None:
            session.add(drill)
        return made.id


def make_drill_key(databases: Databases, **values: object) -> None:
    given = {"recipient": f"age1{new_id().hex}", "holder": "drills", "machine": "server"}
    with databases.session(Principal.MIGRATOR) as session:
        session.add(BackupKey(**(given | values)))


def forget_backups(databases: Databases) -> None:
    """Every row of them."""
    with databases.session(Principal.MIGRATOR) as session:
        for model in (BackupDrill, Backup, BackupKey):
            session.execute(delete(model))
