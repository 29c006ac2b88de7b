"""Delete what retention no longer keeps: from the store first, then in the row. Killed in between, it does so again."""

from __future__ import annotations

import uuid
from contextlib import suppress

from backups.errors import BackupFailed
from backups.job import Connection, adopt, note_event
from backups.manifest import manifest_signer, open_manifest
from backups.retention import Kept, Policy, to_delete
from backups.store import read_note, remove_backup, store_of, stored_names
from config import Settings
from integrations.storage import Storage, StorageUnavailable

# One found after a restore keeps no place when a drill has found it damaged.
STORED = """
    SELECT id, finished_at, state = 'VERIFIED', origin = 'FOUND' AND NOT EXISTS (
        SELECT FROM backup_drills d WHERE d.backup_id = b.id AND d.is_damaged
    ), store, name, locked_until FROM backups b WHERE state IN ('DONE', 'VERIFIED') AND pruned_at IS NULL AND store = %s
"""


def prune(settings: Settings, connection: Connection) -> list[uuid.UUID]:
    """Of the store that is configured now, what was deleted. Raises StorageUnavailable."""
    rows = connection.execute(STORED, [settings.backup_store]).fetchall()
    old = to_delete((Kept(*row[:4]) for row in rows), policy_of(settings), settings.timezone)
    storage = store_of(settings)
    for backup_id, *_, name, _ in rows:
        if backup_id in old:
            remove_backup(storage, name)
            with connection.transaction():
                connection.execute("UPDATE backups SET pruned_at = now() WHERE id = %s", [backup_id])
                note_event(connection, "backup.prune", backup_id)
    return [row[0] for row in rows if row[0] in old]


def policy_of(settings: Settings) -> Policy:
    return Policy(settings.backup_keep_daily, settings.backup_keep_weekly, settings.backup_keep_monthly)


def remove_dead(settings: Settings, connection: Connection) -> None:
    """What failed backups may have left in the store, killed ones above all. One that can't be removed now is looked
    for again.

    One whose manifest lies there is whole, and no leftover: its process died behind the last byte, or the row is older
    than the backup, as in a database that was itself restored from it. It gets its row back.
    """
    rows = connection.execute(
        "SELECT id, store, name FROM backups WHERE state = 'FAILED' AND name IS NOT NULL AND pruned_at IS NULL"
    ).fetchall()
    for backup_id, store, name in rows:
        storage = store_of(settings, store)
        try:
            if name in stored_names(storage):
                _know_again(settings, connection, storage, store, name)
            else:
                remove_backup(storage, name)
        except (StorageUnavailable, BackupFailed):
            continue
        connection.execute("UPDATE backups SET pruned_at = now() WHERE id = %s AND state = 'FAILED'", [backup_id])


def _know_again(settings: Settings, connection: Connection, storage: Storage, store: str, name: str) -> None:
    """Of another key, it is not ours to delete either."""
    note = read_note(storage, name)
    with suppress(BackupFailed):
        adopt(connection, open_manifest(note, manifest_signer(settings).trusted), note, store, name)
