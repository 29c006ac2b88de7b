"""The trail in figures: sealing beside a bare INSERT of the same rows, verifying, bytes an event, and sealing while the
clinic is at work."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.types.json import Jsonb

from bench.clinic import Clinic
from bench.load import run
from config import Principal
from config_urls import with_role
from migrations.roles import ensure_database, ensure_ownership
from migrations.run import upgrade
from models import new_id
from models.engine import Databases, make_engine
from services.audit_chain import GENESIS
from services.audit_checkpoint import sign_event
from services.audit_drain import BATCH, drain
from services.audit_event import EVENT_COLUMNS
from services.audit_file import TRAIL, first_line, line_of
from services.audit_start import Start
from services.audit_verify import verify_files, verify_trail
from services.signed_note import Signer

EVENTS = 100_000
LISTS, LISTED = 5_000, 20  # list events, and the ids that each names
UPDATES = 10_000  # events with changes
ROUNDS = 3
A_MINUTE = 1_000  # events between two checkpoints
MINUTES_A_YEAR = 525_600
RATE, RATE_SECONDS, BACKLOG = 300, 20, 30_000
DRAIN_FLOOR, DRAIN_BUSY_FLOOR, VERIFY_FLOOR = 10_000, 1_500, 50_000  # events/s
SEALED_WITHIN = 5.0  # seconds from commit, p99
BYTES_MOST, BYTES_PER_ID_MOST = 600, 30
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
COLUMNS = ", ".join(EVENT_COLUMNS)
COPY = f"COPY audit_outbox ({COLUMNS}) FROM STDIN"
# The same rows, as many at once, into a table with the same columns and indexes, by the server itself.
BARE = """
    INSERT INTO bare SELECT * FROM audit_trail WHERE sequence > %s AND sequence <= %s
"""
UNSIGNED_FOR = """
    SELECT max(extract(epoch FROM c.created_at - (
        SELECT t.sealed_at FROM audit_trail t WHERE t.sequence > c.before ORDER BY t.sequence LIMIT 1)))
    FROM (SELECT created_at, lag(sequence) OVER (ORDER BY sequence) AS before FROM audit_checkpoints) c
    WHERE c.before IS NOT NULL
"""
UNSIGNED_MOST = 60.0
LAG = """
    SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM sealed_at - occurred_at)), count(*)
    FROM audit_trail WHERE occurred_at BETWEEN %s AND %s AND action <> 'bench.backlog'
