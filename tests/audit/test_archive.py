"""What is older than the clinic keeps online leaves the database for an encrypted file, and is verified as before."""

from __future__ import annotations

from pathlib import Path

import pyrage
import pytest
from sqlalchemy.exc import DBAPIError

from config import Principal, Settings
from migrations.prepare import note_policy
from models.engine import Databases, make_engine
from services.audit_archive import (
    archive_of,
    drop_partition,
    due_partition,
    last_event,
    refuse_changed,
    remember,
    remove_leftovers,
    write_archive,
)
from services.audit_archive_list import check_archives
from services.audit_checkpoint import public_key, signer_of, trusted_keys, write_checkpoint
from services.audit_prove import check as check_proof
from services.audit_prove import prove
from services.audit_start import proven_start
from services.audit_verify import verify, verify_files
from services.errors import Conflict, Invalid, Unavailable
from tests.audit.trail import LONG_AGO, as_superuser, drain_all, write_events, write_old_events
from tests.servers import DatabaseServer

pytestmark = pytest.mark.database

MARCH = "audit_trail_p201903"
IDENTITY = pyrage.x25519.Identity.generate()
PARTITIONS = """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'audit_trail'::regclass ORDER BY 1
"""


@pytest.fixture
def old_settings(trail_settings: Settings, tmp_path: Path) -> Settings:
    return trail_settings.model_copy(
        update={"audit_archives": f"file://{tmp_path}/archives", "backup_age_recipient": str(IDENTITY.to_public())}
    )


@pytest.fixture
def old_trail(trail: Databases, superuser: str) -> Databases:
    """300 events of March 2019, 45 of April, and 20 of today."""
    write_old_events(trail, superuser, (300, 45))
    write_events(trail, 20)
    drain_all(trail)
    return trail


def partitions(superuser: str) -> list[str]:
    with as_superuser(superuser) as connection:
        return [row[0] for row in connection.execute(PARTITIONS)]


def archive_one(databases: Databases, settings: Settings, superuser: str) -> str:
    """As the task does on two days; gives the partition."""
    with databases.session(Principal.WORKER) as session:
        partition = due_partition(session, settings)
    assert partition is not None
    written = write_archive(settings, partition)
    with databases.session(Principal.WORKER) as session:
        remember(session, settings, written)
    a_night_passes(superuser)
    with databases.session(Principal.WORKER) as session:
        drop_partition(session, partition)
    return partition


def a_night_passes(superuser: str) -> None:
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE audit_archives SET created_at = created_at - interval '27 hours'")


def sign(databases: Databases, settings: Settings, to: Path) -> Path:
    with databases.session(Principal.WORKER) as session:
        to.write_text(write_checkpoint(session, signer_of(settings)))
    return to


def test_months_leave_one_after_the_other_and_the_trail_still_verifies(
    old_trail: Databases, old_settings: Settings, superuser: str, tmp_path: Path
) -> None:
    outside = sign(old_trail, old_settings, tmp_path / "checkpoint.txt")
    assert [archive_one(old_trail, old_settings, superuser), archive_one(old_trail, old_settings, superuser)] == [
        "audit_trail_p201903", "audit_trail_p201904",
    ]  # fmt: skip
    assert not {"audit_trail_p201903", "audit_trail_p201904"} & set(partitions(superuser))
    with old_trail.session(Principal.WORKER) as session:
        assert due_partition(session, old_settings) is None
    report = verify(old_settings, checkpoint=outside)
    assert report.is_intact, str(report)
    assert (report.archived, report.events, report.proven, report.head, report.anchored) == (345, 20, 20, 365, 365)
    assert "Events 1 to 345 lie in archives." in str(report)
    assert [is_there for _, is_there in check_archives(old_settings)] == [True, True]


def test_archives_verify_by_themselves_and_with_what_follows(
    old_trail: Databases, old_settings: Settings, superuser: str, tmp_path: Path
) -> None:
    for _ in LONG_AGO:
        archive_one(old_trail, old_settings, superuser)
    folder = tmp_path / "archives"
    march, april = sorted(folder.glob("*.age"))
    keys, identity = [public_key(old_settings)], str(IDENTITY)
    assert b"medical_record" not in march.read_bytes()
    alone = verify_files([march], keys, checkpoint=_beside(march), identity=identity)
    assert (alone.is_intact, alone.events, alone.anchored) == (True, 300, 300), str(alone)
    second = verify_files([april], keys, checkpoint=_beside(april), identity=identity)
    assert (second.is_intact, second.archived, second.events, second.anchored) == (True, 300, 45, 345), str(second)
    both = verify_files([march, april], keys, checkpoint=_beside(april), identity=identity)
    assert (both.is_intact, both.archived, both.events, both.anchored) == (True, 0, 345, 345), str(both)
    assert not verify_files([april, march], keys, identity=identity).is_intact
    with pytest.raises(Invalid, match="encrypted"):
        verify_files([march], keys)
    with pytest.raises(Invalid, match="can't be decrypted"):
        verify_files([march], keys, identity=str(pyrage.x25519.Identity.generate()))


