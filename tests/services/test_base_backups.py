"""What the database is told of its archive, and what is made of it: the age of base backups, and WAL that is gone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from psycopg import sql
from sqlalchemy import text

from config import Principal
from config_urls import with_role
from migrations.roles import ARCHIVE
from models.engine import Databases
from services import state_measure
from services.base_backups import BASES, DIFFERENTIAL_LATE, FULL_LATE, ROW, UNSEEN, base_backups, read_bases
from services.measure import measure
from tests.audit.trail import as_superuser
from tests.cluster import programs_here
from tests.servers import DatabaseServer

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "postgres"
# In place of pgBackRest: what it knows, in its own order of names, and what it was told to do.
ARCHIVER = """#!/bin/sh
case "$*" in *info) cat "$FOLDER/info" ;; *) echo "$*" >> "$FOLDER/told" ;; esac
"""
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HASH = "ab" * 20
FULL, DIFF = "000000010000000000000002", "0000000100000000000000FE"
# From the differential one's first on, over the end of the first 4 GiB.
ALL = [DIFF, "0000000100000000000000FF", "000000010000000100000000", "000000010000000100000001"]
LATER = "000000020000000100000001"  # the same number on a later timeline


def backup(kind: str, first: str, last: str, at: datetime, **values: object) -> dict[str, Any]:
    stop = int(at.timestamp())
    given = {"type": kind, "archive": {"start": first, "stop": last}, "timestamp": {"start": stop - 60, "stop": stop}}
    return given | {"error": False} | values


BACKUPS = [
    backup("full", FULL, FULL, NOW - timedelta(days=3)),
    backup("diff", DIFF, DIFF, NOW - timedelta(hours=3)),
]  # fmt: skip


@pytest.fixture
def archive_url(server: DatabaseServer, database: str) -> str:
    return with_role(server.superuser_url(database), ARCHIVE)


@pytest.fixture
def note(databases: Databases, archive_url: str) -> Iterator[Any]:
    """Tells the database as its machine does; gives what it knows then."""

    def noted(files: list[str], archived: str, backups: list[dict[str, Any]] = BACKUPS) -> Any:
        listed = {f"15-1/{name[:16]}/{name}-{HASH}.zst": {"size": 1, "type": "file"} for name in files}
        listed |= {"archive.info": {"size": 1, "type": "file"}, "15-1": {"type": "path"}}
        info = [{"name": "sigilo", "backup": backups}]
        with psycopg.connect(archive_url, autocommit=True) as connection:
            connection.execute("SELECT note_archive(%s, %s, %s)", [json.dumps(info), json.dumps(listed), archived])
        with databases.session(Principal.MIGRATOR) as session:
            return session.execute(text("SELECT full_at, differential_at, missing FROM archive_standing")).one()

    yield noted
    with databases.session(Principal.MIGRATOR) as session:
        session.execute(text("DELETE FROM archive_standing"))


@pytest.mark.parametrize(
    ("files", "archived", "missing"),
    [
        (ALL, ALL[-1], 0),
        ([FULL, *ALL], ALL[-1], 0),  # what an older backup's lacks is another matter
        ([*ALL[:1], *ALL[2:]], ALL[-1], 1),
        (ALL[:2], ALL[-1], 2),  # called archived, and dropped
        (ALL, ALL[1], 0),  # on its way meanwhile
        ([*ALL[:-1], LATER], LATER, 0),  # after a recovery
        ([], "00000002.history", 1),
        (ALL, "", 0),
        (ALL, f"{DIFF}.00000028.backup", 0),
    ],
)
def test_what_lies_between_the_newest_base_backup_and_now_has_to_be_there(
    note: Any, files: list[str], archived: str, missing: int
) -> None:
    full_at, differential_at, found = note(files, archived)
    assert (full_at, differential_at) == (NOW - timedelta(days=3), NOW - timedelta(hours=3))
    assert found == missing


def test_a_base_backup_with_damaged_pages_and_an_empty_archive_are_none(note: Any) -> None:
    damaged = [BACKUPS[0], backup("diff", DIFF, DIFF, NOW, error=True)]
    assert note([FULL], FULL, damaged) == (NOW - timedelta(days=3), NOW - timedelta(days=3), 0)
    assert note([], "", []) == (None, None, 0)


LITTLE = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("ages", "missing", "alerts"),
    [
        ({}, 0, []),
        ({"full_at": FULL_LATE, "differential_at": DIFFERENTIAL_LATE, "noted_at": UNSEEN}, 0, []),
        ({"full_at": FULL_LATE + LITTLE}, 0, ["full-late"]),
        ({"differential_at": DIFFERENTIAL_LATE + LITTLE}, 0, ["differential-late"]),
        ({"full_at": None, "differential_at": None}, 0, ["full-late", "differential-late"]),
        ({}, 1, ["gap"]),
        ({"noted_at": UNSEEN + LITTLE}, 0, ["unseen"]),
    ],
)
def test_what_is_late_or_missing_is_said(
    databases: Databases, ages: dict[str, timedelta | None], missing: int, alerts: list[str]
) -> None:
    with databases.session(Principal.MIGRATOR) as session:
        values = {"noted_at": timedelta(0), "full_at": timedelta(0), "differential_at": timedelta(0)} | ages
        session.execute(
            text(
                "INSERT INTO archive_standing (id, noted_at, full_at, differential_at, missing)"
                " VALUES (1, now() - :noted_at, now() - CAST(:full_at AS interval),"
                " now() - CAST(:differential_at AS interval), :missing)"
            ),
            values | {"missing": missing},
        )
        known = read_bases(session.execute(text(ROW)).one())
        session.rollback()
    assert known is not None and known.alerts == alerts


def test_where_nothing_is_archived_nothing_is_late(
    note: Any, databases: Databases, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(ALL[:1], ALL[1])
    with databases.session(Principal.STAFF) as session:
        assert base_backups(session) is None, "of a production's database on a machine of no archive"
    page = client.get("/metrics").get_data(as_text=True)
    assert "sigilo_wal_archive_gap NaN" in page and "sigilo_base_backup_age_seconds{" not in page
    parts = [replace(part, statement=ROW) if part.statement == BASES else part for part in state_measure.PARTS]
    monkeypatch.setattr(state_measure, "PARTS", parts)  # as a server that archives
    page = client.get("/metrics").get_data(as_text=True)
    assert "sigilo_wal_archive_gap 1.0" in page
    [row] = measure(databases, ROW)
    known = read_bases(row or ())
    assert known is not None and known.alerts[0] == "gap"


def test_nobody_but_the_databases_machine_says_it(databases: Databases) -> None:
    for principal in (Principal.STAFF, Principal.WORKER, Principal.ANONYMOUS, Principal.BACKUP):
        with databases.autocommit(principal) as connection:
            row = connection.execute(
                "SELECT has_function_privilege('note_archive(jsonb, jsonb, text)', 'EXECUTE'),"
                " has_table_privilege('archive_standing', 'INSERT'), has_table_privilege('archive_standing', 'UPDATE')"
            ).fetchone()
        assert row == (False, False, False)


def test_whoever_says_it_may_do_nothing_else(archive_url: str) -> None:
    with psycopg.connect(archive_url, autocommit=True) as connection:
        for statement, found in (
            ("SELECT rolname FROM pg_roles WHERE rolname = current_user AND NOT (rolsuper OR rolinherit"
             " OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)", [(ARCHIVE,)]),
            ("SELECT FROM pg_auth_members WHERE member = current_user::regrole", []),
            ("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')"
             " AND (has_table_privilege(oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')"
             " OR has_any_column_privilege(oid, 'SELECT, INSERT, UPDATE'))", []),
            ("SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
             " AND has_function_privilege(oid, 'EXECUTE')", [("note_archive",)]),
            ("SELECT has_schema_privilege('public', 'CREATE'), has_database_privilege(current_database(), 'CREATE'),"
             " has_database_privilege(current_database(), 'TEMP')", [(False, False, False)]),
        ):  # fmt: skip
            assert connection.execute(statement).fetchall() == found, statement


# What whoever is the migrator may make, so that the database's superuser or its account would run a program.
ATTACKS = {
    "what it calls": [
        "CREATE OR REPLACE FUNCTION note_archive(info jsonb, files jsonb, archived text) RETURNS void LANGUAGE plpgsql"
        " AS $$ BEGIN COPY (SELECT 1) TO PROGRAM 'touch {made}'; END $$"
    ],
    "what it asks": [
        "ALTER DATABASE {database} SET search_path = public, pg_catalog",
        "CREATE VIEW pg_stat_archiver AS SELECT $a$'); \\! touch {made} #$a$::text AS last_archived_wal",
        "GRANT SELECT ON pg_stat_archiver TO PUBLIC",
    ],
}


class Machine:
    """The database's own, where what looks after the archive runs; its pgBackRest says what stands in two files."""

    def __init__(self, superuser_url: str, folder: Path) -> None:
        reached = psycopg.conninfo.conninfo_to_dict(superuser_url)
        pgbackrest = folder / "pgbackrest"
        pgbackrest.write_text('#!/bin/sh\ncase "$*" in *info) cat "$0.info" ;; *) cat "$0.files" ;; esac\n')
        pgbackrest.chmod(0o755)
        self._files = pgbackrest
        self._environment = {
            "PATH": f"{folder}:{programs_here().folder}:{os.environ['PATH']}", "PGHOST": str(reached["host"]),
            "PGPORT": str(reached["port"]), "PGUSER": str(reached["user"]), "PGPASSWORD": str(reached["password"]),
            "SIGILO_DATABASE": str(reached["dbname"]),
        }  # fmt: skip

    def note_archive(self, backups: list[dict[str, Any]], files: list[str]) -> int:
        """Its exit code."""
        self._files.with_suffix(".info").write_text(json.dumps([{"name": "it's", "backup": backups}]))
        listed = {f"15-1/{name[:16]}/{name}-{HASH}.zst": {"size": 1} for name in files}
        self._files.with_suffix(".files").write_text(json.dumps(listed))
        return subprocess.run(["/bin/sh", DEPLOY / "note-archive"], env=self._environment, check=False).returncode


