"""Work off what waits: the backup that was asked for, the drills that are owed, and what is kept no longer."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

from backups import job
from backups.create import take_backup
from backups.drill import run_drill
from backups.errors import BackupFailed
from backups.job import Connection, Progress
from backups.lock import lock_kept
from backups.prune import prune, remove_dead
from config import Settings
from integrations.storage import StorageUnavailable
from services.backup_request import MADE_AGAIN_NOW, UNDRILLED

LONG_SECONDS = 1800.0


@dataclass
class Done:
    """What a run did."""

    made: list[uuid.UUID] = field(default_factory=list)
    drilled: list[uuid.UUID] = field(default_factory=list)
    pruned: list[uuid.UUID] = field(default_factory=list)


def work_off(settings: Settings, connection: Connection, progress: Progress = lambda _done, _total: None) -> Done:
    """All of it, once. ``connection`` of ``job.exclusive``. One failing does not keep the others from being done:
    raises the first BackupFailed at the end."""
    done, failures = Done(), []
    job.bury_dead(connection)
    remove_dead(settings, connection)
    if connection.execute(MADE_AGAIN_NOW).fetchone() is not None:
        job.request(connection, "AGAIN")
    began = time.monotonic()
    claimed = job.claim(connection, settings.backup_store)
    if claimed is not None:
        try:
            take_backup(settings, connection, claimed, progress)
            done.made.append(claimed.id)
        except BackupFailed as error:
            failures.append(error)
    for (backup_id,) in connection.execute(f"{UNDRILLED} ORDER BY b.finished_at").fetchall():
        if time.monotonic() - began > LONG_SECONDS:
            break  # the next run drills it, with all the time that a run has
        try:
            run_drill(settings, connection, backup_id, progress)
            done.drilled.append(backup_id)
        except BackupFailed as error:
            failures.append(error)
    pruned = prune(settings, connection)
    done.pruned += pruned.gone
    if pruned.failure:
        failures.append(BackupFailed(pruned.failure))
    try:
        lock_kept(settings, connection)
    except StorageUnavailable as error:
        failures.append(BackupFailed(f"Backups that are kept for long can't be locked for as long: {error}."))
    if failures:
        raise failures[0]
    return done