"""


def measure(running: Clinic) -> bool:
    """Prints the figures; whether all are within what is asked of them."""
    fine = [_alone(running), _at_work(running)]
    return all(fine)


def _alone(running: Clinic) -> bool:
    with _database(running) as url:
        databases = Databases({each.value: with_role(url, each.role) for each in Principal}, pool_size=2)
        try:
            return _sealing(databases, url) & _bytes(databases, url) & _verifying(databases, url)
        finally:
            databases.dispose()


def _sealing(databases: Databases, url: str) -> bool:
    """Drain and bare INSERT take turns, so that the machine's noise meets both."""
    rates, shares, done = [], [], 0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bare (LIKE audit_trail INCLUDING ALL)")
        for _ in range(ROUNDS):
            _write(connection, (_single(number) for number in range(EVENTS // ROUNDS)))
            connection.execute("ANALYZE audit_outbox")
            started = time.perf_counter()
            count = _drain_all(databases)
            sealed = count / (time.perf_counter() - started)
            started = time.perf_counter()
            for first in range(done, done + count, BATCH):
                connection.execute(BARE, (first, min(first + BATCH, done + count)))
            bare = count / (time.perf_counter() - started)
            done += count
            rates.append(sealed)
            shares.append(sealed / bare)
        connection.execute("DROP TABLE bare")
    rate, share = sorted(rates)[ROUNDS // 2], sorted(shares)[ROUNDS // 2]
    print(
        f"drain: {rate:,.0f} events/s (floor {DRAIN_FLOOR:,}), {share:.0%} of a bare INSERT of the same rows by the "
        f"server ({', '.join(f'{each:.0%}' for each in shares)})",
        flush=True,
    )
    return rate >= DRAIN_FLOOR


def _verifying(databases: Databases, url: str) -> bool:
    """Acts, lists and updates with their digests, signed as often as while the clinic is at work."""
    with psycopg.connect(url, autocommit=True) as connection:
        _write(connection, (_updated(number) for number in range(UPDATES)))
    _drain_all(databases)
    signer = Signer("bench", bytes(32))
    key, signed = signer.own_key, range(A_MINUTE, EVENTS // ROUNDS * ROUNDS + LISTS + UPDATES, A_MINUTE)
    for sequence in signed:
        with databases.session(Principal.WORKER) as session:
            sign_event(session, signer, sequence)
    _print_proof(url, len(signed))
    with psycopg.connect(url) as connection:
        online = verify_trail(connection, [key])
    with psycopg.connect(url) as connection, tempfile.NamedTemporaryFile(suffix=".trail") as file:
        from services.audit_chain import TEXT_SETTINGS, canonical

        connection.execute(TEXT_SETTINGS)
        file.write(first_line(Start(0, GENESIS)))
        with connection.cursor("bench") as rows:
            for *row, stored in rows.execute(TRAIL):
                file.write(line_of(stored, canonical(row)))
        file.flush()
        offline = verify_files([Path(file.name)], [])
    rates = [report.events / report.seconds for report in (online, offline)]
    print(f"verify: {rates[0]:,.0f} events/s online, {rates[1]:,.0f} from a file (floor {VERIFY_FLOOR:,})", flush=True)
    return online.is_intact and offline.is_intact and min(rates) >= VERIFY_FLOOR


def _print_proof(url: str, checkpoints: int) -> None:
    """What proves the events takes room of its own: with each checkpoint, of which there is one a minute at most."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT pg_relation_size('audit_checkpoints') + pg_indexes_size('audit_checkpoints'),"
            " pg_total_relation_size('audit_tree_nodes'),"
            " (SELECT max(sequence) FROM audit_trail)"
        ).fetchone()
    assert row is not None
    kept, nodes, events = row
    print(
        f"besides: {kept / checkpoints:,.0f} bytes a checkpoint, indexes included (up to "
        f"{kept / checkpoints * MINUTES_A_YEAR / 1e6:,.0f} MB a year with one a minute), and "
        f"{nodes / events:.1f} bytes an event for the tree",
        flush=True,
    )


def _bytes(databases: Databases, url: str) -> bool:
    """Indexes included, after a VACUUM, as a partition lies there for years."""
    with psycopg.connect(url, autocommit=True) as connection:
        single = _size(connection)
        before, each = single, single / EVENTS
        _write(connection, (_listed(number) for number in range(LISTS)))
        _drain_all(databases)
        per_id = (_size(connection) - before - LISTS * each) / (LISTS * (LISTED - 1))
    print(
        f"an act on one object: {each:.0f} bytes, indexes included (at most {BYTES_MOST}); each further id of a list: "
        f"{per_id:.0f} (at most {BYTES_PER_ID_MOST})",
        flush=True,
    )
    return each <= BYTES_MOST and per_id <= BYTES_PER_ID_MOST


def _at_work(running: Clinic) -> bool:
    """The installation's own worker seals while requests come in; then with a backlog besides."""
    asked, _, lag = _steady(running, backlog=0)
    print(
        f"at {asked:.0f} audited requests/s: p99 from the act to its sealing {lag:.2f} s (at most {SEALED_WITHIN:.0f})",
        flush=True,
    )
    busy, rate, _ = _steady(running, backlog=BACKLOG)
    print(
        f"with a backlog, at {busy:.0f} requests/s: {rate:,.0f} events/s sealed (floor {DRAIN_BUSY_FLOOR:,})",
        flush=True,
    )
    is_asked = min(asked, busy) >= RATE * 0.95
    return _signed_within(running) and lag <= SEALED_WITHIN and rate >= DRAIN_BUSY_FLOOR and is_asked


def _steady(running: Clinic, *, backlog: int) -> tuple[float, float, float]:
    """Requests/s that were answered, events/s sealed until the backlog was, and the p99 lag in seconds."""
    url, token = f"{running.url}/api/medical-records?limit=20", running.tokens["doctor"]
    with psycopg.connect(running.superuser_url, autocommit=True) as connection, ThreadPoolExecutor(1) as apart:
        started = connection.execute("SELECT clock_timestamp()").fetchone()
        load = apart.submit(run, url, seconds=RATE_SECONDS, token=token, rate=RATE)
        rate = 0.0
        if backlog:
            time.sleep(1)
            sealed, began = running.sealed(), time.perf_counter()
            _write(connection, (_single(number, "bench.backlog") for number in range(backlog)))
            while (done := running.sealed() - sealed) < backlog and not load.done():
                time.sleep(0.1)
            rate = done / (time.perf_counter() - began)
        answered = load.result().per_second
        while running.outbox():
            time.sleep(0.2)
        ended = connection.execute("SELECT clock_timestamp()").fetchone()
        row = connection.execute(LAG, (started[0], ended[0])).fetchone() if started and ended else None
    return answered, rate, float(row[0]) if row and row[0] is not None else 0.0


def _write(connection: psycopg.Connection[Any], rows: Iterator[tuple[Any, ...]]) -> None:
    with connection.cursor().copy(COPY) as copy:
        for row in rows:
            copy.write_row(row)


def _single(number: int, action: str = "medical_record.read") -> tuple[Any, ...]:
    return _event(number, action, entity_id=random.choice(RECORDS))


def _listed(number: int) -> tuple[Any, ...]:
    return _event(number, "medical_record.list", entity_ids=random.sample(RECORDS, LISTED))


# Lists show the same records again and again, each of the newest to many people.
ACTORS, PATIENTS, SESSIONS, RECORDS = ([new_id() for _ in range(count)] for count in (30, 2_000, 60, 10_000))


def _event(number: int, action: str, **values: Any) -> tuple[Any, ...]:
    """As a doctor's browser causes it, three for one patient at a time."""
    turn = number // 3
    event = {
        "id": new_id(), "occurred_at": "now", "action": action, "outcome": "success", "actor_role": "DOCTOR",
        "actor_id": ACTORS[turn % len(ACTORS)], "entity_type": "medical_record", "basis": "care-team",
        "patient_id": None if "entity_ids" in values else PATIENTS[turn * 7 % len(PATIENTS)],
        "ip": f"10.0.0.{turn % len(ACTORS)}", "user_agent": AGENT, "request_id": new_id().hex,
        "session_id": SESSIONS[turn % len(SESSIONS)],
    } | values  # fmt: skip
    return tuple(event.get(name) for name in EVENT_COLUMNS)


def _updated(number: int) -> tuple[Any, ...]:
    fields = ("anamnesis", "diagnosis", "conduct")
    changes = [{"field": field, "before": f"{number:032x}", "after": f"{number + 1:032x}"} for field in fields]
    return _event(
        number, "medical_record.update", entity_id=random.choice(RECORDS), from_version=1, to_version=2,
        changes=Jsonb(changes),
    )  # fmt: skip


def _drain_all(databases: Databases) -> int:
    total = 0
    while True:
        with databases.session(Principal.WORKER) as session:
            count = drain(session).count
        total += count
        if count < BATCH:
            return total


def _size(connection: psycopg.Connection[Any]) -> int:
    connection.execute("VACUUM audit_trail")
    row = connection.execute(
        "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'audit_trail'::regclass"
    ).fetchone()
    assert row is not None
    return int(row[0])


def _signed_within(running: Clinic) -> bool:
    """The longest that something sealed was without a checkpoint; of the seed's first one that is no measure."""
    with psycopg.connect(running.superuser_url, autocommit=True) as connection:
        row = connection.execute(UNSIGNED_FOR).fetchone()
    longest = float(row[0]) if row and row[0] is not None else 0.0
    print(f"longest without a checkpoint: {longest:.0f} s (at most {UNSIGNED_MOST:.0f})", flush=True)
    return longest <= UNSIGNED_MOST


@contextmanager
def _database(running: Clinic) -> Iterator[str]:
    """A database of its own on the installation's server, with the newest schema."""
    url = urlunsplit(urlsplit(running.superuser_url)._replace(path="/sigilo_bench"))
    with psycopg.connect(running.superuser_url, autocommit=True) as server:
        ensure_database(server, "sigilo_bench")
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                ensure_ownership(connection)
            engine = make_engine(with_role(url, Principal.MIGRATOR.role), pool_size=1)
            upgrade(engine)
            engine.dispose()
            yield url
        finally:
            server.execute("DROP DATABASE sigilo_bench WITH (FORCE)")
