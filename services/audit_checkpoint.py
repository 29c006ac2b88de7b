"""Checkpoints: signed statements of the trail's head, to be kept where the database's administrator can't reach.

A checkpoint is a signed note (``services/signed_note.py``) over four lines, the first three as C2SP tlog-checkpoint has
them: the origin, which names this installation's trail; the number of events; the root of the Merkle tree over them in
base64 (``services/merkle.py``); and ``chain-hash``, a space and the newest event's chain hash in base64. Whoever holds
one can tell later whether everything up to that event is still what it was, and check a proof of any one event.

The first ones had three lines, with the chain hash for a root: they hold for the chain alone.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from config import Settings, decode_key
from models import AuditCheckpoint, AuditLog
from models.advisory_locks import AUDIT_CHECKPOINT
from models.engine import driver_connection
from services.audit_chain import HASH_BYTES
from services.audit_start import proven_start
from services.audit_tree import Head, grow, start_of
from services.errors import Conflict, Invalid
from services.merkle import Tree
from services.signed_note import NoteError, Signer, VerifierKey, open_note, refuse_retired

PATH = "/audit-chain"
# SQL boolean: no checkpoint covers what was sealed last.
UNSIGNED = (
    "EXISTS (SELECT FROM (SELECT sequence FROM audit_trail ORDER BY sequence DESC LIMIT 1) head"
    " WHERE NOT EXISTS (SELECT FROM audit_checkpoints c WHERE c.sequence = head.sequence))"
)
# The same, and the last is a while ago.
SIGN_DUE = f"""
    {UNSIGNED} AND coalesce(
        (SELECT created_at < now() - interval '30 seconds' FROM audit_checkpoints ORDER BY sequence DESC LIMIT 1), TRUE)
"""
CHAIN = "chain-hash "
MOST_LOOKED_AT = 100  # rows that somebody else may have put on top of ours


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``sequence`` events, the newest of which has the chain hash ``hash``, in a tree with the root ``root``."""

    origin: str
    sequence: int
    hash: bytes
    root: bytes | None = None

    def text(self) -> str:
        chain = base64.b64encode(self.hash).decode()
        if self.root is None:
            return f"{self.origin}\n{self.sequence}\n{chain}\n"
        return f"{self.origin}\n{self.sequence}\n{base64.b64encode(self.root).decode()}\n{CHAIN}{chain}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """A checkpoint from a note's text; lines after the fourth are for later versions. Raises NoteError."""
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0] or not (lines[1].isascii() and lines[1].isdigit()):
            raise NoteError("this note is no checkpoint: it has no origin, sequence and hash")
        has_root = lines[3].startswith(CHAIN)
        first, chain = _hash(lines[2]), _hash(lines[3].removeprefix(CHAIN)) if has_root else None
        if first is None or (has_root and chain is None) or int(lines[1]) < 1 or lines[1].startswith("0"):
            raise NoteError("this note is no checkpoint: its sequence or hash is malformed")
        sequence = int(lines[1])
        return cls(lines[0], sequence, first) if chain is None else cls(lines[0], sequence, chain, first)

    @classmethod
    def open(cls, note: str, keys: list[VerifierKey]) -> Checkpoint:
        """The checkpoint in ``note``, when one of ``keys`` signed it that was in use then. Raises NoteError."""
        text, signers = open_note(note, keys)
        found = cls.parse(text)
        refuse_retired(signers, found.sequence)
        return found


def signer_of(settings: Settings) -> Signer:
    """AUDIT_SIGNING_KEY under the name of this installation's chain, with AUDIT_FORMER_KEYS. Raises Invalid for one
    that is none."""
    seed = decode_key(settings.audit_signing_key.get_secret_value())
    return Signer(origin_of(settings), seed, tuple(named_keys(settings.audit_former_keys)))


def origin_of(settings: Settings) -> str:
    """The chain's name: PUBLIC_URL without its scheme, then ``/audit-chain``; no space or plus, as notes want."""
    parts = urlsplit(settings.public_url)
    place = f"{parts.netloc}{parts.path}".rstrip("/") or "sigilo"
    return "".join("-" if sign.isspace() or sign == "+" else sign for sign in place) + PATH


def public_key(settings: Settings) -> str:
    """The verifier key that whoever keeps checkpoints should keep too."""
    return str(signer_of(settings).verifier)


