"""That the trail was checked, when, and what it came to: signed, for a row alone is the word of whoever can write one.

A signed note (``services/signed_note.py``) with the lines ``sigilo-trail-check/1``, when the check ended (RFC 3339),
the number of the newest event, how many events were looked at, and in how many places something was wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from models import AuditCheck
from services.signed_note import NoteError, Signer, VerifierKey, open_note, refuse_retired

FORMAT = "sigilo-trail-check/1"


@dataclass(frozen=True, slots=True)
class TrailCheck:
    """``events`` were looked at, up to the ``head``-th, and ``problems`` found."""

    at: datetime
    head: int
    events: int
    problems: int

    def text(self) -> str:
        return f"{FORMAT}\n{self.at.isoformat()}\n{self.head}\n{self.events}\n{self.problems}\n"


def keep_check(session: Session, signer: Signer, check: TrailCheck) -> None:
    """As the worker: in place of the one before."""
    session.execute(delete(AuditCheck))
    session.add(AuditCheck(ended_at=check.at, note=signer.sign(check.text())))


def last_check(session: Session, keys: Sequence[VerifierKey]) -> TrailCheck | None:
    """The last that one of ``keys`` signed; None when there is none, whatever else the table says."""
    return newest_check(
        session.scalars(select(AuditCheck.note).order_by(AuditCheck.ended_at.desc()).limit(10)), keys
    )


def newest_check(notes: Iterable[str], keys: Sequence[VerifierKey]) -> TrailCheck | None:
    """The same, of ``notes`` that were read already."""
    return max((check for note in notes if (check := _opened(note, keys))), key=lambda check: check.at, default=None)


def _opened(note: str, keys: Sequence[VerifierKey]) -> TrailCheck | None:
    try:
        text, signers = open_note(note, keys)
        kind, at, head, events, problems = text.splitlines()
        check = TrailCheck(datetime.fromisoformat(at), int(head), int(events), int(problems))
        refuse_retired(signers, check.head)
    except (NoteError, ValueError):
        return None
    return check if kind == FORMAT else None
