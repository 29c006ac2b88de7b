"""Every check of a drill and of a restore finds what it is there for: a manifest or a database is doctored, signed as
ours, and everything else is as it should be."""

from __future__ import annotations

import base64
import dataclasses
import shutil
from collections.abc import Callable
from contextlib import suppress

import orjson
import psycopg
import pyrage
import pytest
from pydantic import SecretStr

from backups.drill import run_drill
from backups.errors import BackupFailed, NotRestorable
from backups.find import find_backup, trusted
from backups.job import Connection
from backups.manifest import Manifest, manifest_signer
from backups.restore import restore_backup
from backups.samples import by_chance, compare_samples, seal_samples, take_samples
from backups.store import MANIFEST
from config import Principal, Settings
from tests.backups.conftest import back_up, databases_left, silent
from tests.conftest import test_key as key_of
from tests.servers import DatabaseServer

pytestmark = pytest.mark.database


@dataclasses.dataclass(frozen=True)
class Doctored:
    """``source``: statements run in the database before it is dumped, past its triggers; ``manifest``: what is made of
    the manifest. ``drill`` and ``restore``: what each says of it, None where it does not mind; ``is_refused``: the
    restore leaves it at no remark."""

    drill: str | None
    restore: str
    source: str = "SELECT"
    manifest: Callable[[Manifest], Manifest] = lambda manifest: manifest
    is_refused: bool = True


def with_other_counts(manifest: Manifest) -> Manifest:
    """A row more in one table, and a table more that has none."""
    other = {"patients": manifest.tables["patients"] + 1, "lost": 0}
    return dataclasses.replace(manifest, tables=manifest.tables | other)


def with_another_head(manifest: Manifest) -> Manifest:
    return dataclasses.replace(manifest, head=(manifest.head[0], "ab" * 32))


def of_a_newer_server(manifest: Manifest) -> Manifest:
    return dataclasses.replace(manifest, server=990_000)


def of_a_newer_schema(manifest: Manifest) -> Manifest:
    return dataclasses.replace(manifest, revision="9999")


def without_samples(manifest: Manifest) -> Manifest:
    """As the first ones were."""
    return dataclasses.replace(manifest, samples="")


COUNTS, HOLD = "other row counts than the manifest says", "constraints or indexes that do not hold"
ENDS, SAYS = "does not end where the manifest says", "is not what its newest version says"
NEWEST = "(SELECT id, version FROM medical_records ORDER BY id LIMIT 1)"
CASES = {
    "other counts": Doctored(f"{COUNTS}: lost, patients.", COUNTS, manifest=with_other_counts),
    "an unchecked constraint": Doctored(
        HOLD, HOLD, "ALTER TABLE patients ADD CONSTRAINT unchecked CHECK (full_name <> '') NOT VALID"
    ),
    # Of a whole table pg_dump would leave it out.
    "an invalid index": Doctored(HOLD, HOLD, "CREATE INDEX half_made ON ONLY audit_trail (action)"),
    "another head": Doctored(ENDS, ENDS, manifest=with_another_head, is_refused=False),
    "a lost version": Doctored(
        SAYS, SAYS, f"DELETE FROM record_versions WHERE (record_id, version) IN {NEWEST}", is_refused=False
    ),
    "a changed title": Doctored(SAYS, SAYS, "UPDATE medical_records SET title = title || '.'", is_refused=False),
    "a changed diagnosis": Doctored(SAYS, SAYS, "UPDATE medical_records SET diagnosis = 'none'", is_refused=False),
    "an older manifest": Doctored(None, "", manifest=without_samples, is_refused=False),
    "a newer server": Doctored("older than the one that was dumped", "at least as new", manifest=of_a_newer_server),
    "a newer schema": Doctored(None, "of a newer Sigilo", manifest=of_a_newer_schema),
}  # fmt: skip


def sign_again(settings: Settings, manifest: Manifest) -> str:
    """The manifest of the newest backup is this one from now on, in the store; gives the note."""
    note = manifest_signer(settings).sign(manifest.text())
    [path] = (settings.sigilo_home / "backups").glob(f"*{MANIFEST}")
    path.chmod(0o600)
    path.write_text(note)
    return note


def said_by_a_restore(settings: Settings, url: str, key: object, *, is_refused: bool) -> str:
    """What it says of the newest backup: why it was refused, or its remarks."""
    found = find_backup(settings, "latest", trusted(settings, ()))
    try:
        done = restore_backup(
            settings, found, url, identity=str(key), replace=False, progress=silent, say=lambda _text: None
        )
    except BackupFailed as error:
        return error.detail
    assert not is_refused, "it was restored"
    return " ".join(done.remarks)


