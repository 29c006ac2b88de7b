"""The timed job that takes old months out of the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyrage
import pytest

from models.engine import Databases
from services.job_schedule import ARCHIVE, JOBS, VERIFY
from tasks import runtime
from tests.audit.trail import as_superuser, write_events, write_old_events
from tests.tasks.test_base import app

__all__ = ["app"]


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return environment | {"AUDIT_ARCHIVES": f"file://{tmp_path}/archives"}


def online(superuser: str) -> tuple[int, int]:
    """First and last event in the database."""
    with as_superuser(superuser) as connection:
        row = connection.execute("SELECT min(sequence), max(sequence) FROM audit_trail").fetchone()
    assert row is not None
    return row[0], row[1]


def test_old_months_leave_once_there_is_somebody_to_encrypt_them_to(
    app: Any, work_databases: Databases, superuser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ARCHIVE in {job.task for job in JOBS}
    write_old_events(work_databases, superuser, (30, 5))
    write_events(work_databases, 8)
    app.tasks["audit.drain"]()
    assert app.tasks[ARCHIVE]() == 0
    assert online(superuser) == (1, 43)
    monkeypatch.setenv("BACKUP_AGE_RECIPIENT", str(pyrage.x25519.Identity.generate().to_public()))
    runtime.databases().dispose()
    runtime._opened.cache_clear()
    for left in (0, 30, 5):  # March is written; a night later it leaves and April is written; then that leaves
        assert app.tasks[ARCHIVE]() == left
        with as_superuser(superuser) as connection:
            connection.execute("UPDATE audit_archives SET created_at = created_at - interval '27 hours'")
    assert online(superuser) == (36, 43)
    assert len(list((tmp_path / "archives").glob("*.age"))) == 2
    assert app.tasks[VERIFY]() == 8
    assert app.tasks[ARCHIVE]() == 0