@pytest.fixture
def machine(server: DatabaseServer, fresh_database: str, tmp_path: Path) -> Iterator[Machine]:
    """In production its account needs no password, here everybody does."""
    url = server.superuser_url(fresh_database)
    password = str(psycopg.conninfo.conninfo_to_dict(url)["password"])
    with as_superuser(server.maintenance_url) as connection:
        role = sql.Identifier(ARCHIVE)
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, password))
        yield Machine(url, tmp_path)
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD NULL").format(role))


def test_the_machine_says_what_its_pgbackrest_says(machine: Machine, fresh_databases: Databases) -> None:
    assert machine.note_archive(BACKUPS, ALL[:1]) == 0
    with fresh_databases.session(Principal.STAFF) as session:
        said = session.execute(text("SELECT full_at, differential_at, missing FROM archive_standing")).one()
    assert said == (NOW - timedelta(days=3), NOW - timedelta(hours=3), 0)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_migrator_runs_no_program_on_the_databases_machine(
    machine: Machine, fresh_databases: Databases, fresh_database: str, attack: str
) -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # the server's account reaches it
        made = Path(folder, "made")
        with fresh_databases.autocommit(Principal.MIGRATOR) as connection:
            for statement in ATTACKS[attack]:
                connection.execute(statement.format(made=made, database=fresh_database))
        machine.note_archive(BACKUPS, ALL)
        assert not made.exists()


