"""Take one backup: dump, pack, encrypt, store, and sign what it is.

Everything streams: nothing of the database lies on this machine's disk but encrypted, where the store is a folder of
it. A backup is there when its manifest is, which is written last; whatever goes wrong before leaves a row that says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import psycopg
import pyrage
from billiard.exceptions import SoftTimeLimitExceeded

from backups import job
from backups.dump import dumped
from backups.encrypt import Sink, sealed
from backups.errors import BackupFailed
from backups.files import write_files
from backups.job import Claimed, Connection, Progress, Progressing
from backups.keys import drill_recipient, recovery_recipient
from backups.manifest import DATABASE, FILES, KEYS, Manifest, Part, manifest_signer
from backups.programs import PIPE_BYTES, programs_of
from backups.samples import seal_samples
from backups.snapshot import Snapshot, snapshot
from backups.store import ENDINGS, MANIFEST, name_of, remove_backup, store_of
from config import PRODUCT_VERSION, Principal, Settings
from integrations.storage import Storage, StorageUnavailable, kind_of
from services.audit_checkpoint import origin_of
from services.backup_request import INTERRUPTED
from services.errors import ServiceError

MOST_SKEW_SECONDS = 300.0
TOO_LONG = (
    "It took longer than a run may (BACKUP_RUN_MINUTES), and was ended: see whether the store or the database is slow,"
    " or give it more time."
)


@dataclass
class _Work:
    """What one backup is made of as it goes."""

    settings: Settings
    storage: Storage
    name: str
    recovery: str
    drill: str
    parts: list[Part] = field(default_factory=list)

    @property
    def recipients(self) -> list[str]:
        return [each for each in (self.recovery, self.drill) if each]


def take_backup(settings: Settings, connection: Connection, claimed: Claimed, watcher: Progress) -> Manifest:
    """Make the backup of the row ``claimed``. Raises BackupFailed, the row saying why and nothing of it left."""
    storage = store_of(settings)
    name = name_of(claimed.id, datetime.now(UTC))
    progress = Progressing(connection, "backups", claimed.id, watcher)
    try:
        _refuse_wrong_clock(connection)
        recovery, drill = recovery_recipient(settings), drill_recipient(connection, settings)
        job.name_backup(connection, claimed.id, name)
        work = _Work(settings, storage, name, recovery, drill)
        manifest, note = _make(work, claimed, progress)
        job.finish(connection, claimed, manifest, note, storage.locked_until())  # no earlier than any part's
    except BaseException as error:
        failure = said_of(error)
        _clean_up(storage, name)
        with suppress(psycopg.OperationalError):  # the next run finds a row that nobody works on
            job.fail(connection, claimed, failure)
        if isinstance(error, Exception):
            raise BackupFailed(failure) from error
        raise
    return manifest


def said_of(error: BaseException) -> str:  # noqa: PLR0911  (a table of cases)
    """A sentence about what failed: of ours, or the kind of error. The words of others may quote a row."""
    if isinstance(error, SoftTimeLimitExceeded):
        return TOO_LONG
    if isinstance(error, StorageUnavailable):
        return f"The store failed: {error}."
    if isinstance(error, ServiceError):
        return error.detail
    if isinstance(error, psycopg.OperationalError):
        return "The database can't be reached, or ended the connection."
    if isinstance(error, psycopg.Error):
        return f"The database refused it ({type(error).__name__})."
    if isinstance(error, OSError):
        return f"A file can't be read or written: {kind_of(error)}."
    if not isinstance(error, Exception):
        return INTERRUPTED
    return f"It ended with an unexpected {type(error).__name__}."


def _refuse_wrong_clock(connection: Connection) -> None:
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    skew = abs(time.time() - row[0]) if row else 0.0
    if skew > MOST_SKEW_SECONDS:
        raise BackupFailed(
            f"The clock of this machine and the database's differ by {round(skew)} s: set them right. Backups are told"
            " apart, kept and locked by time."
        )


def _clean_up(storage: Storage, name: str) -> None:
    try:
        remove_backup(storage, name)
    except StorageUnavailable:
        return  # the next run looks for it by the row's name


def _make(work: _Work, claimed: Claimed, progress: Progressing) -> tuple[Manifest, str]:
    settings, began = work.settings, time.monotonic()
    url = settings.url_anew(Principal.BACKUP)
    with snapshot(url) as seen:
        progress.stage(DATABASE, seen.size)
        tables, samples = seen.counts(), seal_samples(seen.samples(), work.recipients)
        _dump(work, seen, url, progress)
    progress.stage(FILES)
    _add(work, FILES, lambda target: write_files(settings, target, progress))
    if work.recovery:
        _add_keys(work)
    progress.stage(MANIFEST.lstrip("."))
    manifest = Manifest(
        id=claimed.id, origin=origin_of(settings), started_at=claimed.started_at, finished_at=datetime.now(UTC),
        seconds=round(time.monotonic() - began, 3), application=PRODUCT_VERSION, revision=seen.revision,
        server=seen.server, head=(seen.head[0], seen.head[1].hex()), recovery=work.recovery, drill=work.drill,
        tables=tables, parts=tuple(work.parts), samples=samples, room=seen.room,
    )  # fmt: skip
    note = manifest_signer(settings).sign(manifest.text())
    with work.storage.writing(work.name + MANIFEST) as target:
        target.write(note.encode())
    return manifest, note


def _dump(work: _Work, seen: Snapshot, url: str, progress: Progressing) -> None:
    programs = programs_of(work.settings, seen.major)

    def dump(target: Sink) -> None:
        done = 0
        with dumped(programs, url, seen.id) as source:
            while data := source.read1(PIPE_BYTES):  # type: ignore[attr-defined]
                target.write(data)
                done += len(data)
                progress(done, seen.size)

    _add(work, DATABASE, dump)


class _Counted:
    """Passes on what is written and counts it."""

    def __init__(self, target: Sink) -> None:
        self._target = target
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self._target.write(data)
        self.size += len(data)
        return len(data)


def _add(work: _Work, kind: str, write: Callable[[Sink], object]) -> None:
    name = work.name + ENDINGS[kind]
    with work.storage.writing(name) as target, sealed(target, work.recipients) as plain:
        counted = _Counted(plain)
        write(counted)
    work.parts.append(Part(kind, name, target.size, target.digest.hex(), counted.size))


def _add_keys(work: _Work) -> None:
    """The keys without which a restored database can't be read, for the recovery key alone: neither the store nor the
    drills' worker opens them."""
    settings, name = work.settings, work.name + ENDINGS[KEYS]
    named = {
        "FIELD_KEY": settings.field_key.get_secret_value(),
        "FIELD_KEY_PREVIOUS": ",".join(settings.former_field_keys),
        "AUDIT_SIGNING_KEY": settings.audit_signing_key.get_secret_value(),
        "AUDIT_FORMER_KEYS": ",".join(settings.audit_former_keys),
        "BACKUP_FORMER_KEYS": ",".join(settings.backup_former_keys),
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "SECRET_KEY_PREVIOUS": ",".join(settings.former_secret_keys),
    }
    lines = "".join(f"{name}={value}\n" for name, value in named.items() if value)
    data = pyrage.encrypt(lines.encode(), [pyrage.x25519.Recipient.from_str(work.recovery)])
    with work.storage.writing(name) as target:
        target.write(cast(bytes, data))
    work.parts.append(Part(KEYS, name, target.size, target.digest.hex(), len(lines)))
