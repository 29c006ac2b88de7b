"""Whom backups are encrypted to: the clinic's recovery key, and a drill key that this machine makes and rotates.

The private half of the recovery key never touches a server. That of the drill key is a file that the drills' worker
alone reads; it opens only what was made in its time, and goes when none of that waits for its drill any more. Its
public half stands in a row, so that taking a backup needs no private key.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import psycopg
import pyrage

from backups.errors import BackupFailed
from config import NO_DRILLS, Settings
from integrations.storage import kind_of
from services.age_stream import recipient_of
from services.backup_request import OWED
from services.errors import Invalid

HOLDER = "drills' worker"
NO_RECOVERY = (
    "BACKUP_AGE_RECIPIENT is not set: make a key on another machine with `sigilo backup keygen` and set what it"
    " prints on standard error. Without one nobody could open a backup once this machine is lost."
)
Connection = psycopg.Connection[Any]


def recovery_recipient(settings: Settings) -> str:
    """The clinic's own; empty without one, which only an installation for trying things out may be. Raises
    BackupFailed."""
    given = settings.backup_age_recipient.strip()
    if given:
        try:
            recipient_of(given)
        except Invalid as error:
            raise BackupFailed(f"BACKUP_AGE_RECIPIENT: {error.detail}") from error
    elif settings.is_production:
        raise BackupFailed(NO_RECOVERY)
    return given


def drill_recipient(connection: Connection, settings: Settings) -> str:
    """The public half of the drill key in use, as its row has it, wherever its private half lies; the first of all is
    made here. Raises BackupFailed."""
    found = _current(connection)
    return rotate(connection, settings) if found is None else found[0]


def renew(connection: Connection, settings: Settings) -> str:
    """By the drills' worker alone: a new key where there is none, its time is over, or its private half is lost (the
    database was restored onto another machine), since nothing could be drilled with it. Gives the public half of the
    one in use. Raises BackupFailed."""
    found = _current(connection)
    is_fit = found is not None and found[1] < settings.drill_key_days and _file(settings, found[0]).exists()
    return found[0] if found is not None and is_fit else rotate(connection, settings)


def _current(connection: Connection) -> tuple[str, float] | None:
    """The public half of the key in use and its age in days."""
    return connection.execute(
        "SELECT recipient, extract(epoch FROM now() - created_at)::float8 / 86400 FROM backup_keys"
        " WHERE retired_at IS NULL AND holder = %s",
        [HOLDER],
    ).fetchone()


def rotate(connection: Connection, settings: Settings) -> str:
    """Make a drill key and retire the one before; gives its public half. Raises BackupFailed."""
    if settings.drill_keys == NO_DRILLS:
        raise BackupFailed("The drill key can't be kept (DRILL_KEYS is off): ask the drills' worker.")
    made = pyrage.x25519.Identity.generate()
    recipient = str(made.to_public())
    try:
        _write_private(_file(settings, recipient), f"{made}\n")
    except OSError as error:
        raise BackupFailed(
            f"The drill key can't be kept ({kind_of(error)}): DRILL_KEYS names a folder of the drills' worker."
        ) from error
    with connection.transaction():
        connection.execute(
            "UPDATE backup_keys SET retired_at = now() WHERE retired_at IS NULL AND holder = %s", [HOLDER]
        )
        connection.execute(
            "INSERT INTO backup_keys (recipient, holder, machine) VALUES (%s, %s, %s)",
            [recipient, HOLDER, socket.gethostname()],
        )
    return recipient


def destroy_retired(connection: Connection, settings: Settings) -> int:
    """Delete private halves that nothing waits for: no backup that is still to be drilled was made in their time. Gives
    how many."""
    rows = connection.execute(
        "SELECT k.recipient FROM backup_keys k WHERE k.retired_at IS NOT NULL AND k.destroyed_at IS NULL"
        f" AND NOT EXISTS (SELECT FROM backups b WHERE strpos(b.manifest, k.recipient) > 0 AND {OWED})"
    ).fetchall()
    for (recipient,) in rows:
        _file(settings, recipient).unlink(missing_ok=True)
        connection.execute("UPDATE backup_keys SET destroyed_at = now() WHERE recipient = %s", [recipient])
    return len(rows)


def drill_identity(settings: Settings, recipient: str) -> str:
    """The private half of ``recipient``. Raises BackupFailed when it is not here."""
    try:
        return _file(settings, recipient).read_text(encoding="utf-8")
    except OSError:
        raise BackupFailed(
            "The drill key that this backup was encrypted to is not on this machine, or was destroyed when its time was"
            " over: name a file with the clinic's recovery key, --identity FILE."
        ) from None


def _file(settings: Settings, recipient: str) -> Path:
    return settings.drill_key_folder / f"{recipient}.key"


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
