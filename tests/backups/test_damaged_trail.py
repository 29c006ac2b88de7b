"""A trail that was tampered with: a backup that holds it as the database has it counts, and is told of until an auditor
took note; one that holds another does not."""

from __future__ import annotations

import re

import psycopg
import pytest

from backups.drill import run_drill
from backups.errors import BackupFailed
from backups.job import Connection
from config import Settings
from services.backup_standing import STANDING, read_standing
from tests.backups.conftest import back_up, silent
from tests.observability.alert_rules import RUNBOOKS
from tests.observability.test_runbooks import sections
from tests.servers import DatabaseServer

pytestmark = pytest.mark.database
TAMPERED = "UPDATE audit_trail SET action = 'patient.read' WHERE sequence = 3"


def test_a_trail_that_was_tampered_with_is_said_and_its_backups_count(
    here: Settings, connection: Connection, server: DatabaseServer, clinic: str
) -> None:
    with psycopg.connect(server.superuser_url(clinic), autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(TAMPERED)
    for _night in range(2):
        manifest = back_up(here, connection)
        run_drill(here, connection, manifest.id, silent)
    rows = connection.execute(
        "SELECT b.state, d.state, d.trail_problems > 0, d.failure FROM backups b JOIN backup_drills d"
        " ON d.backup_id = b.id"
    ).fetchall()
    assert rows == [("VERIFIED", "PASSED", True, None)] * 2
    standing = read_standing(connection.execute(STANDING).fetchone() or ())
    assert standing.alerts == ["trail-damaged"] and standing.good_at is not None
    [statement] = re.findall(r"```sql\n(.*?)```", sections(RUNBOOKS / "backups.md")["BackupTrailDamaged"], re.DOTALL)
    assert [row[3] > 0 for row in connection.execute(statement).fetchall()] == [True, True], "the runbook finds them"


def test_a_damaged_trail_is_said_until_an_auditor_took_note_of_it_and_then_what_is_new(
    here: Settings, connection: Connection, server: DatabaseServer, clinic: str
) -> None:
    def alerts() -> list[str]:
        return read_standing(connection.execute(STANDING).fetchone() or ()).alerts

    with psycopg.connect(server.superuser_url(clinic), autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(TAMPERED)
        run_drill(here, connection, back_up(here, connection).id, silent)
        assert alerts() == ["trail-damaged"]
        [(places,)] = connection.execute("SELECT trail_problems FROM backup_drills").fetchall()
        superuser.execute(
            "INSERT INTO audit_alarms (id, places, noted_at, noted_by, note) SELECT gen_random_uuid(), %s, now(), id,"
            " 'known, and dealt with' FROM users LIMIT 1",
            [places],
        )
        run_drill(here, connection, back_up(here, connection).id, silent)
        assert alerts() == [], "the next night finds the same"
        connection.execute("UPDATE backup_drills SET trail_problems = trail_problems + 1")
        assert alerts() == ["trail-damaged"], "more than was noted"
        connection.execute("UPDATE backup_drills SET trail_problems = 0")
        assert alerts() == []
        run_drill(here, connection, back_up(here, connection).id, silent)
        assert alerts() == ["trail-damaged"], "what comes after an intact one is new"


def test_a_trail_that_is_tampered_with_in_the_backup_alone_passes_no_drill(
    here: Settings, connection: Connection, server: DatabaseServer, clinic: str
) -> None:
    with psycopg.connect(server.superuser_url(clinic), autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        row = superuser.execute("SELECT action FROM audit_trail WHERE sequence = 3").fetchone()
        superuser.execute(TAMPERED)
        manifest = back_up(here, connection)
        superuser.execute("UPDATE audit_trail SET action = %s WHERE sequence = 3", row)
    connection.execute("UPDATE backups SET state = 'VERIFIED', verified_at = now()")  # by a drill of before
    with pytest.raises(BackupFailed, match="trail of the restored database is not intact"):
        run_drill(here, connection, manifest.id, silent)
    assert connection.execute("SELECT state FROM backups").fetchone() == ("DONE",), "it counts no longer"
    standing = read_standing(connection.execute(STANDING).fetchone() or ())
    assert "drill-damaged" in standing.alerts and "drill-failed" not in standing.alerts
