"""What a restored database must not do or open: it is of yesterday, and the world is not."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pyrage
import pytest

from backups import job
from backups.errors import Shrunken
from backups.find import find_backup, trusted
from backups.job import Connection
from backups.manifest import Manifest, manifest_signer
from backups.prune import prune, remove_dead
from backups.restore import restore_backup
from backups.store import name_of
from config import Principal, Settings
from models.engine import Databases
from services.audit_event import SYSTEM
from services.field_encryption import field_cipher
from services.signed_note import Signer
from services.token_create import create_token
from services.user_create import create_user
from tests.backups.conftest import back_up, silent
from tests.servers import DatabaseServer

pytestmark = pytest.mark.database
EMAIL = "dora@example.org"


def stored(here: Settings) -> set[str]:
    return {path.name for path in (here.sigilo_home / "backups").iterdir()}


def clear_up_after(here: Settings, connection: Connection, manifest: Manifest) -> None:
    """As the next run does with a row that says that its backup is being made, and by nobody."""
    connection.execute(
        "UPDATE backups SET state = 'RUNNING', finished_at = NULL, manifest = NULL, size = NULL WHERE id = %s",
        [manifest.id],
    )
    job.bury_dead(connection)
    remove_dead(here, connection)


def test_a_row_that_is_older_than_its_backup_takes_nothing_from_the_store(
    here: Settings, connection: Connection
) -> None:
    """As in a database that was restored from it, or recovered to a moment while it was being made."""
    manifest = back_up(here, connection)
    lying = stored(here)
    clear_up_after(here, connection, manifest)
    assert stored(here) == lying
    row = connection.execute(
        "SELECT state, pruned_at, size FROM backups WHERE id = %s", [manifest.id]
    ).fetchone()
    assert row == ("DONE", None, manifest.size)


def test_what_has_no_manifest_is_removed(here: Settings, connection: Connection) -> None:
    manifest = back_up(here, connection)
    next((here.sigilo_home / "backups").glob("*.manifest")).unlink()
    clear_up_after(here, connection, manifest)
    assert stored(here) == set()


def test_anothers_backup_of_that_name_is_left_alone(here: Settings, connection: Connection) -> None:
    manifest = back_up(here, connection)
    note = next((here.sigilo_home / "backups").glob("*.manifest"))
    note.write_text(Signer("other.example/backup", bytes(32)).sign(manifest.text()))
    lying = stored(here)
    clear_up_after(here, connection, manifest)
    assert stored(here) == lying


def test_nothing_that_opened_doors_then_opens_them_now(
    here: Settings, server: DatabaseServer, clinic: str, gone: str, recovery: pyrage.x25519.Identity
) -> None:
    """A token that was revoked, or a link that was withdrawn, after the backup would be alive again."""
    databases = Databases(server.urls(clinic), pool_size=2)
    with databases.session(Principal.STAFF) as session:
        create_user(
            session, SYSTEM, field_cipher(here), email=EMAIL, full_name="Dora Lins", roles=["DOCTOR"],
            password="uma senha longa e so dela 42",
        )  # fmt: skip
        create_token(session, SYSTEM, field_cipher(here), email=EMAIL)
    databases.dispose()
    with psycopg.connect(server.superuser_url(clinic), autocommit=True) as superuser:
        superuser.execute(
            "INSERT INTO break_glass_grants (id, patient_id, user_id, acting_role, reason, expires_at)"
            " SELECT gen_random_uuid(), p.id, u.id, 'DOCTOR', 'emergência de teste', now() + interval '20 minutes'"
            " FROM patients p, users u WHERE u.email = %s LIMIT 1",
            [EMAIL],
        )
        superuser.execute(
            "INSERT INTO password_links (id, user_id, kind) SELECT gen_random_uuid(), id, 'reset' FROM users"
            " WHERE email = %s",
            [EMAIL],
        )
    with job.exclusive(here) as connection:
        back_up(here, connection)
    restore_backup(
        here, find_backup(here, "latest", trusted(here, ())), server.superuser_url(gone), identity=str(recovery),
        replace=False, progress=silent, say=lambda _text: None,
    )  # fmt: skip
    with psycopg.connect(server.superuser_url(gone)) as superuser:
        for open_ in (
            "api_tokens WHERE revoked_at IS NULL", "sessions WHERE ended_at IS NULL",
            "password_links WHERE used_at IS NULL AND withdrawn_at IS NULL",
            "break_glass_grants WHERE expires_at > now()",
        ):  # fmt: skip
            table = open_.partition(" ")[0]
            assert superuser.execute(f"SELECT count(*) FROM {open_}").fetchone() == (0,), open_
            if table != "sessions":
                assert superuser.execute(f"SELECT count(*) > 0 FROM {table}").fetchone() == (True,), table


def lay(folder: Path, signer: Signer, manifest: Manifest, hours: int, rows: int) -> Manifest:
    """A manifest of so many rows, so many hours later."""
    later = timedelta(hours=hours)
    other = replace(
        manifest, id=uuid.uuid4(), started_at=manifest.started_at + later, finished_at=manifest.finished_at + later,
        tables={"medical_records": rows},
    )  # fmt: skip
    (folder / f"{name_of(other.id, other.started_at)}.manifest").write_text(signer.sign(other.text()))
    return other


def test_the_newest_of_a_clinic_that_was_emptied_is_not_taken_for_what_was_meant(
    here: Settings, connection: Connection
) -> None:
    manifest = back_up(here, connection)
    folder, signer = here.sigilo_home / "backups", manifest_signer(here)
    grown = lay(folder, signer, manifest, 1, 2 * manifest.rows)
    assert find_backup(here, "latest", trusted(here, ())).manifest.id == grown.id
    emptied = lay(folder, signer, manifest, 2, manifest.rows // 3)
    with pytest.raises(Shrunken, match=str(grown.id)):
        find_backup(here, "latest", trusted(here, ()))
    assert find_backup(here, str(emptied.id), trusted(here, ())).manifest.id == emptied.id


def test_on_a_new_machine_its_own_backups_of_nothing_are_not_meant(here: Settings, connection: Connection) -> None:
    """It has taken one of an empty clinic into the same place by the time somebody restores."""
    manifest = back_up(here, connection)
    other = Signer("clinic.example/backup", bytes(range(32)))
    theirs = lay(here.sigilo_home / "backups", other, manifest, -5, manifest.rows)
    assert find_backup(here, "latest", trusted(here, ())).manifest.id == manifest.id
    assert find_backup(here, "latest", trusted(here, [str(other.verifier)])).manifest.id == theirs.id


def test_months_found_in_the_store_outlive_the_first_new_week(here: Settings, connection: Connection) -> None:
    """After a restore nobody has drilled them here, and they are all the history there is."""
    manifest = back_up(here, connection)
    connection.execute("UPDATE backups SET state = 'VERIFIED', verified_at = now()")
    found = [uuid.uuid4() for _ in range(6)]
    for number, backup_id in enumerate(found, 1):
        connection.execute(
            "INSERT INTO backups (id, state, origin, created_at, started_at, finished_at, store, name, size, manifest,"
            " done) SELECT %(id)s, 'DONE', 'FOUND', at, at, at, store, %(name)s, size, manifest, 0"
            " FROM backups, (SELECT now() - make_interval(days => %(days)s) AS at) AS moment WHERE backups.id = %(of)s",
            {"id": backup_id, "name": f"found-{number}", "days": 30 * number, "of": manifest.id},
        )
    for day in range(1, 8):
        connection.execute(
            "INSERT INTO backups (id, state, origin, created_at, started_at, finished_at, verified_at, store, name,"
            " size, manifest, done) SELECT %(id)s, 'VERIFIED', 'SCHEDULED', at, at, at, at, store, %(name)s, size,"
            " manifest, 0 FROM backups, (SELECT now() - make_interval(days => %(day)s) AS at) AS moment"
            " WHERE backups.id = %(of)s",
            {"id": uuid.uuid4(), "name": f"night-{day}", "day": day, "of": manifest.id},
        )
    assert not set(prune(here, connection).gone) & set(found)
