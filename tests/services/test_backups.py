"""Asking for a backup, and what pages and Prometheus are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from config import Principal, Settings
from models import AuditOutbox, Backup, BackupDrill, BackupKey
from models.engine import Databases
from services.actor import Actor
from services.backup_list import get_backup, list_backups, list_keys
from services.backup_request import request_backup
from services.backup_standing import LATE, STANDING, backup_standing, read_standing
from services.errors import Conflict, Forbidden, NotFound
from services.measure import measure
from tests.factories.backup import forget_backups, stored
from tests.factories.cast import Cast

NOW = datetime.now(UTC)
DONE = {"state": "DONE", "finished_at": NOW, "manifest": "x", "name": "x", "store": "file:///x", "size": 7}


@pytest.fixture
def admin(cast: Cast) -> Actor:
    return replace(cast.admin.actor, scopes=None)


@pytest.fixture(autouse=True)
def without_backups(databases: Databases) -> Iterator[None]:
    forget_backups(databases)
    yield
    forget_backups(databases)


def test_an_administrator_asks_for_one_and_it_is_in_the_trail(databases: Databases, admin: Actor, cast: Cast) -> None:
    with databases.session(Principal.STAFF) as session:
        made = request_backup(session, admin)
    with databases.session(Principal.STAFF) as session, pytest.raises(Conflict):
        request_backup(session, admin)
    with databases.session(Principal.STAFF) as session:
        [shown] = list_backups(session, admin)
        assert (shown["id"], shown["state"], shown["requestedBy"]) == (str(made), "PENDING", admin.name)
        assert not shown["counts"] and get_backup(session, admin, made)["drills"] == []
        for person in (cast.doctor, cast.auditor, cast.patient, cast.admin):
            with pytest.raises(Forbidden):  # the last with a token, which manages nothing
                request_backup(session, person.actor)
    with databases.session(Principal.WORKER) as session:
        found = session.scalars(select(AuditOutbox).where(AuditOutbox.entity_id == made)).one()
        assert (found.action, found.actor_id) == ("backup.request", admin.user_id)


@pytest.mark.parametrize("column", ["manifest", "verified_at", "state"])
def test_whoever_asks_can_forge_none(databases: Databases, column: str) -> None:
    value = "now()" if column == "verified_at" else "'VERIFIED'"
    with databases.session(Principal.STAFF) as session, pytest.raises(DBAPIError, match="permission denied"):
        session.execute(
            text(f"INSERT INTO backups (id, origin, {column}) VALUES (gen_random_uuid(), 'REQUESTED', {value})")
        )


def test_a_backup_counts_for_a_day_and_two_hours(databases: Databases, client: FlaskClient) -> None:
    now = datetime.now(UTC)

    def alerts(*rows: object) -> list[str]:
        with databases.session(Principal.WORKER) as session:
            session.add_all(rows)
        with databases.session(Principal.STAFF) as session:
            found: list[str] = backup_standing(session)["alerts"]
        [measured] = measure(databases, STANDING)
        assert measured is not None and read_standing(measured).alerts == found
        return found

    assert alerts() == ["late"]
    old = stored(now - LATE - timedelta(minutes=1))
    assert alerts(old) == ["late"]
    assert alerts(stored(now - timedelta(hours=3), state="DONE", verified_at=None)) == ["late"], "unverified"
    assert alerts(stored(now - timedelta(hours=3), pruned_at=now)) == ["late"], "it is gone"
    assert alerts(stored(now - timedelta(hours=2))) == []
    assert alerts(Backup(state="FAILED", origin="SCHEDULED", failure="No.", finished_at=now)) == ["failed"]
    drill = BackupDrill(backup_id=old.id, state="FAILED", finished_at=now, failure="Nor this.")
    assert alerts(drill) == ["failed", "drill-failed"]
    with databases.session(Principal.STAFF) as session:
        standing = backup_standing(session)
    assert (standing["failure"], standing["drillFailure"]) == ("No.", "Nor this.")
    later = now + timedelta(seconds=1)
    passed = BackupDrill(backup_id=old.id, state="PASSED", finished_at=later, trail_problems=2)
    assert alerts(passed) == ["failed", "trail-damaged"], "it is no failure of the drill"
    before = stored(now - timedelta(days=9))
    assert alerts(before) == ["failed", "trail-damaged"]
    looked_at = BackupDrill(backup_id=before.id, state="PASSED", finished_at=now + timedelta(seconds=2))
    assert alerts(looked_at) == ["failed", "trail-damaged"], "an older one knows nothing of it"
    page = client.get("/metrics").get_data(as_text=True)
    assert "sigilo_backup_failed 1.0" in page and "sigilo_backup_drill_failed 0.0" in page
    assert "sigilo_backup_trail_damaged 1.0" in page
    good = float(next(line for line in page.splitlines() if line.startswith("sigilo_backup_last_good")).split()[1])
    assert abs(good - (now - timedelta(hours=2)).timestamp()) < 2


@pytest.mark.parametrize(
    ("values", "is_late"),
    [
        ({"created_at": NOW - timedelta(hours=25)}, False),
        ({"created_at": NOW - timedelta(hours=27)}, True),  # nobody makes it
        ({"state": "RUNNING", "created_at": NOW - timedelta(hours=30), "heartbeat_at": NOW}, False),
        ({"state": "RUNNING", "heartbeat_at": NOW - timedelta(hours=27)}, True),
        (DONE, False),  # its drill comes
        (DONE | {"origin": "FOUND"}, True),  # it has none
    ],
)
def test_the_first_good_one_is_waited_for_while_somebody_is_at_it(
    databases: Databases, values: dict[str, object], is_late: bool
) -> None:
    with databases.session(Principal.MIGRATOR) as session:
        session.add(Backup(**({"origin": "SCHEDULED"} | values)))
    [measured] = measure(databases, STANDING)
    assert measured is not None
    assert read_standing(measured).alerts == (["late"] if is_late else [])


def test_a_drill_that_its_worker_left_is_waited_for_no_longer_than_a_day(databases: Databases) -> None:
    def drilled(moved: timedelta) -> list[str]:
        forget_backups(databases)
        backup = stored(NOW - timedelta(hours=30), state="DONE", verified_at=None)
        with databases.session(Principal.MIGRATOR) as session:
            session.add(backup)
            session.flush()
            session.add(BackupDrill(backup_id=backup.id, heartbeat_at=NOW - moved))
        [measured] = measure(databases, STANDING)
        assert measured is not None
        return read_standing(measured).alerts

    assert drilled(timedelta(hours=1)) == []
    assert drilled(timedelta(hours=27)) == ["late"]


def test_who_holds_what(databases: Databases, settings: Settings, admin: Actor) -> None:
    with databases.session(Principal.WORKER) as session:
        session.add(BackupKey(recipient="age1drill", holder="drills' worker", machine="here"))
    with databases.session(Principal.STAFF) as session:
        shown = list_keys(session, admin, settings.model_copy(update={"backup_age_recipient": "age1recovery"}))
        kinds = [(key["recipient"], key["kind"]) for key in shown]
        assert kinds == [("age1recovery", "recovery"), ("age1drill", "drill")]
        with pytest.raises(NotFound):
            get_backup(session, admin, admin.user_id)
