"""Know again what the store has: after a restore, the rows are those of the time of the backup."""

from __future__ import annotations

from backups.errors import BackupFailed
from backups.job import Connection, adopt
from backups.manifest import manifest_signer, open_manifest
from backups.store import read_note, store_of, stored_names
from config import Settings


def adopt_stored(settings: Settings, connection: Connection) -> int:
    """A row for each backup of ours in the store that none stands for, and rows whose backup was deleted since say so;
    gives how many there are anew. Raises BackupFailed when the store can't be read."""
    storage = store_of(settings)
    known = {
        row[0]
        for row in connection.execute("SELECT name FROM backups WHERE state IN ('DONE', 'VERIFIED')").fetchall()
    }
    names, count = stored_names(storage), 0
    connection.execute(
        "UPDATE backups SET pruned_at = now() WHERE pruned_at IS NULL AND state IN ('DONE', 'VERIFIED') AND store = %s"
        " AND NOT name = ANY(%s)",
        [settings.backup_store, names],
    )
    for name in names:
        if name in known:
            continue
        note = read_note(storage, name)
        try:
            manifest = open_manifest(note, manifest_signer(settings).trusted)
        except BackupFailed:  # another installation's, in the same folder
            continue
        adopt(connection, manifest, note, settings.backup_store, name)
        count += 1
    return count
