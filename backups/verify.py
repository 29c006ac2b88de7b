"""Whether the parts of a backup are what its manifest says: each read to its end."""

from __future__ import annotations

from collections.abc import Callable

from backups.errors import BackupFailed, NotRestorable
from backups.manifest import Manifest
from backups.store import CHUNK, Measured
from integrations.storage import Storage, kind_of

Progress = Callable[[int, int | None], None]


def verify_parts(storage: Storage, manifest: Manifest, progress: Progress) -> None:
    """Raises BackupFailed, which names the part that is missing or changed."""
    done = 0
    for part in manifest.parts:
        try:
            with storage.reading(part.name) as file:
                measured = Measured(file)
                while data := measured.read(CHUNK):
                    done += len(data)
                    progress(done, manifest.size)
        except OSError as error:
            raise BackupFailed(f"The part {part.name} can't be read: {kind_of(error)}.") from error
        if (measured.size, measured.sha256) != (part.size, part.sha256):
            raise NotRestorable(f"The part {part.name} is damaged: it is not what was written.")
