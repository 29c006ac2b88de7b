"""The signed statements about the chain, met in the order of their sequence while it is verified."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from services.audit_chain_check import ChainCheck
from services.audit_checkpoint import Checkpoint
from services.audit_report import Problem, Report, contradicted, missing
from services.signed_note import NoteError, VerifierKey

KEPT = "*.checkpoint"  # what a folder that keeps checkpoints calls them (integrations/checkpoint_sinks.py)


def notes_in(path: Path | None) -> list[str]:
    """The checkpoint in the file at ``path``, or all that the folder there keeps."""
    if path is None:
        return []
    files = sorted(path.rglob(KEPT)) if path.is_dir() else [path]
    return [file.read_text(encoding="utf-8", errors="replace") for file in files]


class SignedStatements:
    """Checkpoints kept elsewhere (``notes``) and those in the database (``stored``: sequence, hash, note).

    ``archived``: so many events are not looked at again; what was signed of them can't be compared here.
    """

    def __init__(
        self,
        report: Report,
        keys: Sequence[VerifierKey],
        notes: Sequence[str],
        stored: Iterable[tuple[int, bytes, str]],
        *,
        archived: int = 0,
    ) -> None:
        self._report = report
        self._keys = list(keys)
        self._archived = archived
        self._stored = iter(stored)
        self._waiting: tuple[int, bytes, str] | None = None
        self._given = self._opened(notes)  # the first to be met last
        self._advance()

    def _opened(self, notes: Sequence[str]) -> list[Checkpoint]:
        found = []
        for note in notes:
            try:
                found.append(Checkpoint.open(note, self._keys))
            except NoteError as error:
                self._report.add(Problem("checkpoint", 0, f"The checkpoint given: {error}."))
        before = [each.sequence for each in found if each.sequence < self._archived]
        if before and len(before) == len(found):
            self._report.remarks.append(
                f"The checkpoint given is of event {max(before)}, which lies in an archive: verify that with --export."
            )
        ahead = (each for each in found if each.sequence >= self._archived)
        return sorted(ahead, key=lambda each: each.sequence, reverse=True)

    def _advance(self) -> None:
        self._waiting = next(self._stored, None)
        self._aim()

    def _aim(self) -> None:
        """``next``: the sequence at which there is something to compare."""
        ahead = [self._waiting[0]] if self._waiting is not None else []
        ahead += [self._given[-1].sequence] if self._given else []
        self.next: float = min(ahead, default=float("inf"))

    def meet(self, check: ChainCheck) -> None:
        """Compare every statement up to the event that ``check`` has just taken."""
        while self._waiting is not None and self._waiting[0] <= check.sequence:
            self._compare_stored(check, *self._waiting)
            self._advance()
        while self._given and self._given[-1].sequence <= check.sequence:
            given = self._given.pop()
            if _agrees(given, check):
                self._report.anchored = given.sequence
            else:
                self._report.add(contradicted("The checkpoint given", given.sequence, self._report.anchored or 0))
                self._given.clear()  # what was signed later speaks of the same events
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
        beyond = [each.sequence for each in self._given]
        while self._waiting is not None:
            beyond.append(self._waiting[0])
            self._advance()
        if beyond and max(beyond) > self._report.head:
            self._report.add(missing(self._report.head + 1, max(beyond), "by a signed checkpoint"))


def _agrees(signed: Checkpoint, check: ChainCheck) -> bool:
    """Whether the events that ``check`` took are the ones that were signed, by chain and by tree."""
    if (signed.sequence, signed.hash) != (check.sequence, check.hash):
        return False
    return signed.root is None or check.tree is None or signed.root == check.tree.root()