def trusted_keys(keys: Sequence[str]) -> list[VerifierKey]:
    """The keys that somebody names, under whatever name they signed: that of the installation follows PUBLIC_URL, and
    what was signed before it changed is to be checked with the key that is printed today. Raises Invalid."""
    return [key.anywhere for key in named_keys(keys)]


def named_keys(keys: Sequence[str]) -> list[VerifierKey]:
    """Verifier keys as they are written. Raises Invalid."""
    try:
        return [VerifierKey.parse(key) for key in keys]
    except NoteError as error:
        raise Invalid(str(error)) from None


def write_checkpoint(session: Session, signer: Signer) -> str:
    """Sign the trail's present head, store the note and return it. A head that was signed before gives its
    first note again.

    ``session`` acts as the worker. Raises Conflict while nothing is sealed, when what was sealed since the last
    checkpoint does not hold together, and when the head was signed before with another hash: then the trail is not the
    one that was signed.
    """
    connection = driver_connection(session)
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (AUDIT_CHECKPOINT,))
    newest = session.execute(
        select(AuditLog.sequence, AuditLog.hash).order_by(AuditLog.sequence.desc()).limit(1)
    ).one_or_none()
    if newest is None:
        raise Conflict("The trail is empty: there is nothing to sign yet.")
    keys = signer.trusted
    signed = session.get(AuditCheckpoint, newest.sequence)
    if signed is not None and is_ours(signed, keys):
        if signed.hash != newest.hash:
            raise Conflict(f"Event {newest.sequence} was signed before with another hash: run `sigilo audit verify`.")
        return signed.note
    later = session.scalars(select(AuditCheckpoint).where(AuditCheckpoint.sequence > newest.sequence))
    gone = next((each.sequence for each in later if is_ours(each, keys)), None)
    if gone is not None:
        raise Conflict(f"Event {gone} was signed and is gone: run `sigilo audit verify`.")
    return _sign(session, connection, signer, newest.sequence)


def sign_event(session: Session, signer: Signer, sequence: int) -> AuditCheckpoint:
    """The checkpoint of the first ``sequence`` events, signed now where none was: of an event that is no longer the
    newest. Raises Conflict, as ``write_checkpoint`` does."""
    connection = driver_connection(session)
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (AUDIT_CHECKPOINT,))
    signed = session.get(AuditCheckpoint, sequence)
    if signed is None:
        _sign(session, connection, signer, sequence)
        return session.get_one(AuditCheckpoint, sequence)
    if not is_ours(signed, signer.trusted) or signed.root is None:
        raise Conflict(f"The checkpoint of event {sequence} is none of ours with a tree: run `sigilo audit verify`.")
    return signed


def _sign(session: Session, connection: psycopg.Connection[Any], signer: Signer, sequence: int) -> str:
    head = grow(connection, _start(session, signer.trusted, sequence), sequence)
    root = head.tree.root()
    note = signer.sign(Checkpoint(signer.name, head.tree.size, head.hash, root).text())
    values = {"hash": head.hash, "root": root, "frontier": head.tree.packed(), "note": note}
    session.execute(insert(AuditCheckpoint).values(sequence=head.tree.size, **values))
    return note


def is_ours(row: AuditCheckpoint, keys: list[VerifierKey]) -> bool:
    """Whether one of ``keys`` signed the row's note, and for what the row says."""
    try:
        signed = Checkpoint.open(row.note, keys)
    except NoteError:
        return False
    return (signed.sequence, signed.hash, signed.root) == (row.sequence, row.hash, row.root)


def _start(session: Session, keys: list[VerifierKey], size: int) -> Head:
    """Where the tree can grow on from: the newest checkpoint of ours below ``size``, or else what was archived.
    Whatever else lies in the table is nobody's word, and the tree is laid from the beginning rather than over it."""
    earlier = select(AuditCheckpoint).where(AuditCheckpoint.sequence < size)
    for row in session.scalars(earlier.order_by(AuditCheckpoint.sequence.desc()).limit(MOST_LOOKED_AT)):
        start = start_of(row.sequence, row.hash, row.root, row.frontier) if is_ours(row, keys) else None
        if start is not None:
            return start
    archived, _ = proven_start(driver_connection(session), keys)
    return Head(archived.tree or Tree(), archived.head)


def _hash(text: str) -> bytes | None:
    """32 bytes from base64, else None."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == HASH_BYTES else None