def _beside(archive: Path) -> Path:
    return archive.with_name(archive.name.removesuffix(".trail.gz.age") + ".checkpoint")


def test_proofs_of_what_is_left_reach_over_what_was_archived(
    old_trail: Databases, old_settings: Settings, superuser: str, tmp_path: Path
) -> None:
    sign(old_trail, old_settings, tmp_path / "before.txt")
    before = {sequence: prove(old_settings, str(sequence)) for sequence in (346, 365)}
    for _ in LONG_AGO:
        archive_one(old_trail, old_settings, superuser)
    for sequence, proof in before.items():
        assert prove(old_settings, str(sequence)) == proof
        assert check_proof(proof, trusted_keys([public_key(old_settings)])).sequence == sequence
    with pytest.raises(Conflict, match="lies in an archive"):
        prove(old_settings, "7")
    # And it grows on: what is sealed from now on is signed over a tree that begins in the archives.
    drain_all(old_trail)
    sign(old_trail, old_settings, tmp_path / "after.txt")
    assert verify(old_settings, checkpoint=tmp_path / "after.txt").is_intact


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_archives",
        "DELETE FROM audit_archives WHERE first = 1",
        "UPDATE audit_archives SET hash = sha256('x') WHERE last = 345",
        "UPDATE audit_archives SET statement = (SELECT statement FROM audit_archives WHERE first = 1) WHERE last = 345",
        "UPDATE audit_archives SET digest = sha256('x') WHERE last = 345",
        "UPDATE audit_archives SET file = 'other' WHERE last = 345",
        "UPDATE audit_archives SET frontier = sha256('x') || substr(frontier, 33) WHERE last = 345",
        "UPDATE audit_archives SET first = 300 WHERE last = 345",
        "DELETE FROM audit_trail WHERE sequence = 346",
    ],
)
def test_security_29_what_a_superuser_does_to_archives_is_found(
    old_trail: Databases, old_settings: Settings, superuser: str, statement: str
) -> None:
    for _ in LONG_AGO:
        archive_one(old_trail, old_settings, superuser)
    with as_superuser(superuser) as connection:
        connection.execute(statement)
    assert not verify(old_settings).is_intact


FROM_A_CHECKPOINT = """
    INSERT INTO audit_archives (
        first, last, hash_before, hash, frontier, note, statement, file, size, digest, sealed_from, sealed_to,
        dropped_at
    ) SELECT 1, sequence, decode(repeat('00', 32), 'hex'), hash, frontier, note, note, 'x', 1, sha256('x'),
        now(), now(), now()
    FROM audit_checkpoints ORDER BY sequence LIMIT 1
"""


def test_security_29_no_checkpoint_passes_for_an_archive(
    old_trail: Databases, old_settings: Settings, superuser: str, tmp_path: Path
) -> None:
    """There is one for nearly every event, signed by our key: whoever deletes the beginning has them at hand."""
    sign(old_trail, old_settings, tmp_path / "first.txt")
    write_events(old_trail, 5)
    drain_all(old_trail)
    later = sign(old_trail, old_settings, tmp_path / "later.txt")
    with as_superuser(superuser) as connection:
        connection.execute(FROM_A_CHECKPOINT)
        connection.execute("DELETE FROM audit_trail WHERE sequence <= 365")
    report = verify(old_settings, checkpoint=later)
    assert {problem.kind for problem in report.problems} >= {"archive", "missing"}


def test_an_archive_that_is_gone_is_no_archive(
    old_trail: Databases, old_settings: Settings, superuser: str
) -> None:
    archive_one(old_trail, old_settings, superuser)
    assert verify(old_settings).is_intact
    [file] = old_settings.archive_folder.glob("*.age")
    file.unlink()
    report = verify(old_settings)
    assert [problem.kind for problem in report.problems] == ["archive"]


