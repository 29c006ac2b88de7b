"""The archives of what left the database: what each holds, and whether its file still is what was written."""

from __future__ import annotations

from collections.abc import Iterator

from config import Principal, Settings
from integrations.storage import FolderStorage, StorageUnavailable
from models.connection import connect

ARCHIVES = "SELECT first, last, sealed_from, sealed_to, file, size, digest FROM audit_archives ORDER BY last"


def check_archives(settings: Settings) -> Iterator[tuple[str, bool]]:
    """A line for each archive, oldest first, and whether its file is there and unchanged; each is read to its end."""
    storage = FolderStorage(settings.archive_folder)
    with connect(settings.url_for(Principal.AUDITOR)) as connection:
        rows = connection.execute(ARCHIVES).fetchall()
    if not rows:
        yield "Nothing was archived yet.", True
    for first, last, begun, ended, file, size, digest in rows:
        try:
            state = "unchanged" if storage.measure(file) == (size, digest) else "CHANGED"
        except StorageUnavailable as error:
            state = f"NOT THERE ({error})"
        yield f"{first}-{last}, sealed {begun:%Y-%m-%d} to {ended:%Y-%m-%d}, {size} bytes, {file}: {state}", (
            state == "unchanged"
        )
