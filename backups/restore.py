"""Restore for real: into a database beside, checked, and then in the place of the one that was named, or not at all.

Nothing here needs the database that was lost: what there is stands in the store, signed.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Sequence
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
from backups.errors import BackupFailed, Shrunken
from backups.fetch import fetched
from backups.files import read_files
from backups.keys import drill_identity
from backups.load import load_database, read_part
from backups.manifest import FILES, KEYS, Manifest, manifest_signer, open_manifest
from backups.programs import programs_of
from backups.samples import compare_samples
from backups.store import MANIFEST, read_note, store_of, stored_names
from config import Principal, Settings
from config_urls import with_database
from integrations.storage import FolderStorage, Storage
from migrations.run import head, knows
from models.connection import connect
from services.age_stream import identities_of
from services.audit_checkpoint import signer_of, trusted_keys
from services.field_encryption import field_cipher
from services.signed_note import VerifierKey

LATEST = "latest"
LOOKED_BACK = 7  # backups before the newest
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


@dataclass(frozen=True)
class Found:
    """A backup and where it lies."""

    storage: Storage
    url: str
    name: str
    note: str
    manifest: Manifest


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


def find_backup(settings: Settings, wanted: str, keys: Sequence[VerifierKey]) -> Found:
    """The backup that ``wanted`` names: an id, the beginning of a name, ``latest``, or the path of a manifest. Raises
    BackupFailed when there is none, or its manifest is not signed by one of ``keys``."""
    path = Path(wanted)
    if wanted.endswith(MANIFEST) or path.is_file():
        storage: Storage = FolderStorage(path.absolute().parent)
        name, url = path.name.removesuffix(MANIFEST), f"file://{path.absolute().parent}"
        note = read_note(storage, name)
        return Found(storage, url, name, note, open_manifest(note, keys))
    storage, url = store_of(settings), settings.backup_store
    names = stored_names(storage)
    if wanted == LATEST:
        # What a retired key signed is believed of the past: whoever finds one makes no newest backup with it.
        present = [key for key in keys if key.until is None]
        found = _newest(storage, url, names, present) or _newest(storage, url, names, keys)
        if found is None:
            raise BackupFailed(f"There is no backup at {url} that a key trusted here has signed.")
        _refuse_shrunken(found, names, keys)
        return found
    matching = [name for name in names if wanted and (name.endswith(wanted) or name.startswith(wanted))]
    if len(matching) != 1:
        how_many = "no backup" if not matching else f"{len(matching)} backups"
        raise BackupFailed(f"There is {how_many} of this name at {url}: `sigilo backup list` shows what there is.")
    note = read_note(storage, matching[0])
    return Found(storage, url, matching[0], note, open_manifest(note, keys))


def _newest(storage: Storage, url: str, names: Sequence[str], keys: Sequence[VerifierKey]) -> Found | None:
    for name in reversed(names):
        note = read_note(storage, name)
        with suppress(BackupFailed):  # another installation's in the same place
            return Found(storage, url, name, note, open_manifest(note, keys))
    return None


def _refuse_shrunken(newest: Found, names: Sequence[str], keys: Sequence[VerifierKey]) -> None:
    """The newest of a clinic that was emptied, or begun anew in the same place, is not what anybody wants back."""
    rows = newest.manifest.rows
    earlier = [name for name in names if name < newest.name][-LOOKED_BACK:]
    for name in reversed(earlier):
        with suppress(BackupFailed):
            before = open_manifest(read_note(newest.storage, name), keys)
            if rows < before.rows / 2:
                raise Shrunken(
                    f"The newest backup has {rows} rows, and {before.id} of {before.finished_at:%Y-%m-%d %H:%M} UTC has"
                    f" {before.rows}: name the one you want by its id (`sigilo backup list`)."
                )


def trusted(settings: Settings, keys: Sequence[str]) -> list[VerifierKey]:
    """Those that somebody names, else the installation's own, former ones too: on a new machine, whose own backups are
    of an empty clinic, nothing but what was named is meant. Raises Invalid."""
    return trusted_keys(keys) or manifest_signer(settings).trusted


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
    identities_of(opener)
    name = str(conninfo_to_dict(into).get("dbname") or "")
    if not name:
        raise BackupFailed("--into names no database: postgresql://login:password@host/database")
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
            try:
                say("Restoring …")
                url = scratch.url_of(Principal.MIGRATOR)
                load_database(local, manifest, opener, programs, url, progress)
                say("Checking …")
                restored = Restored(manifest, name, None, laid, 0, False, check_counts(
                    scratch.url_of(Principal.BACKUP), manifest
                ))  # fmt: skip
                _check(settings, scratch, opener, restored)
                _lay_files(local, manifest, opener, restored)
                _bring_up_to_date(settings, scratch, found, restored)
                restored.kept = take_place(server, scratch.name, name)
            except BaseException:
                (laid / KEYS_FILE).unlink(missing_ok=True)  # they open what is not there
                drop(server, scratch.name)
                raise
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


def _lay_files(storage: Storage, manifest: Manifest, identity: str, restored: Restored) -> None:
    folder = restored.folder
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = manifest.part(FILES)
        if part is not None:

            def take(plain: object) -> None:
                restored.files = read_files(plain, folder)  # type: ignore[arg-type]

            read_part(storage, manifest, part, identity, take)
        _lay_keys(storage, manifest, identity, restored)
    except (OSError, tarfile.TarError) as error:
        raise BackupFailed(f"Files can't be laid into {folder}: {said_of(error)}") from error


def _lay_keys(storage: Storage, manifest: Manifest, identity: str, restored: Restored) -> None:
    """The installation's keys, where the recovery key is given: the drill key does not open them."""
    part = manifest.part(KEYS)
    if part is None:
        return
    with storage.reading(part.name) as file:
        data = file.read()
    try:
        lines = pyrage.decrypt(data, identities_of(identity))
    except pyrage.DecryptError:
        return
    path = restored.folder / KEYS_FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        target.write(lines)
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
