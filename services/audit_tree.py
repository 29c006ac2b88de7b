"""The Merkle tree over the sealed trail, as it lies in the database: grown before each checkpoint, never changed.

Of its subtrees those of 256 events and more are kept, a row for every 128 events; what lies below is hashed anew from
the events when a proof needs it. Nothing here is trusted by whoever verifies: a proof holds by itself or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy.orm import Session

from models.engine import driver_connection
from services.audit_chain import GENESIS, SEQUENCE, TEXT_SETTINGS, canonical, link, text_columns
from services.errors import Conflict
from services.merkle import Tree, leaf_hash, node_hash

KEPT_FROM = 8  # level of the smallest subtrees that are kept: 2^8 events
MOST_AT_ONCE = 14  # level up to which events are hashed in one go: 16,384 of them
FETCH = 2_000  # rows a round trip
VERIFY = "run `sigilo audit verify`"

EVENTS = f"""
    SELECT {text_columns("t")}, t.hash FROM audit_trail t
    WHERE t.sequence > %s AND t.sequence <= %s ORDER BY t.sequence
"""
SUBTREE = f"""
    SELECT {text_columns("t")} FROM audit_trail t
    WHERE t.sequence > %(before)s AND t.sequence <= %(before)s + %(count)s ORDER BY t.sequence
"""
KEEP = """
    INSERT INTO audit_tree_nodes (level, position, hash)
    SELECT * FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[])
    ON CONFLICT DO NOTHING
"""

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Head:
    """A trail of ``tree.size`` events, the newest with the chain hash ``hash``; at first, of none."""

    tree: Tree = field(default_factory=Tree)
    hash: bytes = GENESIS


def grow(connection: Connection, start: Head, size: int) -> Head:
    """The trail of ``size`` events, from ``start``, which somebody has signed, or from its beginning. In
    ``connection``'s transaction as the worker.

    What is signed next is looked at first: raises Conflict when an event is missing, or does not follow from the one
    before it.
    """
    connection.execute(TEXT_SETTINGS)
    tree, head = Tree(start.tree.size, start.tree.frontier), start.hash
    kept: list[tuple[int, int, bytes]] = []
    with connection.cursor("audit_tree_grow") as events:
        events.itersize = FETCH
        for *row, stored in events.execute(EVENTS, (tree.size, size)):
            event = canonical(row)
            if int(row[SEQUENCE] or 0) != tree.size + 1:
                break
            head = link(head, event)
            if head != stored:
                raise Conflict(f"Event {tree.size + 1} does not match its hash, so nothing was signed: {VERIFY}.")
            kept += [node for node in tree.add(leaf_hash(event)) if node[0] >= KEPT_FROM]
    if tree.size != size:
        raise Conflict(f"Event {tree.size + 1} is missing, so nothing was signed: {VERIFY}.")
    _keep(connection, kept)
    return Head(tree, head)


def _keep(connection: Connection, nodes: Sequence[tuple[int, int, bytes]]) -> None:
    if nodes:
        connection.execute(KEEP, tuple(map(list, zip(*nodes, strict=True))))


def keep_nodes(session: Session, nodes: Sequence[tuple[int, int, bytes]]) -> None:
    """Keep these subtrees (level, position, root) too, whose events are about to leave the database."""
    _keep(driver_connection(session), nodes)


def start_of(size: int, head: bytes, root: bytes | None, frontier: bytes | None) -> Head | None:
    """What a checkpoint keeps to grow on from; None where that is not the tree whose root it has."""
    try:
        tree = Tree.unpack(size, frontier or b"")
    except ValueError:
        return None
    return Head(tree, head) if tree.root() == root else None


class StoredTree:
    """Looks up subtrees for proofs, as the auditor. ``connection`` is in a transaction with ``TEXT_SETTINGS``.

    ``is_believed`` False: what is kept is left aside and all of it hashed anew, which takes as long as it takes.
    """

    def __init__(self, connection: Connection, *, is_believed: bool = True) -> None:
        self._connection = connection
        self._is_believed = is_believed
        row = connection.execute("SELECT max(last) FROM audit_archives WHERE dropped_at IS NOT NULL").fetchone()
        self._archived: int = (row[0] if row else None) or 0

    def node(self, level: int, position: int) -> bytes:
        """The root of a perfect subtree. Raises Conflict when events of it are missing."""
        if (position + 1) << level <= self._archived:
            archived = self._kept(level, position)  # kept when its events left, and what their checkpoint's tree has
            if archived is None:
                raise Conflict(f"Events around {(position << level) + 1} lie in an archive, which no proof reaches.")
            return archived
        if position << level < self._archived:
            return node_hash(self.node(level - 1, 2 * position), self.node(level - 1, 2 * position + 1))
        if level < KEPT_FROM:
            return self._hashed(level, position)
        kept = self._kept(level, position) if self._is_believed else None
        if kept is not None:
            return kept
        if level <= MOST_AT_ONCE:
            return self._hashed(level, position)
        return node_hash(self.node(level - 1, 2 * position), self.node(level - 1, 2 * position + 1))

    def _kept(self, level: int, position: int) -> bytes | None:
        found = self._connection.execute(
            "SELECT hash FROM audit_tree_nodes WHERE level = %s AND position = %s", (level, position)
        ).fetchone()
        return None if found is None else bytes(found[0])

    def _hashed(self, level: int, position: int) -> bytes:
        count, tree = 1 << level, Tree()
        for row in self._connection.execute(SUBTREE, {"before": position * count, "count": count}):
            tree.add(leaf_hash(canonical(row)))
        if tree.size != count:
            raise Conflict(f"Events around {position * count + 1} are missing: {VERIFY}.")
        return tree.root()
