"""Recompute the trail's chain and say what was edited, deleted, moved or put in.

The trail is streamed in the order of its sequence through a server-side cursor, so memory stays constant. An
event is *proven* when its hash follows from the one before and its own content. Checking goes on behind a
break, from the hash that is stored there, so that every bad event is named and not the first alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from config import Principal, Settings
from services.audit_chain import TEXT_SETTINGS
from services.audit_chain_check import ChainCheck, SealedEvent, sealed_event
from services.audit_checkpoint import Checkpoint, signer_of, trusted_keys
from services.audit_file import TRAIL, begin, events, opened
from services.audit_report import Problem, Progress, Report, contradicted, missing
from services.errors import Invalid
from services.signed_note import NoteError, VerifierKey

FETCH = 2_000  # rows a round trip

CHECKPOINTS = "SELECT sequence, hash, note FROM audit_checkpoints ORDER BY sequence"


def verify(
    settings: Settings,
    *,
    checkpoint: Path | None = None,
    keys: Sequence[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Verify the installation's trail as the auditor role, which may only read.

    ``checkpoint`` names a file with a checkpoint kept elsewhere; ``keys`` are verifier keys to trust, by
    default the one of AUDIT_SIGNING_KEY. Raises Invalid when a key or the file can't be used at all.
    """
    trusted = trusted_keys(keys) or [signer_of(settings).own_key]
    note = None if checkpoint is None else checkpoint.read_text(encoding="utf-8", errors="replace")
    with psycopg.connect(settings.url_for(Principal.AUDITOR), connect_timeout=10) as connection:
        return verify_trail(connection, trusted, note=note, progress=progress)


def verify_trail(
    connection: psycopg.Connection[TupleRow],
    keys: Sequence[VerifierKey],
    *,
    note: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify the trail that ``connection`` (not in autocommit) sees, in one read-only snapshot.

    ``note`` is a checkpoint kept elsewhere. The checkpoints in the database are checked too, but prove less:
    whoever can rewrite the trail can delete them.
    """
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    connection.execute(TEXT_SETTINGS)
    report = Report()
    with _streamed(connection, "stored", CHECKPOINTS) as stored, _streamed(connection, "trail", TRAIL) as trail:
        total = connection.execute("SELECT max(sequence) FROM audit_trail").fetchone() if progress else None
        sealed = ((sealed_event(row), stored_hash) for *row, stored_hash in trail)
        signed = _Signed(report, list(keys), note, stored)
        _run(sealed, ChainCheck(report), signed, report, progress, total[0] if total else None)
    connection.rollback()
    return report


def verify_file(
    path: Path, keys: Sequence[str], *, checkpoint: Path | None = None, progress: Progress | None = None
) -> Report:
    """Verify an exported trail (``services/audit_file.py``) with nothing but public ``keys``, in constant memory.

    Without a ``checkpoint`` it says whether the events hold together, and anchors none. Raises Invalid when the file is
    no export or breaks off, and when a key or the checkpoint can't be used.
    """
    note = None if checkpoint is None else checkpoint.read_text(encoding="utf-8", errors="replace")
    if note is not None and not keys:
        raise Invalid("Name the key that signed the checkpoint: --key, as `sigilo audit key` prints it.")
    report = Report()
    with opened(path) as file:
        first, before = begin(file)
        if first > 1:
            report.add(missing(1, first - 1, "by where the file begins"))
        check = ChainCheck(report, sequence=first - 1, head=before)
        signed = _Signed(report, trusted_keys(keys), note, ())
        _run(events(file, check), check, signed, report, progress, None)
    return report


def _run(
    sealed: Iterable[tuple[SealedEvent, bytes]],
    check: ChainCheck,
    signed: _Signed,
    report: Report,
    progress: Progress | None,
    total: int | None,
) -> None:
    """Take every event, with its stored hash, and meet what was signed about it."""
    started = time.monotonic()
    for event, stored in sealed:
        check.add(event, stored)
        if check.sequence >= signed.next:
            signed.meet(check)
        if progress is not None and report.events % FETCH == 0:
            progress(report.events, total)
    check.finish()
    signed.finish()
    report.seconds = time.monotonic() - started


@contextmanager
def _streamed(connection: psycopg.Connection[TupleRow], name: str, statement: str) -> Iterator[Iterable[Any]]:
    with connection.cursor(name) as cursor:
        cursor.itersize = FETCH
        cursor.execute(statement)
        yield cursor


class _Signed:
    """The signed statements about the chain, met in the order of their sequence."""

    def __init__(
        self,
        report: Report,
        keys: list[VerifierKey],
        note: str | None,
        stored: Iterable[tuple[int, bytes, str]],
    ) -> None:
        self._report = report
        self._keys = keys
        self._stored = iter(stored)
        self._waiting: tuple[int, bytes, str] | None = None
        self._given: Checkpoint | None = None
        if note is not None:
            try:
                self._given = Checkpoint.open(note, keys)
            except NoteError as error:
                report.add(Problem("checkpoint", 0, f"The checkpoint given: {error}."))
        self._advance()

    def _advance(self) -> None:
        self._waiting = next(self._stored, None)
        self._aim()

    def _aim(self) -> None:
        """``next``: the sequence at which there is something to compare."""
        ahead = [self._waiting[0]] if self._waiting is not None else []
        if self._given is not None:
            ahead.append(self._given.sequence)
        self.next: float = min(ahead, default=float("inf"))

    def meet(self, check: ChainCheck) -> None:
        """Compare every statement up to the event that ``check`` has just taken."""
        while self._waiting is not None and self._waiting[0] <= check.sequence:
            self._compare_stored(check, *self._waiting)
            self._advance()
        if self._given is not None and self._given.sequence <= check.sequence:
            given, self._given = self._given, None
            if _agrees(given, check):
                self._report.anchored = given.sequence
            else:
                self._report.add(contradicted("The checkpoint given", given.sequence))
            self._aim()

    def _compare_stored(self, check: ChainCheck, sequence: int, head: bytes, note: str) -> None:
        self._report.stored_checkpoints += 1
        try:
            signed = Checkpoint.open(note, self._keys)
        except NoteError as error:
            text = f"The stored checkpoint of event {sequence}: {error}."
            self._report.add(Problem("checkpoint", sequence, text))
            return
        if (signed.sequence, signed.hash) != (sequence, head):
            text = f"The stored checkpoint of event {sequence} is not the one that was signed."
            self._report.add(Problem("checkpoint", sequence, text))
        if not _agrees(signed, check):
            self._report.add(contradicted("A stored checkpoint", signed.sequence))

    def finish(self) -> None:
        """After the last event: what is signed and not there was cut off."""
        beyond = [self._given.sequence] if self._given is not None else []
        while self._waiting is not None:
            beyond.append(self._waiting[0])
            self._advance()
        if beyond:
            self._report.add(missing(self._report.head + 1, max(beyond), "by a signed checkpoint"))


def _agrees(signed: Checkpoint, check: ChainCheck) -> bool:
    """Whether the events that ``check`` took are the ones that were signed, by chain and by tree."""
    if (signed.sequence, signed.hash) != (check.sequence, check.hash):
        return False
    return signed.root is None or check.tree is None or signed.root == check.tree.root()
