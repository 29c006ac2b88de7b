"""Prove a backup: restore it into a database of its own, look at what came out, measure, and drop it.

On the database's own server, by the migrator, who owns everything a backup holds and may make databases; or on the
server that DRILL_DATABASE_URL names, which then needs the room and not this one. It takes the steps of a real restore:
every part is read from the store to its end and compared, the dump is loaded, and what came out is checked. How long
the three took is the RTO that a real restore can count on; waiting for another drill on the same server is no part of
it.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from backups import job
from backups.checks import check_constraints, check_counts, check_samples, check_trail
from backups.create import said_of
from backups.database import DRILL, RESTORE, Scratch, drop, drop_leftovers, locked_server, make_scratch
from backups.errors import BackupFailed, NotRestorable
from backups.job import Connection, Progress, Progressing
from backups.keys import destroy_retired, drill_identity
from backups.load import load_database, refuse_wrong_key
from backups.manifest import Manifest, manifest_signer, open_manifest
from backups.programs import programs_of
from backups.room import facts_of, refuse_narrow
from backups.samples import compare_samples
from backups.store import read_note, store_of
from backups.verify import verify_parts
from config import Principal, Settings
from services.audit_checkpoint import signer_of
from services.field_encryption import field_cipher

PATIENCE = 900  # seconds that another installation's drill on the same server may take
TRAIL_PROBLEMS = "trail_problems"
CHANGED = "The manifest in the store is not the one that was written."


def run_drill(
    settings: Settings, connection: Connection, backup_id: Any, watcher: Progress, *, identity: str | None = None
) -> dict[str, Any]:
    """Drill the backup with this id; gives the checks, name → count. ``identity``: another key than the drills'
    own. Raises BackupFailed when it did not pass, the row saying why."""
    row = connection.execute(
        "SELECT store, name, manifest FROM backups WHERE id = %s AND state IN ('DONE', 'VERIFIED')"
        " AND pruned_at IS NULL",
        [backup_id],
    ).fetchone()
    if row is None:
        raise BackupFailed("There is no such backup to drill: `sigilo backup list` shows what there is.")
    store, name, note = row
    keys = manifest_signer(settings).trusted
    drill_id = job.begin_drill(connection, backup_id)
    progress = Progressing(connection, "backup_drills", drill_id, watcher)
    checks: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    failure, caught = None, None
    try:
        storage = store_of(settings, store)
        if read_note(storage, name) != note:
            raise NotRestorable(CHANGED)
        manifest = open_manifest(note, keys)
        opener = identity or drill_identity(settings, manifest.drill)
        refuse_wrong_key(manifest, opener)
        _restore_and_check(settings, storage, manifest, opener, progress, checks, seconds)
    except BaseException as error:  # noqa: BLE001  (raised again below)
        failure, caught = said_of(error), error
    job.end_drill(
        connection, drill_id, backup_id, failure=failure, is_damaged=isinstance(caught, NotRestorable),
        seconds=seconds, trail_problems=checks.pop(TRAIL_PROBLEMS, 0), checks=checks,
    )  # fmt: skip
    if caught is not None:
        if isinstance(caught, Exception):
            raise BackupFailed(failure or "") from caught
        raise caught
    destroy_retired(connection, settings)
    return checks


def _restore_and_check(
    settings: Settings, storage: Any, manifest: Manifest, identity: str, progress: Progressing,
    checks: dict[str, Any], seconds: dict[str, float],
) -> None:  # fmt: skip
    """``seconds`` is given ``fetch``, ``load`` and ``check``, each when it is done."""
    own = settings.drill_database_url.get_secret_value()
    url = own or settings.url_anew(Principal.MIGRATOR)
    with locked_server(url, patience=PATIENCE) as server:
        major = server.info.server_version // 10_000
        if major < manifest.server // 10_000:
            raise BackupFailed(f"The server for drills is PostgreSQL {major}, older than the one that was dumped.")
        drop_leftovers(server, DRILL)
        drop_leftovers(server, RESTORE)  # of one that was killed: every patient's record, in the clear
        refuse_narrow(settings, manifest, facts_of(server))
        began = time.monotonic()
        progress.stage("fetch", manifest.size)
        verify_parts(storage, manifest, progress)
        seconds["fetch"] = time.monotonic() - began
        scratch = make_scratch(server, url, DRILL, None if own else settings.url_anew)
        try:
            migrator = scratch.url_of(Principal.MIGRATOR)
            progress.stage("restore", manifest.database.contains)
            seconds["load"] = load_database(
                storage, manifest, identity, programs_of(settings, major), migrator, progress
            )
            began = time.monotonic()
            _check(settings, manifest, scratch, identity, progress, checks)
            seconds["check"] = time.monotonic() - began
        finally:
            drop(server, scratch.name)
            # What a killed run's last statement still held open at the beginning has let go by now.
            drop_leftovers(server, DRILL)


def _check(
    settings: Settings, manifest: Manifest, scratch: Scratch, identity: str, progress: Progressing,
    checks: dict[str, Any],
) -> None:  # fmt: skip
    """The trail takes this process and the counts take the server, so they are looked at side by side."""
    progress.stage("checks")
    with ThreadPoolExecutor(1) as apart:
        trail = apart.submit(check_trail, scratch.url_of(Principal.AUDITOR), manifest, signer_of(settings).trusted,
                             settings.url_anew(Principal.AUDITOR))  # fmt: skip
        checks["rows"] = check_counts(scratch.url_of(Principal.BACKUP), manifest)
        checks["constraints"] = check_constraints(scratch.url_of(Principal.MIGRATOR))
        if manifest.samples:
            checks["compared"] = compare_samples(scratch.url_of(Principal.BACKUP), manifest.samples, identity)
        checks["samples"] = check_samples(scratch.url_of(Principal.WORKER), field_cipher(settings))
        checks["events"], checks[TRAIL_PROBLEMS] = trail.result()
