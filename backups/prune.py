"""Delete what retention no longer keeps: from the store first, then in the row. Killed in between, it does so again."""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from backups.errors import BackupFailed
from backups.job import Connection, adopt, note_event
from backups.manifest import Manifest, manifest_signer, open_manifest
from backups.retention import Kept, Policy, to_delete
from backups.store import read_note, remove_backup, store_of, stored_names
from config import Settings
from integrations.storage import Storage, StorageHeld, StorageUnavailable
from services.signed_note import NoteError, parse_note

# One found after a restore keeps no place when a drill has found it damaged.
STORED = """
    SELECT id, finished_at, state = 'VERIFIED', origin = 'FOUND' AND NOT EXISTS (
        SELECT FROM backup_drills d WHERE d.backup_id = b.id AND d.is_damaged
    ), store, name, locked_until, manifest
    FROM backups b WHERE state IN ('DONE', 'VERIFIED') AND pruned_at IS NULL AND store = %s
"""


@dataclass
class Pruned:
    """What was deleted, and of what could not be, why, by the backup's id."""

    gone: list[uuid.UUID] = field(default_factory=list)
    failed: dict[uuid.UUID, str] = field(default_factory=dict)

    @property
    def failure(self) -> str:
        """Of all of it a sentence; empty where there is nothing to say."""
        if not self.failed:
            return ""
        count, (first, why) = len(self.failed), next(iter(self.failed.items()))
        return f"{count} old backups can't be deleted, {first} first of all: {why}."


def prune(settings: Settings, connection: Connection) -> Pruned:
    """Of the store that is configured now, what is kept no longer and not locked. One that can't be deleted keeps no
    other."""
    rows = connection.execute(STORED, [settings.backup_store]).fetchall()
    kept = {row[0]: Kept(row[0], row[1], row[2], row[3], _head(row[-1])) for row in rows}
    now = datetime.now(UTC)
    old = to_delete(kept.values(), policy_of(settings), settings.timezone, now)
    storage, done = store_of(settings), Pruned()
    for backup_id, _, _, _, _, name, locked_until, _ in rows:
        if backup_id not in old or (locked_until is not None and locked_until > now):
            continue
        try:
            remove_backup(storage, name)
        except StorageHeld:
            continue
        except StorageUnavailable as error:
            done.failed[backup_id] = str(error)
            continue
        with connection.transaction():
            connection.execute("UPDATE backups SET pruned_at = now() WHERE id = %s", [backup_id])
            note_event(connection, "backup.prune", backup_id)
        done.gone.append(backup_id)
    return done


def _head(note: str) -> int:
    """Of a manifest in our own table, whose signature nobody has to look at for this."""
    try:
        return Manifest.parse(parse_note(note)[0]).head[0]
    except (NoteError, BackupFailed):
        return 0


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
