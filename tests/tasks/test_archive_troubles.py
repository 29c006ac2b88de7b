"""Where PostgreSQL archives its changes, administrators are told by mail when the archive needs looking at, and
operators by ``sigilo doctor`` when nobody looks at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from config import Settings
from embedded.doctor import archive, drills
from embedded.errors import TroubleError
from embedded.process import wait_until
from models.engine import Databases
from services.backup_mail_words import WORDS
from tests.audit.trail import as_superuser
from tests.cluster import PASSWORD, Server, programs_here, server_folders
from tests.factories.backup import stored
from tests.factories.cast import Person
from tests.integrations.test_mail import Inbox
from tests.servers import DatabaseServer
from tests.tasks.test_backup_mails import (
    NOW,
    add,
    admin,
    environment,
    inbox,
    nobody_is_told_yet,
    said,
    told,
)
from tests.tasks.test_base import app

__all__ = ["admin", "app", "environment", "inbox", "nobody_is_told_yet"]

ARCHIVES = "archive_mode = on\narchive_command = 'true pgbackrest'\n"
TELL = """
    INSERT INTO archive_standing (id, noted_at, full_at, differential_at, missing)
    VALUES (1, now() - %(noted)s, now() - %(full)s, now() - %(differential)s, %(missing)s)
    ON CONFLICT (id) DO UPDATE SET noted_at = excluded.noted_at, full_at = excluded.full_at,
        differential_at = excluded.differential_at, missing = excluded.missing
"""


@pytest.fixture(scope="module")
def server() -> Iterator[DatabaseServer]:
    """One that archives, which the other tests' does not: it takes a start to change that."""
    programs = programs_here()
    with server_folders(programs.account, "archives") as (folder,):
        made = Server(programs, folder)
        made.make(ARCHIVES)
        made.start()
        try:
            yield DatabaseServer(made.url("postgres"))
        finally:
            made.end()


@pytest.fixture(scope="module")
def template(server: DatabaseServer) -> str:
    return server.create()


def set_archive_command(connection: psycopg.Connection[Any], value: str) -> None:
    """As everybody sees it from then on."""
    connection.execute(f"ALTER SYSTEM SET archive_command = {value}")
    before = connection.execute("SHOW archive_command").fetchone()
    connection.execute("SELECT pg_reload_conf()")
    assert wait_until(lambda: connection.execute("SHOW archive_command").fetchone() != before, 10)


def tell(superuser: str, *, missing: int = 0, **ages: timedelta) -> None:
    """What the database's machine says it found."""
    usual = {"noted": timedelta(0), "full": timedelta(days=1), "differential": timedelta(hours=1)}
    with as_superuser(superuser) as connection:
        connection.execute(TELL, {**usual, **ages, "missing": missing})


def test_administrators_are_told_of_the_archive(
    app: Any, work_databases: Databases, superuser: str, admin: Person, inbox: Inbox
) -> None:
    def lines() -> list[list[str]]:
        """Those of troubles in each mail that left."""
        told(app, work_databases, superuser)
        return [[line for line in body.splitlines() if line.startswith("- ")] for _, _, body in said(inbox)]

    words = WORDS["pt_BR"].alerts
    add(work_databases, stored(NOW - timedelta(hours=2)))
    tell(superuser)
    assert lines() == []
    tell(superuser, missing=3)
    assert lines() == [[words["gap"]]]
    tell(superuser, missing=4)
    assert lines() == [], "it is said once"
    tell(superuser, missing=4, noted=timedelta(hours=4), full=timedelta(days=9), differential=timedelta(hours=30))
    assert lines() == [[words[name] for name in ("unseen", "gap", "full-late", "differential-late")]]
    tell(superuser)
    assert lines() == [[]], "all is well again"


def test_nothing_is_called_well_before_there_is_a_good_backup(
    app: Any, work_databases: Databases, superuser: str, admin: Person, inbox: Inbox
) -> None:
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE users SET created_at = now()")
    tell(superuser, missing=1)
    assert told(app, work_databases, superuser) == 1
    tell(superuser)
    assert told(app, work_databases, superuser) == 0
    add(work_databases, stored(NOW - timedelta(minutes=1)))
    assert told(app, work_databases, superuser) == 1


def test_an_archive_that_nobody_tells_of_is_no_good_sign_in_production(work_settings: Settings, superuser: str) -> None:
    production = work_settings.model_copy(update={"sigilo_env": "production"})
    with as_superuser(superuser) as connection:
        connection.execute("DELETE FROM archive_standing")
    with pytest.raises(TroubleError, match="run keep-archive --forever"):
        archive(production)
    assert archive(work_settings).endswith("s behind")
    tell(superuser)
    assert archive(production).endswith("s behind")


def test_another_programs_archive_needs_nobody_to_tell_of_it(work_settings: Settings, superuser: str) -> None:
    production = work_settings.model_copy(update={"sigilo_env": "production"})
    with as_superuser(superuser) as connection:
        connection.execute("DELETE FROM archive_standing")
        set_archive_command(connection, "'true another'")
        try:
            assert archive(production).endswith("s behind")
        finally:
            set_archive_command(connection, "DEFAULT")


def test_doctor_wants_a_server_for_drills_where_every_change_is_archived(work_settings: Settings) -> None:
    with pytest.raises(TroubleError, match="name a server of their own in DRILL_DATABASE_URL"):
        drills(work_settings)
    another = {"drill_database_url": work_settings.database_url_migrator}
    with pytest.raises(TroubleError, match="their server archives every change too"):
        drills(work_settings.model_copy(update=another))


def test_doctor_asks_the_server_for_drills(work_settings: Settings) -> None:
    programs = programs_here()
    with server_folders(programs.account, "apart") as (folder,):
        server = Server(programs, folder)
        url = type(work_settings.redis_url)(server.url("postgres"))
        apart = work_settings.model_copy(update={"drill_database_url": url})
        server.make()
        server.start()
        try:
            assert drills(apart) == "on a server of their own"
        finally:
            server.end()
    with pytest.raises(TroubleError, match=r"can't be asked \(.*\): check DRILL_DATABASE_URL") as told:
        drills(apart)
    assert PASSWORD not in str(told.value)
