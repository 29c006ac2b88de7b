"""Recompute the trail's chain and say what was edited, deleted, moved or put in.

The trail is streamed in the order of its sequence through a server-side cursor, so memory stays constant. An
event is *proven* when its hash follows from the one before and its own content. Checking goes on behind a
break, from the hash that is stored there, so that every bad event is named and not the first alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from config import Principal, Settings
from services.audit_chain import (
    GENESIS,
    ID,
    SEALED_AT,
    SEQUENCE,
    TEXT_SETTINGS,
    Row,
    canonical,
    link,
    text_columns,
)
from services.audit_checkpoint import Checkpoint, signer_of
from services.errors import Invalid
from services.signed_note import NoteError, VerifierKey

FETCH = 2_000  # rows a round trip
MOST_NAMED = 1_000  # problems kept in words; more are counted

TRAIL = f"SELECT {text_columns('t')}, t.hash FROM audit_trail t ORDER BY t.sequence, t.sealed_at, t.id"
CHECKPOINTS = "SELECT sequence, hash, note FROM audit_checkpoints ORDER BY sequence"

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at one event, or from ``sequence`` to ``last``.

    ``kind``: ``changed`` (the event does not match its hash), ``rehashed`` (its content is proven by the event
    after it, its stored hash was changed), ``unlinked`` (it does not follow from the event before as stored,
    which is itself not proven: its own content may be untouched), ``missing``, ``inserted`` (a second event
    of one number, or one before the first), ``moved`` (sealed earlier than the event before it),
    ``checkpoint`` (a signed statement that the trail contradicts, or that nobody known has signed).
    """

    kind: str
    sequence: int
    text: str
    last: int | None = None
    event_id: str | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(slots=True)
class Report:
    """What a verification found. ``unanchored``: events after the newest good checkpoint held elsewhere (all,
    without one); ``proven``: how many events follow from the one before and their own content."""

    events: int = 0
    proven: int = 0
    head: int = 0
    head_hash: bytes = GENESIS
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    anchored: int | None = None  # sequence of the given checkpoint, when the trail agrees with it
    stored_checkpoints: int = 0
    seconds: float = 0.0

    @property
    def is_intact(self) -> bool:
        return self.problem_count == 0

    @property
    def unanchored(self) -> int:
        return max(self.head - (self.anchored or 0), 0)

    def add(self, problem: Problem) -> None:
        self.problem_count += 1
        if len(self.problems) < MOST_NAMED:
            self.problems.append(problem)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems]
        if self.problem_count > len(self.problems):
            lines.append(f"… and {self.problem_count - len(self.problems)} more")
        if self.anchored is not None:
            lines.append(f"The checkpoint holds: events 1 to {self.anchored} are what was signed.")
        lines.append(
            f"{self.unanchored} events are not yet anchored by a checkpoint kept elsewhere"
            + ("." if self.unanchored else ": everything is.")
        )
        verdict = "intact" if self.is_intact else f"NOT INTACT, {self.problem_count} problems"
        rate = f"{self.events / self.seconds:,.0f}/s" if self.seconds else "-"
        lines.append(
            f"{self.events} events, {self.proven} proven, head {self.head} {self.head_hash.hex()}, {rate}: {verdict}"
        )
        return "\n".join(lines)


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
    try:
        trusted = [VerifierKey.parse(key) for key in keys] or [VerifierKey(signer_of(settings).verifier.public)]
    except NoteError as error:
        raise Invalid(str(error)) from None
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
    check = ChainCheck(report)
    started = time.monotonic()
    with _streamed(connection, "stored", CHECKPOINTS) as stored, _streamed(connection, "trail", TRAIL) as trail:
        signed = _Signed(report, list(keys), note, stored)
        total = connection.execute("SELECT max(sequence) FROM audit_trail").fetchone() if progress else None
        for row in trail:
            check.add(row[:-1], row[-1])
            if check.sequence >= signed.next:
                signed.meet(check)
            if progress is not None and report.events % FETCH == 0:
                progress(report.events, total[0] if total else None)
        check.finish()
        signed.finish()
    connection.rollback()
    report.seconds = time.monotonic() - started
    return report


@contextmanager
def _streamed(connection: psycopg.Connection[TupleRow], name: str, statement: str) -> Iterator[Iterable[Any]]:
    with connection.cursor(name) as cursor:
        cursor.itersize = FETCH
        cursor.execute(statement)
        yield cursor


