"""Take the oldest month of the trail out of the database, when it is older than the clinic keeps online.

It is written into a file (``services/audit_file.py``), as gzip, encrypted with age, with what is signed of it beside
it: the checkpoint of its last event, and a statement of the archive. Every event is checked on the way, what lies in
the file is read back, and a row remembers it. A day later it is read again, and the partition goes, by a function that
lets nothing else go. Dying in between costs a file that nobody refers to, which the next run removes.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, cast

import psycopg
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from config import Principal, Settings
from integrations.storage import FolderStorage, StorageUnavailable, Writing
from models import AuditArchive, AuditCheckpoint
from models.connection import connect
from models.engine import driver_connection
from services.age_stream import encrypted, recipient_of
from services.audit_chain import SEALED_AT, TEXT_SETTINGS, text_columns
from services.audit_chain_check import ChainCheck, sealed_event
from services.audit_checkpoint import sign_event, signer_of
from services.audit_event import SYSTEM, Event, record
from services.audit_file import FETCH, first_line, line_of
from services.audit_report import Report
from services.audit_start import HOLD, Archive, Start, proven_start
from services.audit_tree import keep_nodes
from services.errors import Conflict, Unavailable
from services.merkle import Tree

# The oldest partition, when its month ended so many months ago.
DUE = text("""
    SELECT name FROM (
        SELECT min(c.relname) AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'audit_trail'::regclass
    ) oldest
    WHERE to_date(right(name, 6), 'YYYYMM') + interval '1 month' <= :now - :months * interval '1 month'
""")
# By the bounds of its month: no role reads a partition but through the whole.
MONTH = "t.sealed_at >= %(month)s AND t.sealed_at < %(month)s + interval '1 month'"
LAST = f"SELECT t.sequence FROM audit_trail t WHERE {MONTH} ORDER BY t.sequence DESC LIMIT 1"
EVENTS = f"SELECT {text_columns('t')}, t.hash FROM audit_trail t WHERE {MONTH} ORDER BY t.sequence"
ENDING = ".trail.gz.age"
DROP = text("SELECT audit_trail_drop_archived(:partition)")


@dataclass(frozen=True, slots=True)
class Written:
    """A file of the events ``first`` to ``last``, which hold together, and the tree up to the last."""

    file: str
    size: int
    digest: bytes
    start: Start
    last: int
    head: bytes
    tree: Tree
    sealed_from: datetime
    sealed_to: datetime


def due_partition(session: Session, settings: Settings, now: datetime | None = None) -> str | None:
    """The partition to archive next; None when all are young enough."""
    given = {"now": now or datetime.now(UTC), "months": settings.audit_keep_months}
    name: str | None = session.scalar(DUE, given)
    return name


def last_event(session: Session, partition: str) -> int | None:
    """The number of the partition's last event; None when it holds none."""
    found = driver_connection(session).execute(LAST, {"month": _month(partition)}).fetchone()
    return None if found is None else found[0]


def _month(partition: str) -> datetime:
    return datetime.strptime(partition[-6:], "%Y%m").replace(tzinfo=UTC)


def archive_of(session: Session, last: int) -> AuditArchive | None:
    return session.get(AuditArchive, last)


def refuse_changed(settings: Settings, archive: AuditArchive) -> None:
    """Read the file to its end, a moment before the database forgets what is in it. Raises Unavailable."""
    try:
        found = FolderStorage(settings.archive_folder).measure(archive.file)
    except StorageUnavailable as error:
        raise Unavailable(f"The archive can't be read, so nothing leaves the database: {error}.") from error
    if found != (archive.size, archive.digest):
        raise Unavailable("What was written into the archive is not what lies there.")


def remove_leftovers(session: Session, settings: Settings, partition: str) -> None:
    """What runs that died left of this partition, and no row refers to."""
    storage = FolderStorage(settings.archive_folder)
    named = set(session.scalars(select(AuditArchive.file)))
    for name in storage.names(partition):
        if not any(name.startswith(file.removesuffix(ENDING)) for file in named):
            storage.remove(name)