def made(tmp_path: Path, *known: dict[str, Any]) -> list[str]:
    """What pgBackRest is told for the night, where it knows these."""
    info = [{"backup": list(known), "status": {"code": 0, "message": "ok"}}]
    (tmp_path / "info").write_text(json.dumps(info, separators=(",", ":"), sort_keys=True))
    program = tmp_path / "pgbackrest"
    program.write_text(ARCHIVER)
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "FOLDER": str(tmp_path)}
    subprocess.run(["/bin/sh", DEPLOY / "base-backup", "--when-due"], env=environment, check=True)
    told = tmp_path / "told"
    return told.read_text().splitlines() if told.exists() else []


def ago(kind: str, began: timedelta, hours: float = 0, **values: object) -> dict[str, Any]:
    start = int((datetime.now(UTC) - began).timestamp())
    return backup(kind, FULL, FULL, NOW) | {"timestamp": {"start": start, "stop": start + int(hours * 3600)}} | values


@pytest.mark.parametrize(
    ("began", "hours", "kind"),
    [
        (timedelta(days=7), 5, "full"),  # of a large clinic: the week is from beginning to beginning
        (timedelta(days=7, minutes=-30), 0, "full"),
        (timedelta(days=6, hours=20), 1, "diff"),
    ],
)
def test_a_full_base_backup_is_made_each_week_however_long_it_takes(
    tmp_path: Path, began: timedelta, hours: int, kind: str
) -> None:
    told = made(tmp_path, ago("full", began, hours), ago("diff", timedelta(days=1)))
    assert told == [f"--stanza=sigilo --type={kind} backup"]


BAD: dict[str, Any] = {"error": True, "label": "20261126-060000F"}
GIVEN_UP = f"--stanza=sigilo --set={BAD['label']} expire"
FULLY = "--stanza=sigilo --type=full backup"


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ([ago("full", timedelta(days=8), label="x"), ago("full", timedelta(days=1), **BAD)], [GIVEN_UP, FULLY]),
        ([ago("full", timedelta(days=3), label="x"), ago("full", timedelta(days=1), **BAD)], [GIVEN_UP, FULLY]),
        ([ago("full", timedelta(days=1), **BAD)], [FULLY]),  # there is nothing better
        ([ago("full", timedelta(days=8), label="x"), ago("full", timedelta(minutes=1), **BAD)], []),  # of this night
        ([ago("full", timedelta(days=8), **BAD), ago("full", timedelta(days=1), label="x")],
         ["--stanza=sigilo --type=diff backup"]),
    ],
)  # fmt: skip
def test_a_full_base_backup_with_damaged_pages_is_made_again_the_next_night(
    tmp_path: Path, known: list[dict[str, Any]], told: list[str]
) -> None:
    assert made(tmp_path, *known) == told