@pytest.mark.parametrize("doctored", CASES.values(), ids=CASES)
def test_what_is_not_as_it_was_is_found(
    here: Settings, connection: Connection, server: DatabaseServer, clinic: str, gone: str,
    recovery: pyrage.x25519.Identity, doctored: Doctored,
) -> None:  # fmt: skip
    with psycopg.connect(server.superuser_url(clinic), autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(doctored.source)
    manifest = back_up(here, connection)
    note = sign_again(here, doctored.manifest(manifest))
    connection.execute("UPDATE backups SET manifest = %s", [note])
    with suppress(BackupFailed):
        run_drill(here, connection, manifest.id, silent)
    [(failure, state)] = connection.execute(
        "SELECT d.failure, b.state FROM backup_drills d JOIN backups b ON b.id = d.backup_id"
    ).fetchall()
    if doctored.drill is None:
        assert (failure, state) == (None, "VERIFIED")
    else:
        assert failure is not None and doctored.drill in failure
        assert state == "DONE", "it does not count"
    said = said_by_a_restore(here, server.superuser_url(gone), recovery, is_refused=doctored.is_refused)
    assert doctored.restore in said
    assert databases_left(server) == []


REWRITTEN = """
    UPDATE medical_records SET notes = 'as nobody wrote them';
    UPDATE record_versions SET content = jsonb_set(content, '{notes}', '"as nobody wrote them"')
"""


def test_what_the_database_was_is_known_from_itself_and_not_from_the_dump(
    here: Settings, connection: Connection, server: DatabaseServer, clinic: str, gone: str,
    recovery: pyrage.x25519.Identity,
) -> None:  # fmt: skip
    """A dump that agrees with itself in everything, of rows that are others."""
    before = back_up(here, connection)
    shutil.rmtree(here.sigilo_home / "backups")
    with psycopg.connect(server.superuser_url(clinic), autocommit=True) as superuser:
        superuser.execute("DELETE FROM backups")
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(REWRITTEN)
    manifest = back_up(here, connection)
    note = sign_again(here, dataclasses.replace(manifest, samples=before.samples))
    connection.execute("UPDATE backups SET manifest = %s", [note])
    with pytest.raises(BackupFailed, match="not what they were when it was dumped"):
        run_drill(here, connection, manifest.id, silent)
    assert connection.execute("SELECT is_damaged FROM backup_drills").fetchone() == (True,)
    elsewhere = here.model_copy(update={"field_key": SecretStr(key_of("another"))})
    said = said_by_a_restore(elsewhere, server.superuser_url(gone), recovery, is_refused=False)
    assert "not what they were when it was dumped" in said
    assert "does not open with FIELD_KEY" in said, "one remark hides no other"


CHANGES = {
    "a name": "UPDATE patients SET full_name = full_name || ' Filho'",
    "a patient's version": "UPDATE patient_versions SET reason = 'because'",
    "a record's date": "UPDATE medical_records SET occurred_at = occurred_at - interval '1 second'",
    "a lost patient": "DELETE FROM patients",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_of_a_patient_or_record_is_another_is_found(
    here: Settings, server: DatabaseServer, clinic: str, change: str
) -> None:
    key = pyrage.x25519.Identity.generate()
    url = here.url_for(Principal.BACKUP)
    with psycopg.connect(url) as source:
        sealed = seal_samples(take_samples(source), [str(key.to_public())])
    assert compare_samples(url, sealed, str(key)) == 6 + 25
    with pytest.raises(BackupFailed, match="do not open with this key"):
        compare_samples(url, sealed, str(pyrage.x25519.Identity.generate()))
    with psycopg.connect(server.superuser_url(clinic), autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(change)
    with pytest.raises(NotRestorable):
        compare_samples(url, sealed, str(key))


def test_the_manifest_lies_in_the_clear_and_names_no_patient(
    here: Settings, connection: Connection, server: DatabaseServer, clinic: str, recovery: pyrage.x25519.Identity
) -> None:
    manifest = back_up(here, connection)
    with psycopg.connect(server.superuser_url(clinic)) as superuser:
        ids = [str(row[0]) for row in superuser.execute("SELECT id FROM patients UNION SELECT id FROM medical_records")]
    sealed = base64.b64decode(manifest.samples)
    samples = orjson.loads(pyrage.decrypt(sealed, [recovery]))
    assert {*samples["patients"], *samples["medical_records"]} <= set(ids)
    for text in (manifest.text(), sealed.decode(errors="replace")):
        assert not any(each in text for each in ids)


def test_a_manifest_that_was_exchanged_in_the_store_is_found_though_it_is_signed(
    here: Settings, connection: Connection
) -> None:
    manifest = back_up(here, connection)
    run_drill(here, connection, manifest.id, silent)
    sign_again(here, dataclasses.replace(manifest, seconds=manifest.seconds + 1))
    with pytest.raises(BackupFailed, match="not the one that was written"):
        run_drill(here, connection, manifest.id, silent)
    drills = connection.execute("SELECT state, is_damaged FROM backup_drills ORDER BY started_at").fetchall()
    assert drills == [("PASSED", False), ("FAILED", True)], "it is not made again"
    assert connection.execute("SELECT state FROM backups").fetchone() == ("DONE",), "it counts no longer"


def test_a_table_of_which_most_was_deleted_has_its_rows_looked_at(server: DatabaseServer, clinic: str) -> None:
    with psycopg.connect(server.superuser_url(clinic), autocommit=True) as superuser:
        superuser.execute("CREATE TABLE bloated (id uuid, filler text) WITH (autovacuum_enabled = off)")
        superuser.execute(
            "INSERT INTO bloated SELECT gen_random_uuid(), repeat('x', 500) FROM generate_series(1, 20000)"
        )
        assert len(by_chance(superuser, "bloated", 5)) == 5
        superuser.execute("DELETE FROM bloated WHERE ctid <> (SELECT max(ctid) FROM bloated)")
        assert [len(by_chance(superuser, "bloated", 5)) for _ in range(5)] == [1] * 5
        superuser.execute("TRUNCATE bloated")
        assert by_chance(superuser, "bloated", 5) == []
