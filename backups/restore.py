"""Restore for real: into a database beside, checked, and then in the place of the one that was named, or not at all.

Nothing here needs the database that was lost: what there is stands in the store, signed.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pyrage
from psycopg.conninfo import conninfo_to_dict

from backups import job
from backups.adopt import adopt_stored
from backups.checks import check_constraints, check_counts, check_samples, check_trail
from backups.create import said_of
from backups.database import (
    RESTORE,
    Connection,
    Scratch,
    drop,
    drop_leftovers,
    holds_something,
    is_there,
    locked_server,
    make_scratch,
    take_place,
)
from backups.errors import BackupFailed
from backups.fetch import fetched
from backups.files import read_files
from backups.find import Found
from backups.keys import drill_identity
from backups.load import load_database, read_part, refuse_wrong_key
from backups.manifest import FILES, KEYS, Manifest
from backups.programs import programs_of
from backups.samples import compare_samples
from config import Principal, Settings
from config_urls import with_database
from integrations.storage import Storage, StorageUnavailable, kind_of
from migrations.run import head, knows
from models.connection import connect
from services.age_stream import identities_of
from services.audit_checkpoint import signer_of
from services.field_encryption import field_cipher

KEYS_FILE = "keys.env"
# What was shut since then would be open again: everything that opens is shut, and made anew by whoever needs it.
SHUT = (
    "UPDATE sessions SET ended_at = now() WHERE ended_at IS NULL",
    "UPDATE api_tokens SET revoked_at = now() WHERE revoked_at IS NULL",
    "UPDATE password_links SET withdrawn_at = now() WHERE used_at IS NULL AND withdrawn_at IS NULL",
    "UPDATE break_glass_grants SET expires_at = greatest(now(), granted_at + interval '1 microsecond')"
    " WHERE expires_at > now()",
)
Progress = Callable[[int, int | None], None]
Say = Callable[[str], object]


@dataclass
class Restored:
    """``database``: its name; ``kept``: the name that the one before has now; ``folder``: where files from outside the
    database were laid; ``remarks``: what the operator should know."""

    manifest: Manifest
    database: str
    kept: str | None
    folder: Path
    files: int
    has_keys: bool
    rows: int
    remarks: list[str] = field(default_factory=list)


def restore_backup(
    settings: Settings,
    found: Found,
    into: str,
    *,
    identity: str | None,
    replace: bool,
    folder: Path | None = None,
    progress: Progress,
    say: Say,
) -> Restored:
    """Restore ``found`` as the database that the URL ``into`` names, whose login may make databases. ``identity``: a
    file's text with the recovery key; the drill key of this machine without. Raises BackupFailed: then nothing has
    changed."""
    manifest = found.manifest
    refuse_newer_schema(manifest)
    opener = identity if identity is not None else drill_identity(settings, manifest.drill)
    refuse_wrong_key(manifest, opener)
    name = str(conninfo_to_dict(into).get("dbname") or "")
    if not name:
        raise BackupFailed("--into names no database: postgresql://login@host/database")
    laid = folder or settings.sigilo_home / "restored" / found.name
    with locked_server(into) as server:
        major = server.info.server_version // 10_000
        if major < manifest.server // 10_000:
            raise BackupFailed(
                f"The backup is of PostgreSQL {manifest.server // 10_000} and the server is {major}: restore into one"
                " that is at least as new."
            )
        programs = programs_of(settings, major)
        _refuse_full(server, into, name, replace)
        say(f"Fetching {manifest.size >> 20} MiB and comparing them with the manifest …")
        with fetched(found.storage, manifest, settings.sigilo_home / "restore" / found.name, progress) as local:
            drop_leftovers(server, RESTORE)
            scratch = make_scratch(server, into, RESTORE)
            outside: list[Path] = []
            try:
                say("Restoring …")
                url = scratch.url_of(Principal.MIGRATOR)
                load_database(local, manifest, opener, programs, url, progress)
                say("Checking …")
                restored = Restored(manifest, name, None, laid, 0, False, check_counts(
                    scratch.url_of(Principal.BACKUP), manifest
                ))  # fmt: skip
                _check(settings, scratch, opener, restored)
                keys = _opened_keys(local, manifest, opener)
                _lay_files(local, manifest, opener, restored, outside)
                _bring_up_to_date(settings, scratch, found, restored)
                restored.kept = take_place(server, scratch.name, name)
            except BaseException:
                for path in outside:
                    path.unlink(missing_ok=True)
                drop(server, scratch.name)
                raise
            if keys is not None:  # not before what they open is there: whoever kills this leaves none in the clear
                _lay_keys(keys, restored)
    return restored


def refuse_newer_schema(manifest: Manifest) -> None:
    if not knows(manifest.revision):
        raise BackupFailed(
            f"The backup has the schema {manifest.revision} of a newer Sigilo ({manifest.application}), and this one"
            f" knows {head()}: install that version."
        )


def _refuse_full(server: Connection, into: str, name: str, replace: bool) -> None:
    if is_there(server, name) and not replace and holds_something(with_database(into, name)):
        raise BackupFailed(
            f"The database {name} is not empty: name another, or say --replace, which keeps it under another name."
        )


def _check(settings: Settings, scratch: Scratch, identity: str, restored: Restored) -> None:
    """As a drill does. What is not as it was is a remark, for it is all that there is; so is what depends on keys that
    this machine may not have yet."""
    manifest = restored.manifest
    check_constraints(scratch.url_of(Principal.MIGRATOR))
    try:
        check_trail(scratch.url_of(Principal.AUDITOR), manifest, signer_of(settings).trusted)
    except BackupFailed as error:
        restored.remarks.append(f"{error.detail} Is AUDIT_SIGNING_KEY the one of the time of the backup?")
    try:
        if manifest.samples:
            compare_samples(scratch.url_of(Principal.BACKUP), manifest.samples, identity)
    except BackupFailed as error:
        restored.remarks.append(error.detail)
    try:
        check_samples(scratch.url_of(Principal.WORKER), field_cipher(settings))
    except BackupFailed as error:
        restored.remarks.append(error.detail)


def _lay_files(
    storage: Storage, manifest: Manifest, identity: str, restored: Restored, laid: list[Path]
) -> None:
    """``laid`` is given each path before it is written."""
    part = manifest.part(FILES)
    if part is None:
        return
    try:
        restored.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        read_part(storage, manifest, part, identity, lambda plain: read_files(plain, restored.folder, laid))
    except (OSError, tarfile.TarError) as error:
        raise BackupFailed(f"Files can't be laid into {restored.folder}: {said_of(error)}") from error
    restored.files = len(laid)


def _opened_keys(storage: Storage, manifest: Manifest, identity: str) -> bytes | None:
    """The installation's keys, where the recovery key is given: the drill key does not open them. Raises
    BackupFailed."""
    part = manifest.part(KEYS)
    if part is None:
        return None
    try:
        with storage.reading(part.name) as file:
            return bytes(pyrage.decrypt(file.read(), identities_of(identity)))
    except pyrage.DecryptError:
        return None
    except StorageUnavailable as error:
        raise BackupFailed(f"The part {part.name} can't be read: {error}.") from error


def _lay_keys(lines: bytes, restored: Restored) -> None:
    """The database is in its place by now, so what goes wrong here is a remark."""
    path = restored.folder / KEYS_FILE
    try:
        restored.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.write(lines)
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        part = restored.manifest.part(KEYS)
        restored.remarks.append(
            f"FIELD_KEY and the other keys of then can't be laid into {restored.folder} ({kind_of(error)}): open"
            f" {part.name if part else ''} with `age --decrypt --identity recovery.key`."
        )
        return
    restored.has_keys = True


def _bring_up_to_date(settings: Settings, scratch: Scratch, found: Found, restored: Restored) -> None:
    """What the restored database can't know: that it was restored, which backups there are, and that whoever was signed
    in then is not any more."""
    with connect(scratch.url_of(Principal.STAFF), autocommit=True) as connection:
        for statement in SHUT:
            connection.execute(statement)
    if found.manifest.revision != head():
        restored.remarks.append("The schema is older than this program's: run `sigilo db upgrade` first of all.")
    with connect(scratch.url_of(Principal.WORKER), autocommit=True) as connection:
        job.note_event(connection, "backup.restore", found.manifest.id)
        # A schema from before there were backups has no place for them: the upgraded one finds them in the store.
        with suppress(BackupFailed, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
            job.adopt(connection, found.manifest, found.note, found.url, found.name)
            adopt_stored(settings, connection)
