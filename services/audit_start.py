"""Where a trail begins that can be read: at its first event, or behind those that were archived.

What an archive's row says is believed by whoever verifies only as far as its checkpoint was signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from services.audit_chain import GENESIS
from services.audit_checkpoint import Checkpoint
from services.merkle import Tree
from services.signed_note import NoteError, VerifierKey

ARCHIVES = """
    SELECT first, last, hash_before, hash, frontier, note FROM audit_archives
    WHERE dropped_at IS NOT NULL ORDER BY last
"""


@dataclass(frozen=True, slots=True)
class Start:
    """``sequence`` events came before, the last with the chain hash ``head``, in ``tree``; None: it is not known."""

    sequence: int = 0
    head: bytes = GENESIS
    tree: Tree | None = field(default_factory=Tree)


def online_start(connection: psycopg.Connection[Any]) -> Start:
    """Where the events in the database begin, as the newest archive says."""
    row = connection.execute(
        "SELECT last, hash, frontier FROM audit_archives WHERE dropped_at IS NOT NULL ORDER BY last DESC LIMIT 1"
    ).fetchone()
    return Start() if row is None else Start(row[0], row[1], Tree.unpack(row[0], row[2]))


def proven_start(connection: psycopg.Connection[Any], keys: Sequence[VerifierKey]) -> tuple[Start, list[str]]:
    """The same as far as it is signed, and what is wrong with the archives behind that.

    Each archive follows from the one before, and ``keys`` signed its last event.
    """
    start, wrong = Start(), []
    for first, last, before, head, frontier, note in connection.execute(ARCHIVES):
        problem = _problem(start, first, last, before, head, frontier, note, keys)
        if problem is not None:
            wrong.append(f"The archive of events {first} to {last} {problem}.")
            break
        start = Start(last, head, Tree.unpack(last, frontier))
    return start, wrong


def _problem(
    start: Start, first: int, last: int, before: bytes, head: bytes, frontier: bytes, note: str,
    keys: Sequence[VerifierKey],
) -> str | None:  # fmt: skip
    if first != start.sequence + 1 or before != start.head:
        return "does not follow from what was archived before"
    try:
        signed = Checkpoint.open(note, list(keys))
        root = Tree.unpack(last, frontier).root()
    except NoteError as error:
        return f"is not signed: {error}"
    except ValueError:
        return "holds no tree"
    if (signed.sequence, signed.hash, signed.root) != (last, head, root):
        return "is not the one that was signed"
    return None
