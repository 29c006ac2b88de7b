"""The whole way: a clinic, its backup, its database destroyed, restored, and at work again."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pyrage
import pytest

from backups import job
from backups.database import locked_server
from backups.drill import run_drill
from backups.errors import BackupFailed
from backups.find import find_backup, trusted
from backups.job import Connection
from backups.manifest import manifest_signer
from backups.restore import Restored, restore_backup
from config import Principal, Settings
from models import Role
from models.engine import Databases
from services.audit_event import SYSTEM
from services.audit_verify import verify
from services.field_encryption import field_cipher
from services.user_create import create_user
from tests.audit.trail import drain_all
from tests.backups.conftest import back_up, databases_left, silent
from tests.conftest import test_key as key_of
from tests.servers import DatabaseServer
from tests.web.conftest import Browser, Login
from web.app import make_app

pytestmark = pytest.mark.database
PASSWORD = "uma senha longa e so dela 42"


def restored(here: Settings, server: DatabaseServer, name: str, key: object, *, replace: bool = False) -> Restored:
    """The newest backup as the database ``name``, with ``key``."""
    found = find_backup(here, "latest", trusted(here, ()))
    return restore_backup(
        here, found, server.superuser_url(name), identity=str(key), replace=replace, progress=silent,
        say=lambda _text: None,
    )  # fmt: skip


def test_a_backup_is_made_and_its_drill_verifies_it(
    here: Settings, connection: Connection, server: DatabaseServer
) -> None:
    manifest = back_up(here, connection)
    assert connection.execute("SELECT state, failure FROM backups").fetchall() == [("DONE", None)]
    assert manifest.tables["medical_records"] == 30
    checks = run_drill(here, connection, manifest.id, silent)
    assert checks["rows"] == sum(manifest.tables.values()) and checks["samples"] and checks["events"]
    row = connection.execute("SELECT state, verified_at IS NOT NULL FROM backups").fetchone()
    assert row == ("VERIFIED", True)
    drill = connection.execute(
        "SELECT state, failure, fetch_seconds > 0, check_seconds > 0,"
        " restore_seconds > fetch_seconds + check_seconds FROM backup_drills"
    ).fetchone()
    assert drill == ("PASSED", None, True, True, True)
    assert databases_left(server) == []
    done = connection.execute("SELECT action, outcome FROM audit_outbox ORDER BY id").fetchall()
    assert done == [("backup.create", "success"), ("backup.drill", "success")]
    stored = list((here.sigilo_home / "backups").iterdir())
    assert len(stored) == 4 and {stat.S_IMODE(path.stat().st_mode) for path in stored} == {0o600}
    assert not any(b"medical_records_pkey" in path.read_bytes() for path in stored)


def test_a_database_is_destroyed_restored_and_at_work_again(
    here: Settings, server: DatabaseServer, clinic: str, gone: str, recovery: pyrage.x25519.Identity
) -> None:
    databases = Databases(server.urls(clinic), pool_size=2)
    with databases.session(Principal.STAFF) as session:
        create_user(
            session, SYSTEM, field_cipher(here), email="volta@example.org", full_name="Volta Sempre",
            roles=[Role.ADMIN], password=PASSWORD,
        )  # fmt: skip
    before = Browser(make_app(here, databases))
    assert before.sign_in(Login("volta@example.org", PASSWORD)).status_code == 303
    drain_all(databases)
    (here.sigilo_home / "archives").mkdir(parents=True)
    (here.sigilo_home / "archives" / "old.trail.gz.age").write_bytes(b"an old month")
    with job.exclusive(here) as connection:
        manifest = back_up(here, connection)
    databases.dispose()
    server.drop(clinic)

    done = restored(here, server, gone, recovery)
    assert done.rows == sum(manifest.tables.values()) and done.remarks == [] and done.kept is None
    assert (done.folder / "archives" / "old.trail.gz.age").read_bytes() == b"an old month"
    keys = (done.folder / "keys.env").read_text()
    assert f"FIELD_KEY={here.field_key.get_secret_value()}\n" in keys
    urls = {f"database_url_{name}": type(here.redis_url)(url) for name, url in server.urls(gone).items()}
    there = here.model_copy(update=urls)
    databases = Databases(server.urls(gone), pool_size=2)
    drain_all(databases)
    report = verify(there)
    assert report.is_intact and report.head > manifest.head[0]
    with psycopg.connect(server.superuser_url(gone)) as superuser:
        last = superuser.execute("SELECT action FROM audit_trail ORDER BY sequence DESC LIMIT 1").fetchone()
        rows = superuser.execute("SELECT id, state, origin FROM backups").fetchall()
    assert last == ("backup.restore",)
    assert rows == [(manifest.id, "DONE", "COMMAND")], "the backup knows itself"
    app = make_app(there, databases)
    old = Browser(app)
    old.client.set_cookie("sigilo", before.cookie() or "", domain="localhost")
    assert old.get("/patients").status_code == 401, "who was signed in then is not any more"
    browser = Browser(app)
    assert browser.sign_in(Login("volta@example.org", PASSWORD)).status_code == 303
    assert browser.get("/patients").status_code == 200
    databases.dispose()


def test_on_a_new_machine_with_other_keys_it_says_which_are_needed(
    here: Settings, connection: Connection, server: DatabaseServer, gone: str, recovery: pyrage.x25519.Identity
) -> None:
    back_up(here, connection)
    secret = type(here.redis_url)
    other = {name: secret(key_of(f"other {name}")) for name in ("field_key", "audit_signing_key")}
    there = here.model_copy(update=other)
    with pytest.raises(BackupFailed, match="no backup"):
        find_backup(there, "latest", trusted(there, ()))
    trust = trusted(there, [str(manifest_signer(here).verifier)])
    done = restore_backup(
        there, find_backup(there, "latest", trust), server.superuser_url(gone), identity=str(recovery), replace=False,
        progress=silent, say=lambda _text: None,
    )  # fmt: skip
    said = " ".join(done.remarks)
    assert "AUDIT_SIGNING_KEY" in said and "FIELD_KEY" in said
    kept = dict(line.split("=", 1) for line in (done.folder / "keys.env").read_text().splitlines())
    urls = {f"database_url_{name}": secret(url) for name, url in server.urls(gone).items()}
    again = there.model_copy(update=urls | {name: secret(kept[name.upper()]) for name in other})
    assert verify(again).is_intact
    with job.exclusive(again) as connected:
        manifest = back_up(again, connected)
        assert run_drill(again, connected, manifest.id, silent)["samples"]


def test_nothing_is_replaced_unasked_and_what_is_replaced_is_kept(
    here: Settings, connection: Connection, server: DatabaseServer, gone: str, recovery: pyrage.x25519.Identity
) -> None:
    back_up(here, connection)
    with psycopg.connect(server.maintenance_url, autocommit=True) as superuser:
        superuser.execute(f"CREATE DATABASE {gone}")
    with psycopg.connect(server.superuser_url(gone), autocommit=True) as inside:
        inside.execute("CREATE TABLE dear (to_somebody text)")
        with pytest.raises(BackupFailed, match="is not empty"):
            restored(here, server, gone, recovery)
        assert inside.execute("SELECT count(*) FROM dear").fetchone() == (0,)
        done = restored(here, server, gone, recovery, replace=True)  # somebody is still connected
    assert done.kept is not None and done.kept.startswith(gone)
    with psycopg.connect(server.superuser_url(done.kept)) as before:
        assert before.execute("SELECT count(*) FROM dear").fetchone() == (0,)
    with psycopg.connect(server.superuser_url(gone)) as after:
        assert after.execute("SELECT count(*) FROM medical_records").fetchone() == (30,)
    assert databases_left(server) == []


def test_what_the_drill_key_opens_holds_no_key_of_the_installation(
    here: Settings, connection: Connection, server: DatabaseServer, gone: str
) -> None:
    back_up(here, connection)
    [path] = here.drill_key_folder.iterdir()
    done = restored(here, server, gone, path.read_text())
    assert not done.has_keys and not (done.folder / "keys.env").exists()


def test_a_restore_that_fails_leaves_nothing(
    here: Settings, connection: Connection, server: DatabaseServer, gone: str, tmp_path: Path
) -> None:
    manifest = back_up(here, connection)
    with pytest.raises(BackupFailed, match="does not open this backup"):
        restored(here, server, gone, pyrage.x25519.Identity.generate())
    path = tmp_path / "home" / "backups" / manifest.database.name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(data))
    with pytest.raises(BackupFailed, match="is damaged"):
        restored(here, server, gone, next(here.drill_key_folder.iterdir()).read_text())
    with pytest.raises(BackupFailed, match="is damaged"):
        run_drill(here, connection, manifest.id, silent)
    row = connection.execute("SELECT state, failure FROM backup_drills").fetchone()
    assert row is not None and row[0] == "FAILED" and "is damaged" in row[1]
    assert connection.execute("SELECT state FROM backups").fetchone() == ("DONE",), "it does not count"
    with psycopg.connect(server.maintenance_url) as superuser:
        assert superuser.execute("SELECT 1 FROM pg_database WHERE datname = %s", [gone]).fetchone() is None
    assert databases_left(server) == []


def test_a_restore_that_fails_at_its_last_step_leaves_no_key_behind(
    here: Settings, connection: Connection, server: DatabaseServer, gone: str, recovery: pyrage.x25519.Identity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (here.sigilo_home / "archives").mkdir(parents=True)
    (here.sigilo_home / "archives" / "old.trail.gz.age").write_bytes(b"an old month")
    back_up(here, connection)
    laid: list[Path] = []

    def in_use(*_: object) -> None:
        laid.extend(path for path in (here.sigilo_home / "restored").rglob("*") if path.is_file())
        raise BackupFailed("Somebody keeps connecting.")

    monkeypatch.setattr("backups.restore.take_place", in_use)
    with pytest.raises(BackupFailed, match="keeps connecting"):
        restored(here, server, gone, recovery)
    assert [path.name for path in laid] == ["old.trail.gz.age"], "whoever is killed here leaves no key in the clear"
    assert not list(here.sigilo_home.rglob("keys.env")) and not laid[0].exists()
    assert databases_left(server) == []


def test_keys_that_can_not_be_laid_do_not_undo_a_restore(
    here: Settings, connection: Connection, server: DatabaseServer, gone: str, recovery: pyrage.x25519.Identity
) -> None:
    manifest = back_up(here, connection)
    name = manifest.database.name.partition(".")[0]
    (here.sigilo_home / "restored" / name / "keys.env").mkdir(parents=True)
    done = restored(here, server, gone, recovery)
    assert not done.has_keys and done.rows == manifest.rows
    assert "can't be laid into" in done.remarks[0] and f"{name}.keys.age with `age --decrypt" in done.remarks[0]


def test_what_a_drill_waits_for_another_is_not_what_a_restore_takes(
    here: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = back_up(here, connection)
    waited = 0.0

    @contextmanager
    def after_another(*given: Any, **options: Any) -> Iterator[Any]:
        nonlocal waited
        waited = 10_000.0
        with locked_server(*given, **options) as server:
            yield server

    monkeypatch.setattr("backups.drill.locked_server", after_another)
    monkeypatch.setattr("backups.drill.time", SimpleNamespace(monotonic=lambda: time.monotonic() + waited))
    run_drill(here, connection, manifest.id, silent)
    assert connection.execute("SELECT restore_seconds < 1000 FROM backup_drills").fetchone() == (True,)