def write_archive(settings: Settings, partition: str) -> Written:
    """Write the partition's file and read it back. Raises Conflict when its events don't hold together, Unavailable
    when it can't be stored, Invalid without an age recipient."""
    recipient_of(settings.backup_age_recipient)
    storage = FolderStorage(settings.archive_folder)
    with connect(settings.url_anew(Principal.WORKER)) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute(HOLD)
        connection.execute(TEXT_SETTINGS)
        start, wrong = proven_start(connection, signer_of(settings).trusted)
        if wrong:
            raise Conflict(f"{wrong[0]} Nothing was archived: run `sigilo audit verify`.")
        name = f"{partition}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{ENDING}"
        try:
            with storage.writing(name) as target:
                check, moments = _write(connection, partition, start, target, settings.backup_age_recipient)
            if storage.measure(name) != (target.size, target.digest):
                raise Unavailable("What was written into the archive is not what lies there.")
        except StorageUnavailable as error:
            raise Unavailable(f"The archive can't be written: {error}.") from error
    return _written(name, target, start, check, moments)


def _write(
    connection: psycopg.Connection[Any], partition: str, start: Start, target: Writing, recipient: str
) -> tuple[ChainCheck, tuple[str, str]]:
    report = Report()
    check = ChainCheck(report, start)
    moments = ("", "")
    with (
        encrypted(cast(IO[bytes], target), recipient) as cipher,
        gzip.GzipFile(fileobj=cipher, mode="wb", compresslevel=6) as file,
        connection.cursor("audit_archive") as rows,
    ):
        file.write(first_line(start))
        rows.itersize = FETCH
        for *row, stored in rows.execute(EVENTS, {"month": _month(partition)}):
            event = sealed_event(row)
            check.add(event, stored)
            file.write(line_of(stored, event.canonical or b""))
            moments = (moments[0] or str(row[SEALED_AT]), str(row[SEALED_AT]))
    check.finish()
    if not report.is_intact:
        raise Conflict(f"{report.problems[0]} Nothing was archived: run `sigilo audit verify`.")
    return check, moments


def _written(name: str, target: Writing, start: Start, check: ChainCheck, moments: tuple[str, str]) -> Written:
    if check.tree is None or check.sequence == start.sequence:
        raise Conflict("The archive holds no events that could be signed: run `sigilo audit verify`.")
    first, last = (datetime.fromisoformat(moment) for moment in moments)
    return Written(name, target.size, target.digest, start, check.sequence, check.hash, check.tree, first, last)


def remember(session: Session, settings: Settings, written: Written) -> None:
    """Sign the archive's last event and the archive, lay both beside the file, and keep the row.

    Raises Conflict when what was signed is not what was written, Unavailable when the note can't be stored.
    """
    signed: AuditCheckpoint = sign_event(session, signer_of(settings), written.last)
    if (signed.hash, signed.root) != (written.head, written.tree.root()):
        raise Conflict(f"The archive up to event {written.last} is not what was signed: run `sigilo audit verify`.")
    first, root = written.start.sequence + 1, written.tree.root()
    archive = Archive(
        first, written.last, written.start.head, written.head, root, written.file, written.size, written.digest
    )
    statement = signer_of(settings).sign(archive.text())
    _lay_beside(settings, written.file, ".checkpoint", signed.note)
    _lay_beside(settings, written.file, ".statement", statement)
    # Without the columns that are the database's own to fill.
    session.execute(
        insert(AuditArchive).values(
            first=first, last=written.last, hash_before=written.start.head, hash=written.head,
            frontier=written.tree.packed(), note=signed.note, statement=statement, file=written.file, size=written.size,
            digest=written.digest, sealed_from=written.sealed_from, sealed_to=written.sealed_to,
        )
    )  # fmt: skip
    keep_nodes(session, written.tree.subtrees())
    record(session, SYSTEM, Event("trail.archive", "audit_event"))


def _lay_beside(settings: Settings, file: str, ending: str, note: str) -> None:
    """What is signed, beside the archive, so that all can be carried away together."""
    try:
        with FolderStorage(settings.archive_folder).writing(file.removesuffix(ENDING) + ending) as target:
            target.write(note.encode())
    except StorageUnavailable as error:
        raise Unavailable(f"What is signed of the archive can't be written: {error}.") from error


def drop_partition(session: Session, partition: str) -> None:
    """Drop what was archived, or a month without events. Raises DBAPIError when the database finds no archive of it."""
    session.execute(DROP, {"partition": partition})
