"""Checkpoints: signed statements of the trail's head, to be kept where the database's administrator can't reach.

A checkpoint is a signed note (``services/signed_note.py``) over three lines: the origin, which names this
installation's chain; the sequence of the newest event; and its chain hash in base64. Whoever holds one can
tell later whether everything up to that event is still what it was.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from config import Settings, decode_key
from models import AuditCheckpoint, AuditLog
from services.audit_chain import HASH_BYTES
from services.errors import Conflict
from services.signed_note import NoteError, Signer, VerifierKey, open_note

PATH = "/audit-chain"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``sequence`` events, the newest of which has the chain hash ``hash``."""

    origin: str
    sequence: int
    hash: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.sequence}\n{base64.b64encode(self.hash).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """A checkpoint from a note's text; lines after the third are for later versions. Raises NoteError."""
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0] or not (lines[1].isascii() and lines[1].isdigit()):
            raise NoteError("this note is no checkpoint: it has no origin, sequence and hash")
        try:
            head = base64.b64decode(lines[2], validate=True)
        except (binascii.Error, ValueError):
            head = b""
        if len(head) != HASH_BYTES or int(lines[1]) < 1 or lines[1].startswith("0"):
            raise NoteError("this note is no checkpoint: its sequence or hash is malformed")
        return cls(lines[0], int(lines[1]), head)

    @classmethod
    def open(cls, note: str, keys: list[VerifierKey]) -> Checkpoint:
        """The checkpoint in ``note``, when one of ``keys`` signed it. Raises NoteError."""
        return cls.parse(open_note(note, keys))


def signer_of(settings: Settings) -> Signer:
    """AUDIT_SIGNING_KEY under the name of this installation's chain."""
    return Signer(origin_of(settings), decode_key(settings.audit_signing_key.get_secret_value()))


def origin_of(settings: Settings) -> str:
    """The chain's name: PUBLIC_URL without its scheme, then ``/audit-chain``; no space or plus, as notes want."""
    parts = urlsplit(settings.public_url)
    place = f"{parts.netloc}{parts.path}".rstrip("/") or "sigilo"
    return "".join("-" if sign.isspace() or sign == "+" else sign for sign in place) + PATH


def public_key(settings: Settings) -> str:
    """The verifier key that whoever keeps checkpoints should keep too."""
    return str(signer_of(settings).verifier)


def write_checkpoint(session: Session, signer: Signer) -> str:
    """Sign the trail's present head, store the note and return it. A head that was signed before gives its
    first note again.

    ``session`` acts as the worker. Raises Conflict while nothing is sealed, and when the head was signed before
    with another hash: then the trail is not the one that was signed.
    """
    head = session.execute(
        select(AuditLog.sequence, AuditLog.hash).order_by(AuditLog.sequence.desc()).limit(1)
    ).one_or_none()
    if head is None:
        raise Conflict("The trail is empty: there is nothing to sign yet.")
    checkpoint = Checkpoint(signer.name, head.sequence, head.hash)
    session.execute(
        insert(AuditCheckpoint)
        .values(sequence=head.sequence, hash=head.hash, note=signer.sign(checkpoint.text()))
        .on_conflict_do_nothing()
    )
    stored = session.get_one(AuditCheckpoint, head.sequence)
    if stored.hash != head.hash:
        raise Conflict(f"Event {head.sequence} was signed before with another hash: run `sigilo audit verify`.")
    return stored.note
