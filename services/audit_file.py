"""The trail as a file that is verified without the system it came from.

Lines of UTF-8. The first is ``sigilo-trail/1``, a space, the sequence of the first event, a space, and the chain hash
before it in hex (64 zeros for a trail from its beginning); where earlier events lie in other files, also a space and
the frontier of the Merkle tree over them in hex (``services/merkle.py``), so that a checkpoint can be checked against
its root. Then one line for each event, in the order of its sequence: its chain hash in hex, a space, and its canonical
form (``services/audit_chain.py``, which has all it takes to check it). As gzip where the name ends in ``.gz``.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson
import psycopg
from psycopg.rows import TupleRow

from config import Principal, Settings
from models.connection import connect
from services.age_stream import decrypted
from services.audit_chain import GENESIS, SEQUENCE, TEXT_SETTINGS, canonical, text_columns
from services.audit_chain_check import ChainCheck, SealedEvent
from services.audit_event import SYSTEM, Event
from services.audit_read import write_event
from services.audit_report import Progress
from services.audit_start import HOLD, Start, online_start
from services.errors import Invalid
from services.merkle import Tree
from services.read_ahead import read_ahead

NO_TRAIL = "This is no exported trail: its first line should begin with sigilo-trail/1."
BREAKS_OFF = "The file is damaged or breaks off: nothing behind that can be read."
FORMAT = "sigilo-trail/1"
FETCH = 2_000  # rows a round trip
HEX = 64
LONGEST_LINE = 4_000_000  # bytes; a list names a hundred ids at most
GZIP = b"\x1f\x8b"
AGE = b"age-encryption.org"
DAMAGED = (EOFError, OSError, zlib.error)  # what reading a packed file may end in
FIRST_LINE = re.compile(FORMAT.encode() + rb" ([1-9]\d{0,17}) ([0-9a-f]{64})(?: ((?:[0-9a-f]{64})+))?\n")
LONGEST_FIRST_LINE = 10_000
TRAIL = f"SELECT {text_columns('t')}, t.hash FROM audit_trail t ORDER BY t.sequence, t.sealed_at, t.id"


def write_file(settings: Settings, path: Path, *, progress: Progress | None = None) -> int:
    """Write the whole trail to ``path``, which must not exist; gives how many events. It is an act of the operator, and
    audited as one. Raises Invalid."""
    if path.exists():
        raise Invalid(f"{path} exists. Name a file that doesn't.")
    with connect(settings.url_for(Principal.AUDITOR)) as connection:
        write_event(connection, SYSTEM, Event("trail.export", "audit_event"))
        connection.commit()
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute(HOLD)
        connection.execute(TEXT_SETTINGS)
        start = online_start(connection)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")  # a file with the name is a whole one
        try:
            with _made(partial, is_gzip=path.suffix == ".gz") as file:
                count = _write(connection, file, start, progress)
            os.link(partial, path)  # unlike a rename, never over another
        except FileExistsError:
            raise Invalid(f"{path} exists. Name a file that doesn't.") from None
        finally:
            partial.unlink(missing_ok=True)
    return count


def _write(
    connection: psycopg.Connection[TupleRow], file: IO[bytes], start: Start, progress: Progress | None
) -> int:
    total = connection.execute("SELECT count(*) FROM audit_trail").fetchone()
    count = 0
    file.write(first_line(start))
    with connection.cursor("audit_file") as rows:
        rows.itersize = FETCH
        for *row, stored in read_ahead(rows.execute(TRAIL)):
            try:
                event = canonical(row)
            except ValueError:
                raise Invalid(f"Event {row[SEQUENCE]} holds what no event can: run `sigilo audit verify`.") from None
            file.write(line_of(stored, event))
            count += 1
            if progress is not None and count % FETCH == 0:
                progress(count, total[0] if total else None)
    return count


def first_line(start: Start) -> bytes:
    line = f"{FORMAT} {start.sequence + 1} {start.head.hex()}"
    if start.sequence and start.tree is not None:
        line += f" {start.tree.packed().hex()}"
    return f"{line}\n".encode()


def line_of(stored: bytes, event: bytes) -> bytes:
    """The line of an event with its chain hash and canonical form."""
    return stored.hex().encode() + b" " + event + b"\n"


@contextmanager
def _made(path: Path, *, is_gzip: bool) -> Iterator[IO[bytes]]:
    """For this account alone: it says who saw whom."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as raw:
        if is_gzip:
            with gzip.open(raw, "wb", compresslevel=6) as packed:
                yield packed  # type: ignore[misc]
        else:
            yield raw
        raw.flush()
        os.fsync(raw.fileno())


@contextmanager
def opened(path: Path, identity: str | None = None) -> Iterator[IO[bytes]]:
    """The lines of an export, whether it is packed or not; an encrypted one takes the age ``identity`` that it was
    encrypted to. Raises Invalid."""
    with path.open("rb") as raw:
        start = raw.read(len(AGE))
        raw.seek(0)
        if start == AGE:
            if identity is None:
                raise Invalid(f"{path} is encrypted: name the file with its age identity, --identity.")
            with decrypted(raw, identity) as packed, gzip.open(packed) as unpacked:
                yield unpacked  # type: ignore[misc]
        elif start.startswith(GZIP):
            with gzip.open(raw) as unpacked:
                yield unpacked  # type: ignore[misc]
        else:
            yield raw


def begin(file: IO[bytes]) -> Start:
    """What the first line says came before its events. Raises Invalid."""
    try:
        found = FIRST_LINE.fullmatch(file.readline(LONGEST_FIRST_LINE))
    except DAMAGED:
        raise Invalid(BREAKS_OFF) from None
    if found is None:
        raise Invalid(NO_TRAIL)
    before, head = int(found[1]) - 1, bytes.fromhex(found[2].decode())
    frontier = bytes.fromhex((found[3] or b"").decode())
    if before == 0:
        if head != GENESIS or frontier:
            raise Invalid(NO_TRAIL)
        return Start()
    if not frontier:
        return Start(before, head, None)
    try:
        return Start(before, head, Tree.unpack(before, frontier))
    except ValueError:
        raise Invalid(NO_TRAIL) from None


def events(file: IO[bytes], check: ChainCheck) -> Iterator[tuple[SealedEvent, bytes]]:
    """What the lines after the first say. A line that is no event stands for the one that ``check`` expects next, and
    proves nothing. Raises Invalid where a packed file breaks off."""
    try:
        while line := file.readline(LONGEST_LINE):
            yield _event(line, check.sequence + 1)
    except DAMAGED:
        raise Invalid(BREAKS_OFF) from None


def _event(line: bytes, expected: int) -> tuple[SealedEvent, bytes]:
    form = line[HEX + 1 :].removesuffix(b"\n")
    try:
        stored = bytes.fromhex(line[:HEX].decode("ascii"))
        said: Any = orjson.loads(form)
        event = SealedEvent(int(said["sequence"]), str(said["id"]), str(said["sealed_at"]), form)
    except (ValueError, KeyError, TypeError):
        return SealedEvent(expected, None, "", None), b""
    # Written in another way, it would be another file that says the same.
    is_plain = line.startswith(stored.hex().encode() + b" ") and line.endswith(b"\n")
    return (event, stored) if is_plain else (SealedEvent(expected, None, "", None), b"")
