"""How a backup lies in its folder or bucket: parts named after it, and a manifest that is written last.

Without a manifest there is no backup, only leftovers.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime
from typing import IO

from backups.errors import BackupFailed
from config import Settings
from integrations.bucket_storage import open_storage
from integrations.storage import Storage, StorageUnavailable

MANIFEST = ".manifest"
ENDINGS = {"database": ".database.zst.age", "files": ".files.zst.age", "keys": ".keys.age"}
MOST_BYTES = 1_000_000  # of a manifest
CHUNK = 1 << 20


def store_of(settings: Settings, url: str | None = None) -> Storage:
    """The folder or bucket at ``url``, by default where this installation keeps its backups."""
    return open_storage(url or settings.backup_store, settings)


def name_of(backup_id: uuid.UUID, moment: datetime) -> str:
    """What the names of its parts begin with: sorted by name is sorted by time."""
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}-{backup_id}"


def read_note(storage: Storage, name: str) -> str:
    """The manifest's note, unchecked. Raises BackupFailed."""
    try:
        with storage.reading(name + MANIFEST) as file:
            note = b""
            while len(note) < MOST_BYTES and (data := file.read(MOST_BYTES)):
                note += data
            return note.decode(errors="replace")
    except StorageUnavailable as error:
        raise BackupFailed(f"The manifest of {name} can't be read: {error}.") from error


def stored_names(storage: Storage) -> list[str]:
    """Of every backup that has a manifest there, the oldest first. Raises BackupFailed."""
    try:
        return [each.removesuffix(MANIFEST) for each in storage.names("") if each.endswith(MANIFEST)]
    except StorageUnavailable as error:
        raise BackupFailed(f"The store can't be listed: {error}.") from error


def remove_backup(storage: Storage, name: str) -> None:
    """All parts and what is half-written of them; the manifest first, so that no backup is there with a part missing.
    Raises StorageUnavailable."""
    storage.remove_unfinished(name)
    storage.remove(name + MANIFEST)
    for each in storage.names(name + "."):
        storage.remove(each)


class Measured:
    """A stream that knows how many bytes were read from it and their SHA-256, and what went wrong."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.size = 0
        self.failure: OSError | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._source.read(size)
        except OSError as error:
            self.failure = error
            raise
        self._hash.update(data)
        self.size += len(data)
        return data

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read_rest(self) -> None:
        while self.read(CHUNK):
            pass