def test_what_does_not_hold_together_is_not_archived(
    old_trail: Databases, old_settings: Settings, superuser: str
) -> None:
    with as_superuser(superuser) as connection:
        connection.execute("UPDATE audit_trail SET action = 'nothing.happened' WHERE sequence = 7")
    with pytest.raises(Conflict, match=r"Event 7 .* Nothing was archived"):
        archive_one(old_trail, old_settings, superuser)
    assert "audit_trail_p201903" in partitions(superuser)
    assert list(old_settings.archive_folder.glob("*.age")) == []


def test_without_a_recipient_or_a_place_nothing_leaves(
    old_trail: Databases, old_settings: Settings, superuser: str, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match="age1"):
        archive_one(old_trail, old_settings.model_copy(update={"backup_age_recipient": ""}), superuser)
    (tmp_path / "full").write_text("a file where the folder should be")
    with pytest.raises(Unavailable):
        archive_one(old_trail, old_settings.model_copy(update={"audit_archives": f"file://{tmp_path}/full"}), superuser)
    assert "audit_trail_p201903" in partitions(superuser)


def test_a_run_that_died_leaves_nothing_that_stays(
    old_trail: Databases, old_settings: Settings, superuser: str
) -> None:
    lost = write_archive(old_settings, MARCH)  # and died: nobody refers to this file
    (old_settings.archive_folder / f"{MARCH}-x.trail.gz.age.77.partial").touch()
    with old_trail.session(Principal.WORKER) as session:
        remove_leftovers(session, old_settings, MARCH)
    assert old_settings.archive_folder.exists() and not list(old_settings.archive_folder.iterdir())
    written = write_archive(old_settings, MARCH)
    with old_trail.session(Principal.WORKER) as session:
        remember(session, old_settings, written)
    with old_trail.session(Principal.WORKER) as session:
        remove_leftovers(session, old_settings, MARCH)  # what a row refers to stays
        kept = archive_of(session, last_event(session, MARCH) or 0)
        assert kept is not None and kept.file == written.file
        refuse_changed(old_settings, kept)
        assert len(list(old_settings.archive_folder.iterdir())) == 3
        (old_settings.archive_folder / kept.file).write_bytes(b"x")
        with pytest.raises(Unavailable):
            refuse_changed(old_settings, kept)
    assert lost.digest != written.digest


def test_an_archive_is_a_night_old_before_its_month_leaves(
    old_trail: Databases, old_settings: Settings, superuser: str
) -> None:
    written = write_archive(old_settings, MARCH)
    with old_trail.session(Principal.WORKER) as session:
        remember(session, old_settings, written)
    with pytest.raises(DBAPIError, match="not lain there for a night"), old_trail.session(Principal.WORKER) as session:
        drop_partition(session, MARCH)
    with pytest.raises(DBAPIError, match="permission denied"), old_trail.session(Principal.WORKER) as session:
        session.connection().exec_driver_sql(FORGED.replace("sealed_to)", "sealed_to, created_at)") + ", '2020-01-01'")


def test_what_the_trail_goes_on_from_stays(trail: Databases, old_settings: Settings, superuser: str) -> None:
    """Of an installation that was idle for years: its next event is not number 1 again."""
    write_old_events(trail, superuser, (30, 5))
    archive_one(trail, old_settings, superuser)
    with pytest.raises(DBAPIError, match="holds the newest event"):
        archive_one(trail, old_settings, superuser)
    write_events(trail, 3)
    drain_all(trail)
    assert verify(old_settings).head == 35 + 3 + 2  # and that two months were archived


@pytest.mark.parametrize(
    ("partition", "why"),
    [
        ("audit_trail_p201903", "has no archive"),
        ("audit_trail_p201904", "not the oldest"),
        ("users", "not the oldest"),
    ],
)
def test_the_database_drops_nothing_else(
    old_trail: Databases, old_settings: Settings, superuser: str, partition: str, why: str
) -> None:
    """Whatever the worker asks for."""
    with pytest.raises(DBAPIError, match=why), old_trail.session(Principal.WORKER) as session:
        drop_partition(session, partition)
    assert "audit_trail_p201903" in partitions(superuser)


FORGED = """
    INSERT INTO audit_archives
        (first, last, hash_before, hash, frontier, note, statement, file, size, digest, sealed_from, sealed_to)
    SELECT 1, 300, sha256(''), sha256('x'), sha256(''), '', '', '', 1, sha256(''), now(), now()
"""