class ChainCheck:
    """Takes events in the order of their sequence and writes what is wrong with them into a report.

    Of one sequence number several rows may come; the one that is proven, else the first, is taken as the
    event, and the rest as put in.
    """

    def __init__(self, report: Report, *, sequence: int = 0, head: bytes = GENESIS) -> None:
        self._report = report
        self.sequence = sequence  # of the newest event taken
        self.hash = head  # its stored hash
        self.is_proven = True
        self._first = sequence + 1
        self._sealed_at = ""
        # What the event before was, for a second row of the same number.
        self._before: tuple[bytes, bool, bytes | None] = (head, True, None)
        # Had the event's content been hashed as it is now: tells a changed hash from changed content.
        self._would_be: bytes | None = None
        self._pending: Problem | None = None

    def add(self, row: Row, stored: bytes) -> None:
        """One event: its ``COLUMNS`` as text, and its stored hash."""
        report = self._report
        report.events += 1
        sequence = int(row[SEQUENCE] or 0)
        if sequence <= self.sequence or sequence < self._first:
            self._add_second(row, stored, sequence)
            return
        if sequence > self.sequence + 1:
            self._settle()
            report.add(_missing(self.sequence + 1, sequence - 1))
            self.is_proven, self._would_be = False, None
        self._before = (self.hash, self.is_proven, self._would_be)
        self._take(row, stored, sequence)

    def _take(self, row: Row, stored: bytes, sequence: int) -> None:
        event = _canonical_or_none(row)
        previous, was_proven, would_be = self._before
        follows = event is not None and link(previous, event) == stored
        # The hash the event before should have had leads here: its content is what it was, its hash is not.
        rescues = event is not None and not follows and would_be is not None and link(would_be, event) == stored
        if rescues and self._pending is not None:
            self._pending = _problem("rehashed", self._pending.sequence, self._pending.event_id)
        self._settle()
        self.sequence, self.hash = sequence, stored
        self._would_be = None
        if follows or rescues:
            self.is_proven = True
            self._report.proven += 1
        else:
            self._pending = _problem("changed" if was_proven else "unlinked", sequence, row[ID])
            self.is_proven = False
            if event is not None and was_proven:
                self._would_be = link(previous, event)
        sealed_at = row[SEALED_AT] or ""
        if sealed_at < self._sealed_at and self.is_proven:
            self._report.add(_problem("moved", sequence, row[ID]))
        self._sealed_at = max(sealed_at, self._sealed_at) if self.is_proven else self._sealed_at

    def _add_second(self, row: Row, stored: bytes, sequence: int) -> None:
        """A row whose number is taken. When it is the proven one of the two, they change places."""
        event = _canonical_or_none(row)
        previous, was_proven, _ = self._before
        taken = self._pending if sequence == self.sequence and was_proven else None
        if taken is not None and event is not None and link(previous, event) == stored:
            self._report.add(_problem("inserted", sequence, taken.event_id))
            self._pending = None
            self._take(row, stored, sequence)
            return
        self._report.add(_problem("inserted", sequence, row[ID]))

    def _settle(self) -> None:
        if self._pending is not None:
            self._report.add(self._pending)
            self._pending = None

    def finish(self) -> None:
        """After the last event."""
        self._settle()
        self._report.head, self._report.head_hash = self.sequence, self.hash


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
            if (given.sequence, given.hash) == (check.sequence, check.hash):
                self._report.anchored = given.sequence
            else:
                self._report.add(_contradicted("The checkpoint given", given.sequence))
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
        if (signed.sequence, signed.hash) != (check.sequence, check.hash):
            self._report.add(_contradicted("A stored checkpoint", signed.sequence))

    def finish(self) -> None:
        """After the last event: what is signed and not there was cut off."""
        beyond = [self._given.sequence] if self._given is not None else []
        while self._waiting is not None:
            beyond.append(self._waiting[0])
            self._advance()
        if beyond:
            self._report.add(_missing(self._report.head + 1, max(beyond), "by a signed checkpoint"))


def _canonical_or_none(row: Row) -> bytes | None:
    try:
        return canonical(row)
    except ValueError:
        return None


def _missing(first: int, last: int, known: str = "by the events around them") -> Problem:
    what = f"Event {first} is" if first == last else f"Events {first} to {last} are"
    return Problem("missing", first, f"{what} missing: known {known}.", last=last)


def _contradicted(what: str, sequence: int) -> Problem:
    text = f"{what} of event {sequence} has another hash: the trail up to there is not the one that was signed."
    return Problem("checkpoint", sequence, text)


_WORDS = {
    "changed": "does not match its hash: its content was changed, or the event before it was and got a new hash",
    "rehashed": "has a changed hash; its content is what it was",
    "unlinked": "does not follow from the event before it as that is stored; its own content may be what it was",
    "inserted": "was put in: its number belongs to another event",
    "moved": "was sealed earlier than the event before it",
}


def _problem(kind: str, sequence: int, event_id: str | None) -> Problem:
    return Problem(kind, sequence, f"Event {sequence} ({event_id}) {_WORDS[kind]}.", event_id=event_id)
