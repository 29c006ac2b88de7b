"""The Merkle tree of RFC 6962 section 2.1 over the canonical events: roots, inclusion and consistency proofs.

A tree of ``size`` events is written as its *frontier*: the roots of the perfect subtrees that it is made of, largest
first, one for each bit of ``size``. That is all a growing tree needs, and every proof is made of such roots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

EMPTY = hashlib.sha256().digest()
HASH_BYTES = 32

# (level, index) → root of the perfect subtree over events index·2^level … (index+1)·2^level − 1, from 0.
Node = Callable[[int, int], bytes]


def leaf_hash(event: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + event).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows at its right end, in memory that grows with the logarithm of its size."""

    def __init__(self, size: int = 0, frontier: Iterable[bytes] = ()) -> None:
        """Raises ValueError when ``frontier`` is none of a tree of ``size``."""
        self.size = size
        self.frontier = list(frontier)
        if len(self.frontier) != size.bit_count():
            raise ValueError(f"a tree of {size} has {size.bit_count()} perfect subtrees, not {len(self.frontier)}")

    def add(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Append a leaf hash. Gives the perfect subtrees that are complete with it: (level, index, root), upwards."""
        made, root, index = [(0, self.size, leaf)], leaf, self.size
        for level in range(1, _zeros(self.size + 1) + 1):
            root, index = node_hash(self.frontier.pop(), root), index >> 1
            made.append((level, index, root))
        self.frontier.append(root)
        self.size += 1
        return made

    def root(self) -> bytes:
        return fold(self.frontier)

    def packed(self) -> bytes:
        """The frontier as bytes, for ``unpack``."""
        return b"".join(self.frontier)

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> Tree:
        """A tree from its ``packed`` frontier. Raises ValueError when it is none of that size."""
        return cls(size, [packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)])

    def subtrees(self) -> list[tuple[int, int, bytes]]:
        """The perfect subtrees of the frontier: (level, index, root)."""
        return [(*part, root) for part, root in zip(parts(0, self.size), self.frontier, strict=True)]


def fold(subtrees: Sequence[bytes]) -> bytes:
    """The root over neighbouring subtrees, each smaller than the one before it."""
    if not subtrees:
        return EMPTY
    root = subtrees[-1]
    for left in reversed(subtrees[:-1]):
        root = node_hash(left, root)
    return root


def parts(first: int, last: int) -> list[tuple[int, int]]:
    """The perfect subtrees (level, index) that leaves ``first`` … ``last`` − 1 fall into, from the left; ``first`` is
    where a subtree of RFC 6962's recursion begins."""
    found = []
    while first < last:
        level = (last - first).bit_length() - 1
        found.append((level, first >> level))
        first += 1 << level
    return found


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]), from the leaf upwards. Raises ValueError when there is no such leaf."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    first, last, path = 0, size, []
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            path.append(_root(middle, last, node))
            last = middle
        else:
            path.append(_root(first, middle, node))
            first = middle
    return path[::-1]


def consistency_proof(old: int, size: int, node: Node) -> list[bytes]:
    """PROOF(old, D[size]): that the tree of ``old`` leaves is a prefix. Raises ValueError unless 0 < old <= size."""
    if not 0 < old <= size:
        raise ValueError(f"a tree of {size} has no earlier tree of {old}")
    first, last, is_whole, path = 0, size, True, []
    while old != last:
        middle = first + _split(last - first)
        if old <= middle:
            path.append(_root(middle, last, node))
            last = middle
        else:
            path.append(_root(first, middle, node))
            first, is_whole = middle, False
    if not is_whole:
        path.append(_root(first, last, node))
    return path[::-1]


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that ``path`` leads to from ``leaf``, the ``index``-th of ``size`` (RFC 9162 2.1.3.2). It is included
    when that is the tree's root. Raises ValueError when the path has another length."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    position, last, root = index, size - 1, leaf
    for each in path:
        if last == 0:
            raise ValueError("the proof is too long")
        if position & 1 or position == last:
            root = node_hash(each, root)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            root = node_hash(root, each)
        position, last = position >> 1, last >> 1
    if last:
        raise ValueError("the proof is too short")
    return root


def is_consistent(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Whether ``path`` proves that the tree of ``old`` leaves is where the one of ``size`` began (RFC 9162 2.1.4.2)."""
    if not 0 < old <= size:
        return False
    if old == size:
        return not path and old_root == root
    steps = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not steps:
        return False
    position, last = old - 1, size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    was = now = steps[0]
    for each in steps[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            was, now = node_hash(each, was), node_hash(each, now)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            now = node_hash(now, each)
        position, last = position >> 1, last >> 1
    return last == 0 and was == old_root and now == root


def _root(first: int, last: int, node: Node) -> bytes:
    return fold([node(level, index) for level, index in parts(first, last)])


def _split(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << ((count - 1).bit_length() - 1)


def _zeros(number: int) -> int:
    """How many zero bits ``number`` ends in."""
    return (number & -number).bit_length() - 1
