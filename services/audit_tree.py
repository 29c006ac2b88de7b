"""The Merkle tree over the sealed trail, as it lies in the database: grown before each checkpoint, never changed.

Of its subtrees those of 256 events and more are kept, a row for every 128 events; what lies below is hashed anew from
the events when a proof needs it. Nothing here is trusted by whoever verifies: a proof holds by itself or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from services.audit_chain import GENESIS, HASH_BYTES, SEQUENCE, TEXT_SETTINGS, canonical, link, text_columns
from services.errors import Conflict
from services.merkle import Tree, leaf_hash, node_hash

KEPT_FROM = 8  # level of the smallest subtrees that are kept: 2^8 events
FETCH = 2_000  # rows a round trip
VERIFY = "run `sigilo audit verify`"

NEWEST = "SELECT sequence, hash, frontier FROM audit_checkpoints ORDER BY sequence DESC LIMIT 1"
EVENTS = f"SELECT {text_columns('t')}, t.hash FROM audit_trail t WHERE t.sequence > %s ORDER BY t.sequence"
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
    """A trail of ``tree.size`` events, the newest with the chain hash ``hash``."""

    tree: Tree
    hash: bytes


def grow(connection: Connection) -> Head:
    """Take what was sealed since the last checkpoint into the tree, in ``connection``'s transaction as the worker.

    What is signed next is looked at first: raises Conflict when an event is missing, or does not follow from the one
    before it.
    """
    connection.execute(TEXT_SETTINGS)
    newest = connection.execute(NEWEST).fetchone()
    tree, head = Tree(), GENESIS
    if newest is not None and newest[2] is not None:
        tree, head = Tree(newest[0], _split(newest[2])), newest[1]
    kept: list[tuple[int, int, bytes]] = []
    with connection.cursor("audit_tree_grow") as events:
        events.itersize = FETCH
        for *row, stored in events.execute(EVENTS, (tree.size,)):
            event = canonical(row)
            if int(row[SEQUENCE] or 0) != tree.size + 1:
                raise Conflict(f"Event {tree.size + 1} is missing, so nothing was signed: {VERIFY}.")
            head = link(head, event)
            if head != stored:
                raise Conflict(f"Event {tree.size + 1} does not match its hash, so nothing was signed: {VERIFY}.")
            kept += [node for node in tree.add(leaf_hash(event)) if node[0] >= KEPT_FROM]
    if kept:
        connection.execute(KEEP, tuple(map(list, zip(*kept, strict=True))))
    return Head(tree, head)


def packed(tree: Tree) -> bytes:
    """The tree's frontier as ``audit_checkpoints`` keeps it."""
    return b"".join(tree.frontier)


def _split(frontier: bytes) -> list[bytes]:
    return [frontier[at : at + HASH_BYTES] for at in range(0, len(frontier), HASH_BYTES)]


class StoredTree:
    """Looks up subtrees for proofs, as the auditor. ``connection`` is in a transaction with ``TEXT_SETTINGS``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def node(self, level: int, position: int) -> bytes:
        """The root of a perfect subtree. Raises Conflict when events of it are missing."""
        if level < KEPT_FROM:
            return self._hashed(level, position)
        found = self._connection.execute(
            "SELECT hash FROM audit_tree_nodes WHERE level = %s AND position = %s", (level, position)
        ).fetchone()
        if found is not None:
            return bytes(found[0])
        return node_hash(self.node(level - 1, 2 * position), self.node(level - 1, 2 * position + 1))

    def _hashed(self, level: int, position: int) -> bytes:
        count = 1 << level
        rows = self._connection.execute(SUBTREE, {"before": position * count, "count": count}).fetchall()
        if len(rows) != count:
            raise Conflict(f"Events around {position * count + 1} are missing: {VERIFY}.")
        tree = Tree()
        for row in rows:
            tree.add(leaf_hash(canonical(row)))
        return tree.root()
