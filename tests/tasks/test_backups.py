"""The backup of the night: when it is due, what wakes it, and what becomes of one that fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from sqlalchemy import select, text

from backups.create import TOO_LONG
from backups.errors import BackupFailed
from backups.keys import HOLDER
from celery_app import worker_settings
from config import Principal, Settings
from integrations.broker import queue_of
from models import Backup, BackupDrill, BackupKey
from models.engine import Databases
from services.backup_request import WAITING
from services.job_schedule import BACKUP, JOBS
from tasks.backups import RUN
from tests.audit.trail import as_superuser
from tests.backups.programs import server_programs
from tests.factories.backup import stored
from tests.servers import DatabaseServer
from tests.tasks.test_base import app

__all__ = ["app"]

LOST = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
CLINIC = ZoneInfo("America/Sao_Paulo")


@pytest.fixture
def environment(environment: dict[str, str], server: DatabaseServer, tmp_path: Path) -> dict[str, str]:
    return environment | {
        "POSTGRES_PROGRAMS": str(server_programs(server)), "BACKUP_URL": f"file://{tmp_path}/backups",
        "DRILL_KEYS": f"{tmp_path}/drill", "AUDIT_ARCHIVES": f"file://{tmp_path}/archives",
    }  # fmt: skip


@pytest.fixture(autouse=True)
def without_backups(superuser: str) -> None:
    with as_superuser(superuser) as connection:
        connection.execute("TRUNCATE backups, backup_drills, backup_keys")


def waits(databases: Databases) -> bool:
    with databases.session(Principal.WORKER) as session:
        return bool(session.scalar(text(f"SELECT {WAITING}")))


def test_it_is_due_at_two_at_night_where_the_clinic_is() -> None:
    [job] = [job for job in JOBS if job.task == BACKUP]
    assert queue_of(BACKUP) == queue_of(RUN) == "backups"
    now = datetime(2026, 11, 26, 4, 59, tzinfo=UTC)
    latest, following = job.latest_slot(now, CLINIC), job.next_slot(now, CLINIC)
    assert latest == datetime(2026, 11, 25, 5, 0, tzinfo=UTC)
    assert following == datetime(2026, 11, 26, 5, 0, tzinfo=UTC)
    assert job.lost_after > timedelta(hours=2)


def test_the_night_makes_one_drills_it_and_tells(app: Any, work_databases: Databases) -> None:
    assert app.tasks[BACKUP]() == {"made": 1, "drilled": 1, "pruned": 0}
    with work_databases.session(Principal.STAFF) as session:
        [made] = session.scalars(select(Backup)).all()
        [drill] = session.scalars(select(BackupDrill)).all()
    assert (made.state, made.origin, drill.state) == ("VERIFIED", "SCHEDULED", "PASSED")
    assert not waits(work_databases)
    assert app.tasks[RUN]() == {"made": 0, "drilled": 0, "pruned": 0}


def test_a_drill_key_that_is_lost_is_made_anew_by_whoever_drills(
    app: Any, work_databases: Databases, tmp_path: Path
) -> None:
    with work_databases.session(Principal.WORKER) as session:
        session.add(BackupKey(recipient=LOST, holder=HOLDER, machine="another"))
    assert app.tasks[BACKUP]() == {"made": 1, "drilled": 1, "pruned": 0}
    with work_databases.session(Principal.STAFF) as session:
        keys = {key.recipient: key.retired_at for key in session.scalars(select(BackupKey))}
    [path] = (tmp_path / "drill").iterdir()
    assert set(keys) == {LOST, path.stem} and keys[LOST] is not None and keys[path.stem] is None


def test_what_fails_fails_the_task_and_the_next_success_settles_it(
    app: Any, work_databases: Databases, superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("backups.create.programs_of", lambda *_: Path("/nonexistent"))
        with pytest.raises(BackupFailed):
            app.tasks[BACKUP]()
    with as_superuser(superuser) as connection:
        connection.execute(
            "INSERT INTO dead_letters (id, task, queue, arguments, error, task_id, attempts)"
            " VALUES (gen_random_uuid(), %s, 'backups', '{}', 'BackupFailed', 'x', 1)",
            [BACKUP],
        )
    assert not waits(work_databases), "not before an hour is over"
    with work_databases.session(Principal.WORKER) as session:
        session.add(Backup(origin="COMMAND"))
    assert waits(work_databases)
    assert app.tasks[RUN]()["made"] == 1
    with as_superuser(superuser) as connection:
        open_ = connection.execute("SELECT count(*) FROM dead_letters WHERE resolved_at IS NULL").fetchone()
    assert open_ == (0,)


def an_hour_passes(superuser: str) -> None:
    with as_superuser(superuser) as connection:
        for table in ("backups", "backup_drills"):
            connection.execute(f"UPDATE {table} SET finished_at = finished_at - interval '61 minutes'")


def states(databases: Databases) -> list[tuple[str, str]]:
    with databases.session(Principal.WORKER) as session:
        return [(row.origin, row.state) for row in session.scalars(select(Backup).order_by(Backup.created_at))]


def test_a_backup_that_fails_is_tried_again_after_an_hour_and_three_times_at_most(
    app: Any, work_databases: Databases, superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backups.create.programs_of", lambda *_: Path("/nonexistent"))
    with pytest.raises(BackupFailed):
        app.tasks[BACKUP]()
    for _ in range(3):
        assert app.tasks[RUN]()["made"] == 0 and not waits(work_databases), "an hour is not over"
        an_hour_passes(superuser)
        assert waits(work_databases)
        with pytest.raises(BackupFailed):
            app.tasks[RUN]()
    an_hour_passes(superuser)
    assert not waits(work_databases) and app.tasks[RUN]()["made"] == 0
    assert states(work_databases) == [("SCHEDULED", "FAILED"), *[("AGAIN", "FAILED")] * 3]
    with pytest.raises(BackupFailed):  # the next night has its own
        app.tasks[BACKUP]()
    an_hour_passes(superuser)
    assert waits(work_databases)


def test_a_store_that_was_away_for_a_moment_costs_an_hour_and_not_a_night(
    app: Any, work_databases: Databases, superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("backups.create.programs_of", lambda *_: Path("/nonexistent"))
        with pytest.raises(BackupFailed):
            app.tasks[BACKUP]()
    an_hour_passes(superuser)
    with monkeypatch.context() as patch:  # and its drill's server restarts
        patch.setattr("backups.drill.programs_of", lambda *_: Path("/nonexistent"))
        with pytest.raises(BackupFailed):
            app.tasks[RUN]()
    assert states(work_databases) == [("SCHEDULED", "FAILED"), ("AGAIN", "DONE")]
    assert not waits(work_databases)
    an_hour_passes(superuser)
    assert waits(work_databases)
    assert app.tasks[RUN]() == {"made": 0, "drilled": 1, "pruned": 0}
    assert states(work_databases) == [("SCHEDULED", "FAILED"), ("AGAIN", "VERIFIED")]
    an_hour_passes(superuser)
    assert not waits(work_databases)


@pytest.mark.parametrize(("is_damaged", "drills"), [(False, 4), (True, 1)])
def test_a_drill_is_made_again_three_times_and_not_where_the_backup_is_damaged(
    work_databases: Databases, superuser: str, is_damaged: bool, drills: int
) -> None:
    with work_databases.session(Principal.WORKER) as session:
        made = stored(datetime.now(UTC), state="DONE", verified_at=None)
        session.add(made)
        session.flush()
        backup_id = made.id
    for number in range(drills):
        assert waits(work_databases), number
        with work_databases.session(Principal.WORKER) as session:
            session.add(
                BackupDrill(
                    backup_id=backup_id, state="FAILED", failure="No.", finished_at=datetime.now(UTC),
                    is_damaged=is_damaged,
                )
            )  # fmt: skip
        assert not waits(work_databases), "an hour is not over"
        an_hour_passes(superuser)
    assert not waits(work_databases)


def test_what_lost_its_process_is_looked_for(work_databases: Databases, superuser: str) -> None:
    with as_superuser(superuser) as connection:
        connection.execute(
            "INSERT INTO backups (id, origin, state, started_at, heartbeat_at)"
            " VALUES (gen_random_uuid(), 'SCHEDULED', 'RUNNING', now(), now())"
        )
        assert not waits(work_databases)
        connection.execute("UPDATE backups SET heartbeat_at = now() - interval '3 minutes'")
    assert waits(work_databases)


def test_a_run_beside_another_does_nothing(app: Any, work_settings: Settings) -> None:
    from backups import job

    with job.exclusive(work_settings):
        assert app.tasks[RUN]() == {}
    with psycopg.connect(work_settings.url_for(Principal.WORKER)) as connection:
        assert connection.execute("SELECT count(*) FROM backups").fetchone() == (0,)


def test_what_takes_too_long_says_so_and_how_long_it_may_take_is_a_setting(
    app: Any, work_databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: Any) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr("backups.create.programs_of", slow)
    with pytest.raises(BackupFailed, match=r"longer than a run may \(BACKUP_RUN_MINUTES\)"):
        app.tasks[BACKUP]()
    with work_databases.session(Principal.STAFF) as session:
        assert [row.failure for row in session.scalars(select(Backup))] == [TOO_LONG]
    monkeypatch.setenv("BACKUP_RUN_MINUTES", "300")
    made = worker_settings()
    assert set(made["task_annotations"]) == {BACKUP, RUN}
    limits = made["task_annotations"][BACKUP]
    assert limits["soft_time_limit"] == 300 * 60 < limits["time_limit"] < made["visibility_timeout"]
    assert app.tasks[RUN].soft_time_limit == 110 * 60, "as it is without the setting"
