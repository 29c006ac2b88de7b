"""Fill an empty database with a made-up clinic to try things on, or add patients to such a clinic."""

from __future__ import annotations

import random
import secrets
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from config import Principal, Settings
from models.advisory_locks import DEMO_SEED
from models.connection import connect
from models.user import IMPORT_USER_ID, Role
from services.demo_calendar import YEAR, ClinicCalendar
from services.demo_cid10 import fill_demo_table
from services.demo_credentials import write_credentials
from services.demo_people import Person, Population
from services.demo_rows import Rows, new_user
from services.demo_staff import DOMAIN, PATIENT_LOGIN, STAFF, hashed, new_ids, new_passwords, team_of
from services.demo_year import Year, YearMaker
from services.errors import Conflict, Invalid
from services.field_encryption import field_cipher
from services.import_statements import Connection

Progress = Callable[[int, int], object]

AUDIT_KEY_BYTES = 32
FIRST_AGES = (34, 62)  # of the patient who can sign in, years
UNIDENTIFIED_SHARE = 60  # one in so many patients came without papers
STAFF_SINCE = timedelta(days=4 * YEAR)
TIMEOUTS = "SET statement_timeout = '5min'; SET lock_timeout = '30s'; SET TimeZone = 'UTC'"
NOT_A_DEMO = (
    "This database has patients or users of its own, so no made-up ones are put among them: "
    "use another SIGILO_HOME or DATABASE_URL."
)


@dataclass(frozen=True)
class SeedSummary:
    """What was made. ``credentials`` is the file of the demo logins, None when the clinic had them already."""

    patients: int
    visits: int
    records: int
    credentials: Path | None

    def __str__(self) -> str:
        logins = "the demo logins are unchanged" if self.credentials is None else f"demo logins: {self.credentials}"
        return f"{self.patients} patients, {self.visits} visits, {self.records} records; {logins}"


def seed(
    settings: Settings,
    *,
    patients: int,
    records: int,
    progress: Progress | None = None,
    number: int | None = None,
    now: datetime | None = None,
) -> SeedSummary:
    """Make ``patients`` patients with a year of visits and exactly ``records`` records, all or nothing.

    An empty database also gets the clinic's staff, and ``demo-credentials.json`` the logins; a demo clinic gets
    the patients, and its accounts stay as they are. Then, where no clinic's CID-10 table is in force, the demo's is.
    The same ``number`` and ``now`` make the same people and texts (never the same passwords or keys). ``progress``
    takes (rows written, rows in all). Like an import this opens and commits its own transaction, as the staff
    principal. Raises Conflict for a database that is neither empty nor a demo clinic, Invalid for a number below 1.
    """
    if patients < 1 or records < 1:
        raise Invalid("A demo clinic has at least one patient and one record.")
    now = now or datetime.now(UTC)
    with _transaction(settings) as connection:
        staff, before = _present(connection)
        rng = random.Random() if number is None else random.Random(f"{number}:{before}")  # noqa: S311  (nothing secret)
        if staff is None:
            summary = _found(settings, connection, rng, now, patients, records, progress)
        else:
            rows, year = _clinic(settings, rng, now, staff, patients, records)[:2]
            _write(connection, [rows], progress)
            connection.commit()
            summary = _summary(rows, year, None)
    fill_demo_table(settings)
    return summary


def _found(
    settings: Settings,
    connection: Connection,
    rng: random.Random,
    now: datetime,
    patients: int,
    records: int,
    progress: Progress | None,
) -> SeedSummary:
    """A clinic from nothing: staff, patients, and the account of the patient who can sign in."""
    since = now - STAFF_SINCE
    ids, passwords = new_ids(rng, since), new_passwords()
    with ThreadPoolExecutor(1) as beside:  # hashing releases the interpreter's lock
        hashing = beside.submit(hashed, passwords)
        rows, year, first = _clinic(settings, rng, now, ids, patients, records)
        hashes = hashing.result()
    people, account = Rows(rows.cipher), Rows(rows.cipher)
    for member in STAFF:
        made = new_user(
            ids[member.key], member.email, member.name, council=member.council, since=since, now=now,
            password_hash=hashes.get(member.key),
        )  # fmt: skip
        people.user(made, member.role)
    patient = first.patient
    made = new_user(
        ids[PATIENT_LOGIN], f"{PATIENT_LOGIN}@{DOMAIN}", patient.full_name, since=patient.created_at, now=now,
        password_hash=hashes[PATIENT_LOGIN], patient_id=patient.id,
    )  # fmt: skip
    account.user(made, Role.PATIENT)
    _write(connection, [people, rows, account], progress)
    logins = {key: {"email": f"{key}@{DOMAIN}", "password": password} for key, password in passwords.items()}
    # Before the commit: a clinic whose logins nobody knows would be of no use.
    path = write_credentials(settings.sigilo_home, logins)
    try:
        connection.commit()
    except psycopg.Error:
        path.unlink()
        raise
    return _summary(rows, year, path)


def _clinic(
    settings: Settings, rng: random.Random, now: datetime, ids: dict[str, uuid.UUID], patients: int, records: int
) -> tuple[Rows, Year, Person]:
    """Patients and their year, as rows; and the first patient, who has a good deal of a record."""
    calendar = ClinicCalendar(rng, now, settings.timezone)
    population = Population(rng, calendar, field_cipher(settings), lambda: secrets.token_bytes(AUDIT_KEY_BYTES))
    unidentified = patients // UNIDENTIFIED_SHARE
    persons = [population.person(sex="FEMALE", ages=FIRST_AGES)]
    persons += [population.person() for _ in range(patients - unidentified - 1)]
    persons += [population.unidentified() for _ in range(unidentified)]
    year = YearMaker(rng, calendar, team_of(ids), persons).make(records)
    rows = Rows(field_cipher(settings))
    for person in persons:
        rows.patient(person)
    rows.year(year, {person.id: person.audit_key for person in persons})
    return rows, year, persons[0]


def _write(connection: Connection, stages: list[Rows], progress: Progress | None) -> None:
    total = sum(stage.count for stage in stages)
    done = 0
    for stage in stages:
        for written in stage.write(connection):
            done += written
            if progress is not None:
                progress(done, total)


def _summary(rows: Rows, year: Year, credentials: Path | None) -> SeedSummary:
    return SeedSummary(len(rows.tables["patients"]), len(year.visits), len(year.records), credentials)


@contextmanager
def _transaction(settings: Settings) -> Iterator[Connection]:
    """One transaction as staff, rolled back unless the block commits it."""
    url = settings.url_for(Principal.STAFF)
    with connect(url, application_name="sigilo demo") as connection:
        connection.execute(TIMEOUTS)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [DEMO_SEED])
        yield connection


def _present(connection: Connection) -> tuple[dict[str, uuid.UUID] | None, int]:
    """The demo clinic's staff by key, None in an empty database; and how many patients there are.

    Raises Conflict for a database that holds anything else.
    """
    users = dict(connection.execute("SELECT email, id FROM users WHERE id <> %s", [IMPORT_USER_ID]).fetchall())
    row = connection.execute("SELECT count(*) FROM patients").fetchone()
    patients = row[0] if row else 0
    if not users and not patients:
        return None, 0
    if any(member.email not in users for member in STAFF):
        raise Conflict(NOT_A_DEMO)
    return {member.key: users[member.email] for member in STAFF}, patients
