"""Two releases work on one schema while one takes over from the other: what older programs do on newer schemas, and
what keeps migrations from taking away what they need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import psycopg
import pytest
from sqlalchemy import Engine, text

from config import ConfigurationError, Principal, Settings
from migrations import contract, lint
from migrations.floor import floor, refuse_to_strand, revisions, sql_of
from migrations.lint import BASE, BREAKS, EXCEPTIONS, LEFT_OUT, look_through
from migrations.run import current, downgrade, head, upgrade
from migrations.wait import wait_for_database
from models.engine import Databases
from models.schema_floor import FLOOR
from services.health import check_database
from tests.servers import MIGRATE

pytestmark = pytest.mark.database

ROOT = Path(__file__).resolve().parents[2]
OWN = head()
NEXT = f"{int(OWN) + 1:04}"
EXPANDED = ("ALTER TABLE patients ADD COLUMN nickname text", "CREATE TABLE wards (id uuid PRIMARY KEY)")
CONTRACTED = ("ALTER TABLE patients DROP COLUMN phone", f"UPDATE schema_floor SET revision = '{NEXT}'")


class NextRelease:
    """What of this program migrates, and one migration more."""

    def __init__(self, folder: Path, *statements: str) -> None:
        self._folder = folder
        for name in ("migrations", "models"):
            copytree(ROOT / name, folder / name, ignore=ignore_patterns("__pycache__"))
        for file in ROOT.glob("config*.py"):
            copy(file, folder)
        done = "".join(f"    op.execute({statement!r})\n" for statement in statements)
        (folder / "migrations" / "versions" / f"{NEXT}_next.py").write_text(
            f"from alembic import op\nrevision, down_revision = {NEXT!r}, {OWN!r}\n\ndef upgrade() -> None:\n{done}"
        )

    def run(self, program: str, url: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, url], cwd=self._folder, capture_output=True, text=True, check=False
        )

    def migrate(self, url: str) -> None:
        done = self.run(MIGRATE, url)
        assert done.returncode == 0, done.stderr


BESIDE = (
    "import sys; from models.engine import make_engine; from migrations.floor import refuse_to_strand;"
    "print(refuse_to_strand(make_engine(sys.argv[1], pool_size=1)))"
)


@pytest.fixture
def engine(fresh_databases: Databases) -> Engine:
    return fresh_databases.engine(Principal.MIGRATOR)


@pytest.fixture
def url(fresh_settings: Settings) -> str:
    return fresh_settings.url_for(Principal.MIGRATOR)


def test_a_program_is_ready_on_the_expanded_schema_of_the_next_release(
    engine: Engine, url: str, fresh_databases: Databases, fresh_settings: Settings, tmp_path: Path
) -> None:
    later = NextRelease(tmp_path, *EXPANDED)
    assert f"Programs of schema {OWN} work on {NEXT} too" in later.run(BESIDE, url).stdout
    later.migrate(url)
    assert check_database(fresh_databases, OWN).status == "ok"
    wait_for_database(fresh_settings, with_schema=True, seconds=1)
    upgrade(engine)  # as its web server does when it is started again
    with engine.connect() as connection:
        row = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        assert row == NEXT, "and leaves it as it is"
        assert contract.missing(connection, contract.used()) == []


def test_a_program_is_not_ready_on_a_contracted_schema_and_says_why(
    engine: Engine, url: str, fresh_databases: Databases, fresh_settings: Settings, tmp_path: Path
) -> None:
    later = NextRelease(tmp_path, *CONTRACTED)
    warned = later.run(BESIDE, url)
    assert (warned.returncode, f"(schema {OWN}) would not work" in warned.stderr) == (1, True), "before it is too late"
    later.migrate(url)
    finding = check_database(fresh_databases, OWN)
    assert finding.status == "down"
    assert f"serves programs of {NEXT} or later, this one is of {OWN}" in str(finding.note)
    with pytest.raises(ConfigurationError, match="start the newer release"):
        wait_for_database(fresh_settings, with_schema=True, seconds=1)
    with pytest.raises(ConfigurationError, match="start the newer release"):
        upgrade(engine)


def test_a_program_is_not_ready_on_an_older_schema(engine: Engine, fresh_databases: Databases) -> None:
    before, _ = next(revisions(BASE))
    downgrade(engine, before)
    assert "sigilo db upgrade" in str(check_database(fresh_databases, OWN).note)
    with pytest.raises(ConfigurationError, match="knows no later one"):
        refuse_to_strand(engine)
    upgrade(engine)
    assert check_database(fresh_databases, OWN).status == "ok"
    assert "already" in refuse_to_strand(engine)


def test_nobody_who_serves_requests_says_what_the_floor_is(fresh_databases: Databases) -> None:
    for principal in Principal:
        if principal is Principal.MIGRATOR:
            continue
        with fresh_databases.autocommit(principal) as connection:
            assert connection.execute(FLOOR).fetchone() is not None
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("UPDATE schema_floor SET revision = '0001'")


def test_migrations_hold_nobody_up_and_take_nothing_away() -> None:
    for before, revision in revisions(BASE):
        assert list(map(str, look_through(revision, sql_of(before, revision)))) == []
    assert not set(LEFT_OUT) & BREAKS


def test_an_exception_has_a_reason_and_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = dict(EXCEPTIONS)
    monkeypatch.setattr(lint, "EXCEPTIONS", {})
    sql = {revision: sql_of(before, revision) for before, revision in revisions(BASE)}
    for revision, rules in known.items():
        assert set(rules) <= {each.rule for each in look_through(revision, sql[revision])}
        assert all(len(reason) > 20 for reason in rules.values()), revision


BAD = {
    "ALTER TABLE patients DROP COLUMN phone": "ban-drop-column",
    "ALTER TABLE patients RENAME COLUMN phone TO telephone": "renaming-column",
    "ALTER TABLE patients RENAME TO people": "renaming-table",
    "ALTER TABLE patients ALTER COLUMN phone TYPE integer USING 1": "changing-column-type",
    "ALTER TABLE patients ADD COLUMN ward text NOT NULL": "adding-required-field",
    "ALTER TABLE patients ALTER COLUMN phone SET NOT NULL": "adding-not-nullable-field",
    "DROP TABLE visits": "ban-drop-table",
    "DROP FUNCTION audit_outbox_lag()": "ban-drop-function",
    "REVOKE SELECT ON visits FROM sigilo_staff": "revoking",
    "DROP POLICY staff ON patients": "revoking",
}
SLOW = {
    "CREATE INDEX ix_patients_phone ON patients (phone)": "require-concurrent-index-creation",
    "ALTER TABLE patients ADD CONSTRAINT ck CHECK (phone <> '')": "constraint-missing-not-valid",
}


def migration(*statements: str) -> str:
    timeouts = ["SET LOCAL statement_timeout = '5min'", "SET LOCAL lock_timeout = '4s'"]
    return ";\n".join(["BEGIN", *timeouts, *statements, "COMMIT", ""])


@pytest.mark.parametrize(("statement", "rule"), [*BAD.items(), *SLOW.items()])
def test_a_bad_migration_is_found(statement: str, rule: str) -> None:
    assert rule in {each.rule for each in look_through(NEXT, migration(statement))}


def test_what_breaks_older_programs_may_be_done_where_they_are_told() -> None:
    raising, later = (f"UPDATE schema_floor SET revision = '{number:04}'" for number in (int(NEXT), int(NEXT) + 1))
    assert look_through(NEXT, migration(*BAD, raising)) == []
    assert look_through(NEXT, migration(later)) != [], "of a program that is not there yet"
    assert {each.rule for each in look_through(NEXT, migration(*SLOW, raising))} == set(SLOW.values())


def test_what_adds_only_is_no_finding() -> None:
    assert look_through(NEXT, migration(*EXPANDED, "CREATE INDEX ix ON wards (id)")) == []


def test_what_this_program_uses_is_written_down() -> None:
    written = contract.contracts()
    assert written.get(OWN) == contract.used(), "run: .venv/bin/python -m migrations.contract"
    assert min(written) >= floor()


def test_the_newest_schema_has_all_that_former_programs_use(engine: Engine) -> None:
    with engine.connect() as connection:
        assert current(connection) == OWN
        for revision, used in contract.contracts().items():
            assert contract.missing(connection, used) == [], revision


@pytest.fixture
def scratch(engine: Engine) -> Engine:
    with engine.begin() as connection:
        for statement in (
            "ALTER TABLE visits RENAME TO calls",
            "ALTER TABLE patients DROP COLUMN phone",
            "ALTER TABLE patients ALTER COLUMN email SET NOT NULL",
            "ALTER TABLE patients ALTER COLUMN version TYPE bigint",
            "ALTER TABLE patients ADD COLUMN ward text NOT NULL",
            "ALTER TABLE patients ADD COLUMN bed text NOT NULL DEFAULT ''",
        ):
            connection.execute(text(statement))
    return engine


def test_what_a_former_program_would_miss_is_found(scratch: Engine) -> None:
    with scratch.connect() as connection:
        found = set(contract.missing(connection, contract.used()))
    assert found == {
        "visits is gone", "patients.phone is gone", "patients.email may be left out no more",
        "patients.version was INTEGER and is BIGINT", "patients.ward is new and has to be given",
    }  # fmt: skip
