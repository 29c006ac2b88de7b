"""Lock what is kept for weeks and months for as long as it will be kept, where the store has locks.

All are written with the lock of a daily one, since nobody knows yet which will stay; a lock can be lengthened, and by
nobody shortened.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from backups.job import Connection
from backups.prune import STORED, policy_of
from backups.retention import Kept, locked_until
from backups.store import store_of
from config import Settings


def lock_kept(settings: Settings, connection: Connection) -> list[uuid.UUID]:
    """Of the store that is configured now, those whose locks were lengthened, each once. Raises StorageUnavailable."""
    rows = {row[0]: row for row in connection.execute(STORED, [settings.backup_store]).fetchall()}
    stored = [Kept(*row[:4]) for row in rows.values()]
    storage, locked = store_of(settings), []
    for backup_id, until in locked_until(stored, policy_of(settings), settings.timezone, datetime.now(UTC)).items():
        *_, name, noted, _ = rows[backup_id]
        if noted is not None and noted >= until:
            continue
        if not storage.lock(f"{name}.", until):
            break
        connection.execute("UPDATE backups SET locked_until = %s WHERE id = %s", [until, backup_id])
        locked.append(backup_id)
    return locked