def test_a_forged_row_lets_no_partition_go(
    old_trail: Databases, old_settings: Settings, superuser: str
) -> None:
    with old_trail.session(Principal.WORKER) as session:
        session.connection().exec_driver_sql(FORGED)
        with pytest.raises(DBAPIError, match="has no archive"):
            drop_partition(session, MARCH)
        session.rollback()
    # With the true hash, and a day of patience: what the worker may read and write. It is found, for nobody signed it.
    with as_superuser(superuser) as connection:
        hashed = "(SELECT hash FROM audit_trail WHERE sequence = 300)"
        connection.execute(FORGED.replace("sha256('x')", hashed, 1))
    seen = verify(old_settings)
    assert [(problem.kind, problem.sequence) for problem in seen.problems] == [("archive", 1)], "before anything left"
    assert "The archive of events 1 to 300" in str(seen)
    with pytest.raises(Conflict, match="Nothing was archived"):
        write_archive(old_settings, MARCH)
    a_night_passes(superuser)
    with old_trail.session(Principal.WORKER) as session:
        drop_partition(session, MARCH)
    report = verify(old_settings)
    assert {problem.kind for problem in report.problems} >= {"archive", "missing"}


def test_an_archive_is_proven_before_its_month_leaves(
    old_trail: Databases, old_settings: Settings, superuser: str
) -> None:
    """A good one as well as what is wrong with it; the trail itself begins where it did."""
    archive_one(old_trail, old_settings, superuser)
    written = write_archive(old_settings, "audit_trail_p201904")
    with old_trail.session(Principal.WORKER) as session:
        remember(session, old_settings, written)
    report = verify(old_settings)
    assert (report.is_intact, report.archived, report.head) == (True, 300, 365), str(report)
    for statement in ("size = 7", "first = 302", "statement = note", "hash = sha256('x')", "frontier = ''"):
        with as_superuser(superuser) as connection, connection.transaction(force_rollback=True):
            connection.execute(f"UPDATE audit_archives SET {statement} WHERE last = 345")
            _, wrong = proven_start(connection, signer_of(old_settings).trusted)
        assert len(wrong) == 1, statement
    (old_settings.archive_folder / written.file).unlink()
    assert [problem.kind for problem in verify(old_settings).problems] == ["archive"]


def test_the_database_keeps_what_the_policy_keeps_whatever_the_worker_asks(
    old_trail: Databases, old_settings: Settings, superuser: str, server: DatabaseServer, trail_database: str
) -> None:
    """The worker may neither change the policy nor let go of a month that is younger than it."""
    engine = make_engine(server.urls(trail_database)[Principal.MIGRATOR], pool_size=1)
    try:
        note_policy(engine, old_settings.model_copy(update={"audit_keep_months": 600}))
        with pytest.raises(DBAPIError, match="is kept for 600 months"):
            archive_one(old_trail, old_settings, superuser)
        for statement in ("UPDATE audit_policy SET keep_months = 12", "DELETE FROM audit_policy"):
            with pytest.raises(DBAPIError, match="permission denied"), old_trail.session(Principal.WORKER) as session:
                session.connection().exec_driver_sql(statement)
        assert MARCH in partitions(superuser)
    finally:
        note_policy(engine, old_settings)
        engine.dispose()
    with old_trail.session(Principal.WORKER) as session:
        drop_partition(session, MARCH)
    assert MARCH not in partitions(superuser), "as soon as it is old enough"


def test_what_is_young_stays_whatever_is_asked(trail: Databases, trail_settings: Settings, superuser: str) -> None:
    with as_superuser(superuser) as connection:
        connection.execute("DROP TABLE IF EXISTS audit_trail_p201903, audit_trail_p201904")
    youngest = partitions(superuser)[0]
    with pytest.raises(DBAPIError, match="is kept for 60 months"), trail.session(Principal.WORKER) as session:
        drop_partition(session, youngest)


def test_an_archive_that_is_gone_or_changed_is_named(
    old_trail: Databases, old_settings: Settings, superuser: str
) -> None:
    for _ in LONG_AGO:
        archive_one(old_trail, old_settings, superuser)
    march, april = sorted(old_settings.archive_folder.glob("*.age"))
    march.unlink()
    april.write_bytes(april.read_bytes() + b"x")
    lines = list(check_archives(old_settings))
    assert [is_there for _, is_there in lines] == [False, False]
    assert "NOT THERE" in lines[0][0]
    assert "CHANGED" in lines[1][0]
