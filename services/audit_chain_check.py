"""Whether events follow from one another: each event taken in turn, and what is wrong with it named."""

from __future__ import annotations

from typing import NamedTuple

from services.audit_chain import ID, SEALED_AT, SEQUENCE, Row, canonical, link
from services.audit_report import Problem, Report, missing, problem_at
from services.audit_start import Start
from services.merkle import leaf_hash


class SealedEvent(NamedTuple):  # made a million times over; a frozen dataclass takes twice as long
    """What the chain says of one event. ``canonical`` is None where it holds what no event can."""

    sequence: int
    id: str | None
    sealed_at: str
    canonical: bytes | None


def sealed_event(row: Row) -> SealedEvent:
    """From its ``COLUMNS`` as text."""
    try:
        form = canonical(row)
    except ValueError:
        form = None
    return SealedEvent(int(row[SEQUENCE] or 0), row[ID], row[SEALED_AT] or "", form)


class ChainCheck:
    """Takes events in the order of their sequence and writes what is wrong with them into a report.

    Of one sequence number several rows may come; the one that is proven, else the first, is taken as the
    event, and the rest as put in.
    """

    def __init__(self, report: Report, start: Start) -> None:
        self._report = report
        self.sequence = start.sequence  # of the newest event taken
        self.hash = start.head  # its stored hash
        # Over the events up to there, as long as each is proven: behind a break its root would say nothing new.
        self.tree = start.tree
        self.is_proven = True
        self._first = start.sequence + 1
        self._sealed_at = ""
        # What the event before was, for a second row of the same number.
        self._before: tuple[bytes, bool, bytes | None] = (start.head, True, None)
        # Had the event's content been hashed as it is now: tells a changed hash from changed content.
        self._would_be: bytes | None = None
        self._pending: Problem | None = None

    def add(self, event: SealedEvent, stored: bytes) -> None:
        """One event, and its stored hash."""
        if self._pending is None and self.is_proven and self._is_next(event, stored):
            return
        report = self._report
        report.events += 1
        sequence = event.sequence
        if sequence <= self.sequence or sequence < self._first:
            self._add_second(event, stored)
            return
        if sequence > self.sequence + 1:
            self._settle()
            report.add(missing(self.sequence + 1, sequence - 1))
            self.is_proven, self._would_be = False, None
        self._before = (self.hash, self.is_proven, self._would_be)
        self._take(event, stored)

    def _is_next(self, event: SealedEvent, stored: bytes) -> bool:
        """Whether it is the next of an intact trail, and so taken already: the short way of nearly every event."""
        form, sequence = event.canonical, event.sequence
        if form is None or sequence != self.sequence + 1 or event.sealed_at < self._sealed_at:
            return False
        if link(self.hash, form) != stored:
            return False
        self._before = (self.hash, True, None)
        self.sequence, self.hash, self._would_be, self._sealed_at = sequence, stored, None, event.sealed_at
        if self.tree is not None and self.tree.size == sequence - 1:
            self.tree.add(leaf_hash(form))
        else:
            self.tree = None
        self._report.events += 1
        self._report.proven += 1
        return True

    def _take(self, event: SealedEvent, stored: bytes) -> None:
        form, sequence = event.canonical, event.sequence
        previous, was_proven, would_be = self._before
        follows = form is not None and link(previous, form) == stored
        # The hash the event before should have had leads here: its content is what it was, its hash is not.
        rescues = form is not None and not follows and would_be is not None and link(would_be, form) == stored
        if rescues and self._pending is not None:
            self._pending = problem_at("rehashed", self._pending.sequence, self._pending.event_id)
        self._settle()
        self.sequence, self.hash = sequence, stored
        self._would_be = None
        if follows and self.tree is not None and form is not None and self.tree.size == sequence - 1:
            self.tree.add(leaf_hash(form))
        else:
            self.tree = None
        if follows or rescues:
            self.is_proven = True
            self._report.proven += 1
        else:
            self._pending = problem_at("changed" if was_proven else "unlinked", sequence, event.id)
            self.is_proven = False
            if form is not None and was_proven:
                self._would_be = link(previous, form)
        if event.sealed_at < self._sealed_at and self.is_proven:
            self._report.add(problem_at("moved", sequence, event.id))
        self._sealed_at = max(event.sealed_at, self._sealed_at) if self.is_proven else self._sealed_at

    def _add_second(self, event: SealedEvent, stored: bytes) -> None:
        """A row whose number is taken. When it is the proven one of the two, they change places."""
        previous, was_proven, _ = self._before
        taken = self._pending if event.sequence == self.sequence and was_proven else None
        if taken is not None and event.canonical is not None and link(previous, event.canonical) == stored:
            self._report.add(problem_at("inserted", event.sequence, taken.event_id))
            self._pending = None
            self._take(event, stored)
            return
        self._report.add(problem_at("inserted", event.sequence, event.id))

    def _settle(self) -> None:
        if self._pending is not None:
            self._report.add(self._pending)
            self._pending = None

    def finish(self) -> None:
        """After the last event."""
        self._settle()
        self._report.head, self._report.head_hash = self.sequence, self.hash
