"""Where a trail begins that can be read: at its first event, or behind those that were archived.

That events were taken out on purpose is signed, in a statement of its own for each archive: a checkpoint, of which
there is one every minute, says nothing of the kind. It is a signed note (``services/signed_note.py``) with the lines
``sigilo-trail-archive/1``, first and last event, the chain hashes before the first and of the last in hex, the root of
the Merkle tree over all events up to the last in hex, and the file's name, bytes and SHA-256 in hex.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from integrations.storage import FolderStorage, StorageUnavailable
from services.audit_chain import GENESIS
from services.merkle import Tree
from services.signed_note import NoteError, VerifierKey, open_note, refuse_retired

FORMAT = "sigilo-trail-archive/1"
# Before a transaction that reads the whole trail sees anything: a partition that goes meanwhile would be in neither of
# the two, the trail and the archives, that it sees.
HOLD = "LOCK TABLE audit_trail IN ACCESS SHARE MODE"
ARCHIVES = """
    SELECT dropped_at IS NOT NULL, first, last, hash_before, hash, frontier, file, size, digest, statement
    FROM audit_archives ORDER BY last
"""


@dataclass(frozen=True, slots=True)
class Start:
    """``sequence`` events came before, the last with the chain hash ``head``, in ``tree``; None: it is not known."""

    sequence: int = 0
    head: bytes = GENESIS
    tree: Tree | None = field(default_factory=Tree)


@dataclass(frozen=True, slots=True)
class Archive:
    """Events ``first`` to ``last``, in a file: what is signed of them."""

    first: int
    last: int
    before: bytes
    head: bytes
    root: bytes
    file: str
    size: int
    digest: bytes

    def text(self) -> str:
        return "\n".join(
            [
                FORMAT, str(self.first), str(self.last), self.before.hex(), self.head.hex(), self.root.hex(), self.file,
                str(self.size), self.digest.hex(), "",
            ]
        )  # fmt: skip


def online_start(connection: psycopg.Connection[Any]) -> Start:
    """Where the events in the database begin, as the newest archive says."""
    row = connection.execute(
        "SELECT last, hash, frontier FROM audit_archives WHERE dropped_at IS NOT NULL ORDER BY last DESC LIMIT 1"
    ).fetchone()
    return Start() if row is None else Start(row[0], row[1], Tree.unpack(row[0], row[2]))


def proven_start(
    connection: psycopg.Connection[Any], keys: Sequence[VerifierKey], storage: FolderStorage | None = None
) -> tuple[Start, list[str]]:
    """The same as far as it is signed, and what is wrong with the archives behind that.

    Each archive follows from the one before, ``keys`` signed its statement, and its file lies in ``storage``, where one
    is given, with as many bytes as were written. That is asked of those too whose events did not leave yet: a row is
    all that it takes for them to leave, and the worker may write one.
    """
    start = behind = Start()
    wrong = []
    for is_gone, first, last, before, head, frontier, file, size, digest, statement in connection.execute(ARCHIVES):
        try:
            tree = Tree.unpack(last, frontier)
            archive = Archive(first, last, before, head, tree.root(), file, size, digest)
            problem = _problem(start if is_gone else behind, archive, statement, keys)
        except ValueError:
            problem = "holds no tree"
        if problem is not None:
            wrong.append(f"The archive of events {first} to {last} {problem}.")
            if is_gone:
                break  # what left after them is nowhere to be followed
            continue
        behind = Start(last, head, tree)
        if is_gone:
            start = behind
        if storage is not None and not _is_there(storage, archive):
            wrong.append(f"The archive of events {first} to {last} is not there, or is not what was written: {file}.")
    return start, wrong


def _problem(start: Start, archive: Archive, statement: str, keys: Sequence[VerifierKey]) -> str | None:
    if archive.first != start.sequence + 1 or archive.before != start.head:
        return "does not follow from what was archived before"
    try:
        signed, signers = open_note(statement, keys)
        refuse_retired(signers, archive.last)
    except NoteError as error:
        return f"is not signed: {error}"
    return None if signed == archive.text() else "is not the one that was signed"


def _is_there(storage: FolderStorage, archive: Archive) -> bool:
    try:
        return storage.size(archive.file) == archive.size
    except StorageUnavailable:
        return False
