"""The signed statements about the chain, met in the order of their sequence while it is verified."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from integrations.checkpoint_sinks import ENDING, has_number, lowest_first, path_of, read_note
from services.audit_chain_check import ChainCheck
from services.audit_checkpoint import Checkpoint
from services.audit_report import Problem, Report, contradicted, missing
from services.signed_note import NoteError, VerifierKey


@dataclass(frozen=True, slots=True)
class GivenNotes:
    """Checkpoints kept elsewhere. ``notes``: a few, in any order. ``folders``: of those that places keep under a
    number, of which there may be a year's: they are read one by one as the trail gets there. ``among_others``: whoever
    else keeps theirs in the same places is none of this trail's business, so what no key of ours signed is passed over.
    """

    notes: Sequence[str] = ()
    folders: Sequence[Path] = field(default=())
    among_others: bool = False

    def numbered(self) -> Iterator[tuple[int, str]]:
        """Number and note, the lowest first."""
        for number, folder in heapq.merge(*map(_numbers, self.folders)):
            yield number, read_note(path_of(folder, number))


def _numbers(folder: Path) -> Iterator[tuple[int, Path]]:
    return ((number, folder) for number in lowest_first(folder))


def notes_in(path: Path | None) -> GivenNotes:
    """The checkpoint in the file at ``path``, or all that the folder there keeps. Raises OSError."""
    if path is None:
        return GivenNotes()
    if not path.is_dir():
        return GivenNotes([path.read_text(encoding="utf-8", errors="replace")])
    folders, others, waiting = [], [], [path]
    while waiting:
        folder, has_some = waiting.pop(), False
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(Path(entry.path))
                elif has_number(entry.name):
                    has_some = True
                elif entry.name.endswith(ENDING):
                    others.append(read_note(Path(entry.path)))
        if has_some:
            folders.append(folder)
    return GivenNotes(others, folders)


class SignedStatements:
    """Checkpoints kept elsewhere (``given``) and those in the database (``stored``: sequence, hash, note).

    ``archived``: so many events are not looked at again; what was signed of them can't be compared here.
    """

    def __init__(
        self,
        report: Report,
        keys: Sequence[VerifierKey],
        given: GivenNotes,
        stored: Iterable[tuple[int, bytes, str]],
        *,
        archived: int = 0,
    ) -> None:
        self._report = report
        self._keys = list(keys)
        self._archived = archived
        self._stored = iter(stored)
        self._waiting: tuple[int, bytes, str] | None = None
        self._present = [key for key in self._keys if key.until is None]
        self._before = 0  # the newest given of what lies in an archive
        self._among_others = given.among_others
        few = sorted(self._opened((None, note) for note in given.notes), key=_sequence)
        self._given: Iterator[tuple[Checkpoint, bool]] = heapq.merge(few, self._opened(given.numbered()), key=_sequence)
        self._next_given = self._ahead()
        self._advance()

    def _ahead(self) -> tuple[Checkpoint, bool] | None:
        """The next one given that can be compared with what is online."""
        for found in self._given:
            if found[0].sequence >= self._archived:
                self._before = 0
                return found
            self._before = found[0].sequence
        if self._before:
            self._report.remarks.append(
                f"The checkpoint given is of event {self._before}, which lies in an archive: verify that with --export."
            )
            self._before = 0
        return None

    def _opened(self, notes: Iterable[tuple[int | None, str]]) -> Iterator[tuple[Checkpoint, bool]]:
        """The checkpoints, each with whether a key signed it that is still in use."""
        for number, note in notes:
            try:
                found = self._open(note)
                if number is not None and found[0].sequence != number:
                    raise NoteError(f"the file of event {number} speaks of event {found[0].sequence}")
            except NoteError as error:
                if not self._among_others:
                    self._report.add(Problem("checkpoint", 0, f"The checkpoint given: {error}."))
            else:
                yield found

    def _open(self, note: str) -> tuple[Checkpoint, bool]:
        try:
            return Checkpoint.open(note, self._present), True
        except NoteError:
            return Checkpoint.open(note, self._keys), False

    def _advance(self) -> None:
        self._waiting = next(self._stored, None)
        self._aim()

    def _aim(self) -> None:
        """``next``: the sequence at which there is something to compare."""
        ahead = [self._waiting[0]] if self._waiting is not None else []
        ahead += [self._next_given[0].sequence] if self._next_given is not None else []
        self.next: float = min(ahead, default=float("inf"))

    def meet(self, check: ChainCheck) -> None:
        """Compare every statement up to the event that ``check`` has just taken."""
        while self._waiting is not None and self._waiting[0] <= check.sequence:
            self._compare_stored(check, *self._waiting)
            self._advance()
        while self._next_given is not None and self._next_given[0].sequence <= check.sequence:
            given, is_in_use = self._next_given
            self._next_given = self._ahead()
            if _agrees(given, check):
                self._report.anchored = given.sequence
            else:
                self._report.add(contradicted("The checkpoint given", given.sequence, self._report.anchored or 0))
                # What was signed later speaks of the same events, and is heard only where a former key said this: with
                # one that somebody else holds by now they say what they like.
                if is_in_use:
                    self._given, self._next_given = iter(()), None
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
        if signed.sequence >= self._archived and not _agrees(signed, check):
            self._report.add(contradicted("A stored checkpoint", signed.sequence))

    def finish(self) -> None:
        """After the last event: what is signed and not there was cut off."""
        beyond = 0
        while self._next_given is not None:
            beyond = max(beyond, self._next_given[0].sequence)
            self._next_given = self._ahead()
        while self._waiting is not None:
            beyond = max(beyond, self._waiting[0])
            self._advance()
        if beyond > self._report.head:
            self._report.add(missing(self._report.head + 1, beyond, "by a signed checkpoint"))


def _sequence(found: tuple[Checkpoint, bool]) -> int:
    return found[0].sequence


def _agrees(signed: Checkpoint, check: ChainCheck) -> bool:
    """Whether the events that ``check`` took are the ones that were signed, by chain and by tree."""
    if (signed.sequence, signed.hash) != (check.sequence, check.hash):
        return False
    return signed.root is None or check.tree is None or signed.root == check.tree.root()
