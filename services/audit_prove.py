"""Proof that one event stands in the trail that was signed: for a third party who sees nothing else of it.

Written as C2SP tlog-proof: its ``index`` counts from 0, so it is the event's sequence less one, and ``extra`` holds the
event itself, in the canonical form that the leaf is hashed over (``services/audit_chain.py``). To check it takes the
public key, which ``sigilo audit key`` prints, and no access to anything.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from config import Principal, Settings
from models.connection import connect
from services.audit_chain import ID, TEXT_SETTINGS, Row, canonical, text_columns
from services.audit_checkpoint import Checkpoint, signer_of
from services.audit_event import SYSTEM, Event
from services.audit_read import write_event
from services.audit_start import online_start
from services.audit_tree import Connection, StoredTree
from services.errors import Conflict, Invalid, NotFound
from services.merkle import inclusion_proof, leaf_hash, root_from_inclusion
from services.signed_note import NoteError, Signer, VerifierKey

FORMAT = "c2sp.org/tlog-proof@v1"
EXTRA, INDEX = "extra ", "index "
LONGEST_PROOF = 1_000_000  # characters

BY_SEQUENCE = f"SELECT t.sequence, {text_columns('t')} FROM audit_trail t WHERE t.sequence = %s"
# An event's id begins with the time at which it was made (RFC 9562), and it is sealed afterwards: a day allows for
# clocks that disagree, and spares the months before.
BY_ID = f"""
    SELECT t.sequence, {text_columns("t")} FROM audit_trail t WHERE t.id = %(id)s AND t.sealed_at >= greatest(
        to_timestamp(('x' || substr(replace(%(id)s::text, '-', ''), 1, 12))::bit(48)::bigint / 1000.0),
        '2000-01-01'
    ) - interval '1 day'
"""
# The oldest that covers it and is ours, so that the same proof is given again; those without a root prove the chain
# alone, and a row that somebody else put there proves nothing.
CHECKPOINTS = """
    SELECT note, sequence FROM audit_checkpoints WHERE sequence >= %s AND root IS NOT NULL ORDER BY sequence LIMIT 100
"""


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof says: the ``event`` in canonical form is the ``sequence``-th of the trail that was signed."""

    event: bytes
    sequence: int
    checkpoint: Checkpoint


def prove(settings: Settings, event: str) -> str:
    """The proof of the event with that id or sequence, which is an act of the operator and audited as one.

    Raises Invalid, NotFound, and Conflict when no checkpoint covers it yet or the trail is not the one that was signed.
    """
    with connect(settings.url_for(Principal.AUDITOR)) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute(TEXT_SETTINGS)
        sequence, *row = _event(connection, event)
        write_event(connection, SYSTEM, Event("audit.prove", "audit_event", uuid.UUID(row[ID])))
        return _prove(connection, sequence, row, signer_of(settings))


def _covering(connection: Connection, sequence: int, signer: Signer) -> tuple[str, int, bytes | None] | None:
    """Of the present key where it signed any that covers it, so that nobody has to trust a former one for it."""
    retired = max((key.until for key in signer.former if key.until is not None), default=0)
    for least in sorted({max(sequence, retired + 1), sequence}, reverse=True):
        for note, size in connection.execute(CHECKPOINTS, (least,)).fetchall():
            with suppress(NoteError):
                signed = Checkpoint.open(note, signer.trusted)
                if signed.sequence == size:
                    return note, size, signed.root
    return None


def _prove(connection: Connection, sequence: int, row: Row, signer: Signer) -> str:
    found = _covering(connection, sequence, signer)
    if found is None:
        raise Conflict(f"No checkpoint covers event {sequence} yet: wait a minute, or run `sigilo audit checkpoint`.")
    note, size, signed = found
    leaf = canonical(row)
    for is_believed in (True, False):  # what is kept of the tree may have been tampered with, and the trail not
        path = inclusion_proof(sequence - 1, size, StoredTree(connection, is_believed=is_believed).node)
        if root_from_inclusion(leaf_hash(leaf), sequence - 1, size, path) == signed:
            break
    else:
        raise Conflict(f"Event {sequence} is not what was signed, or another is not: run `sigilo audit verify`.")
    lines = [FORMAT, EXTRA + _text(leaf), f"{INDEX}{sequence - 1}", *map(_text, path)]
    return "\n".join(lines) + f"\n\n{note}"


def check(proof: str, keys: list[VerifierKey]) -> Proven:
    """What ``proof`` proves, when one of ``keys`` signed its checkpoint. Raises Invalid."""
    try:
        return _checked(proof, keys)
    except NoteError as error:
        raise Invalid(f"This proves nothing: {error}.") from None
    except ValueError:
        raise Invalid("This proves nothing: it is no proof in the form of C2SP tlog-proof.") from None


def _checked(proof: str, keys: list[VerifierKey]) -> Proven:
    head, separator, note = proof[:LONGEST_PROOF].partition("\n\n")
    first, extra, index, *path = head.split("\n")
    if first != FORMAT or not separator or not extra.startswith(EXTRA) or not index.startswith(INDEX):
        raise ValueError
    number = index.removeprefix(INDEX)
    if not (number.isascii() and number.isdigit()) or number != str(int(number)):
        raise ValueError
    checkpoint = Checkpoint.open(note, keys)
    event = _bytes(extra.removeprefix(EXTRA))
    if checkpoint.root is None:
        raise NoteError("its checkpoint signs no tree")
    root = root_from_inclusion(leaf_hash(event), int(number), checkpoint.sequence, [_bytes(line) for line in path])
    if root != checkpoint.root or orjson.loads(event).get("sequence") != int(number) + 1:
        raise NoteError("the event is not in the trail that was signed, or was changed")
    return Proven(event, int(number) + 1, checkpoint)


def _event(connection: Connection, event: str) -> tuple[Any, ...]:
    """Its sequence, then its columns as ``canonical`` takes them."""
    if event.isascii() and event.isdigit() and len(event) <= 18:
        found = connection.execute(BY_SEQUENCE, (int(event),))
    else:
        try:
            wanted = uuid.UUID(event)
        except ValueError:
            raise Invalid("An event is named by its id or its sequence number.") from None
        found = connection.execute(BY_ID, {"id": wanted})
    row: tuple[Any, ...] | None = found.fetchone()
    if row is None and event.isdigit() and 0 < int(event) <= online_start(connection).sequence:
        raise Conflict(f"Event {event} lies in an archive: `sigilo audit archives` lists them.")
    if row is None:
        raise NotFound("There is no such event in the trail; what was done a moment ago is sealed within seconds.")
    return row


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    """Raises ValueError (binascii.Error is one)."""
    found = base64.b64decode(text, validate=True)
    if not found:
        raise binascii.Error("empty")
    return found
