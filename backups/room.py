"""Whether a server has the room for a drill, and whether it may be restored there at all: asked before anything is
written.

On a server that archives its changes a restore is a change like any other: about as much WAL as the whole database,
each night. Past its queue (``archive-push-queue-max``) pgBackRest drops WAL, and nothing after the gap is recovered to
a point in time. So a drill there is a matter of a few hundred megabytes at most, and else of DRILL_DATABASE_URL.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from backups.database import Connection
from backups.errors import BackupFailed
from backups.manifest import Manifest
from config import Settings

MIB = 1 << 20
INDEXES = 2  # times what is dumped: manifests that don't say what the database took on its disk
FREE_SHARE = 0.8  # of what is free; the rest stays for whoever else lives there
LOOPBACK = ("127.0.0.1", "::1")
# The second is told to superusers alone, and to whoever may read all settings.
FACTS = """
    SELECT current_setting('archive_mode') <> 'off', (SELECT setting FROM pg_settings WHERE name = 'data_directory')
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """``free``: bytes on the server's disk, None where it is another machine's, or not told."""

    is_archived: bool
    free: int | None


def facts_of(server: Connection) -> Facts:
    """Of the server that ``server`` is connected to."""
    row = server.execute(FACTS).fetchone()
    assert row is not None  # noqa: S101
    return Facts(row[0], _free_at(row[1]) if _is_here(server) else None)


def _is_here(server: Connection) -> bool:
    return server.info.host.startswith("/") or server.info.hostaddr in LOOPBACK


def _free_at(folder: str | None) -> int | None:
    return free_bytes(Path(folder)) if folder else None


def free_bytes(folder: Path) -> int | None:
    """Of the disk that ``folder`` lies on, or will; None where it can't be asked."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def needed_of(manifest: Manifest) -> int:
    """Bytes that it takes on a server's disk, and about as many of WAL while it is restored."""
    return manifest.room or manifest.database.contains * INDEXES


def refuse_narrow(settings: Settings, manifest: Manifest, facts: Facts) -> None:
    """Raises BackupFailed where a drill of this backup would not fit, or would fill the archive of changes."""
    size = needed_of(manifest)
    needed, archived, room = mib(size), settings.drill_archived_mib, settings.drill_room_mib
    if facts.is_archived and size > archived * MIB:
        raise BackupFailed(
            f"The drill makes about {needed} MiB of WAL, and its server archives every change (archive_mode is on):"
            f" past DRILL_ARCHIVED_MIB ({archived}) that could tear a gap into the archive. Name in DRILL_DATABASE_URL"
            " a server of its own, with archive_mode=off and wal_level=minimal (docs/disaster-recovery.md)."
        )
    if room and size > room * MIB:
        raise BackupFailed(f"The drill needs about {needed} MiB, and DRILL_ROOM_MIB gives {room}: give drills more.")
    if facts.free is not None and size > facts.free * FREE_SHARE:
        free = mib(facts.free)
        raise BackupFailed(
            f"The drill needs about {needed} MiB, and the disk of its server has {free} MiB free, a fifth of which"
            " stays for others: free some, or name another server in DRILL_DATABASE_URL."
        )


def mib(size: int) -> int:
    """Rounded up."""
    return -(-size // MIB)
