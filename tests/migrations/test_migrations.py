"""Up, down and up again with data; head is what the models say; a lock is not waited for long."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from alembic import command
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

import models
from config import Principal, Settings
from migrations.roles import ensure_ownership
from migrations.run import alembic_config, current, downgrade, head, upgrade
from models.engine import Databases, make_engine
from models.import_job import PART_BYTES
from tests.factories.cast import join_team, make_patient, make_person
from tests.servers import MIGRATE, DatabaseServer

pytestmark = pytest.mark.database
VERSIONS = Path(__file__).resolve().parents[2] / "migrations" / "versions"


def test_head_is_what_the_models_say(fresh_databases: Databases) -> None:
    with fresh_databases.engine(Principal.MIGRATOR).connect() as connection:
        command.check(alembic_config(connection))
        assert current(connection) == head()


def import_of(databases: Databases, sizes: Iterable[int]) -> dict[int, bytes]:
    """An import with a file of each size, kept in parts as the program keeps it; number → content."""
    contents = {number: random.Random(size).randbytes(size) for number, size in enumerate(sizes)}
    job_id = models.new_id()
    with databases.session(Principal.WORKER) as session:
        session.add(models.ImportJob(id=job_id, format="csv", source_digest=b"x"))
        session.flush()
        for number, content in contents.items():
            session.add(
                models.ImportFile(
                    job_id=job_id, number=number, name=f"{number}.csv", sha256=sha256(content).digest(),
                    size=len(content),
                )
            )  # fmt: skip
            for part, start in enumerate(range(0, len(content), PART_BYTES)):
                piece = content[start : start + PART_BYTES]
                session.add(models.ImportFilePart(job_id=job_id, number=number, part=part, content=piece))
    return contents


def files(engine: Engine) -> dict[int, bytes]:
    """Number → content, out of the parts."""
    with engine.connect() as connection:
        parts = connection.execute(
            text(
                "SELECT f.number, array_agg(p.part ORDER BY p.part), string_agg(p.content, ''::bytea ORDER BY p.part),"
                " bool_and(octet_length(p.content) > 0)"
                " FROM import_files f LEFT JOIN import_file_parts p USING (job_id, number) GROUP BY f.number"
            )
        ).all()
    for _, numbers, content, are_full in parts:
        assert content is None or (are_full and numbers == list(range(len(numbers))))
    return {number: bytes(content or b"") for number, _, content, _ in parts}


def alert_of(databases: Databases, *, count: int, told: int) -> None:
    now, doctor = datetime.now(UTC), make_person(databases, models.Role.DOCTOR, "Ana Moura").id
    with databases.session(Principal.WORKER) as session:
        session.add(
            models.AccessAlert(
                rule="exports", user_id=doctor, subject_id=doctor, acting_role="DOCTOR", started_at=now, ends_at=now,
                last_at=now, first_sequence=1, last_sequence=count, count=count, told_count=told, threshold=1,
                window_minutes=60, patient_ids=[],
            )
        )  # fmt: skip


def test_what_migrations_move_is_what_it_was(fresh_databases: Databases) -> None:
    contents = import_of(fresh_databases, (0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES))
    alert_of(fresh_databases, count=7, told=3)
    engine = fresh_databases.engine(Principal.MIGRATOR)
    assert files(engine) == contents
    downgrade(engine, "0021")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT number, content FROM import_files")).all()
        assert {number: bytes(content) for number, content in rows} == contents
        assert connection.execute(text("SELECT count FROM access_alerts")).scalar_one() == 7
    upgrade(engine)
    assert files(engine) == contents
    with engine.connect() as connection:
        told = connection.execute(text("SELECT told_count FROM access_alerts")).scalar_one()
        assert told == 7, "of what there was, auditors were told"
    downgrade(engine, "0004")
    upgrade(engine)
    assert files(engine) == contents


def test_up_down_and_up_again_with_data(fresh_databases: Databases, fresh_settings: Settings) -> None:
    doctor = make_person(fresh_databases, models.Role.DOCTOR, "Ana Moura")
    patient = make_patient(fresh_databases, fresh_settings, "Conceição Ávila")
    join_team(fresh_databases, patient, doctor.id)
    with fresh_databases.session(Principal.WORKER) as session:
        session.execute(
            text(
                "INSERT INTO audit_trail (sealed_at, sequence, id, hash, occurred_at, action, outcome) "
                "VALUES (now(), 1, gen_random_uuid(), sha256('x'), now(), 'x.y', 'success')"
            )
        )
    engine = fresh_databases.engine(Principal.MIGRATOR)
    steps = sorted((path.name[:4] for path in VERSIONS.glob("0*.py")), reverse=True)
    # Data outlives going back over the grants and policies and forward again …
    downgrade(engine, "0004")
    upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT full_name FROM patients")).scalars().all() == ["Conceição Ávila"]
        command.check(alembic_config(connection))
    # … and every single step goes down and up, to the very base.
    for step in [*steps[1:], "base"]:
        downgrade(engine, step)
    with engine.connect() as connection:
        left = connection.execute(
            text("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')")
        ).scalar_one()
        assert left == 1, "only alembic_version is left at the base"
    for step in reversed(steps):
        upgrade(engine, step)
    with engine.connect() as connection:
        command.check(alembic_config(connection))


def test_a_migration_gives_up_on_a_lock_instead_of_queueing_the_clinic(
    server: DatabaseServer, fresh_database: str, fresh_databases: Databases
) -> None:
    engine = make_engine(server.urls(fresh_database)[Principal.MIGRATOR], pool_size=1, statement_timeout_ms=0)
    with psycopg.connect(server.superuser_url(fresh_database)) as other:
        other.execute("LOCK TABLE patients IN ACCESS SHARE MODE")
        with pytest.raises(DBAPIError, match="lock timeout"):
            downgrade(engine, "0004")
    engine.dispose()
    with fresh_databases.engine(Principal.MIGRATOR).connect() as connection:
        assert current(connection) == head(), "nothing half-done"


def test_two_processes_that_start_at_once_migrate_one_after_the_other(server: DatabaseServer, template: str) -> None:
    name = server.create(template=template)
    try:
        url = server.urls(name)[Principal.MIGRATOR]
        first = make_engine(url, pool_size=1)
        downgrade(first, "base")
        processes = [
            subprocess.Popen([sys.executable, "-c", MIGRATE, url], stderr=subprocess.PIPE, text=True) for _ in range(3)
        ]
        for process in processes:
            _, complaint = process.communicate(timeout=60)
            assert process.returncode == 0, complaint
        with first.connect() as connection:
            assert current(connection) == head()
        first.dispose()
    finally:
        server.drop(name)


def test_processes_that_start_at_once_give_the_database_to_its_roles_one_after_the_other(
    server: DatabaseServer, template: str
) -> None:
    """Two web servers of one release do at their start, each with a login that may."""
    name = server.create(template=template)
    barrier = threading.Barrier(4)

    def give(_: int) -> None:
        with psycopg.connect(server.superuser_url(name), autocommit=True) as connection:
            for _ in range(25):
                barrier.wait(timeout=30)
                ensure_ownership(connection)

    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(give, range(4)))
    finally:
        server.drop(name)


def test_migrations_never_import_the_models() -> None:
    for path in VERSIONS.glob("0*.py"):
        source = path.read_text()
        assert "import models" not in source and "from models" not in source, path.name
