"""The tree against RFC 6962's own recursion and its published test vectors."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.merkle import (
    EMPTY,
    Tree,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    leaf_hash,
    node_hash,
    root_from_inclusion,
)

# The eight leaves of certificate-transparency's reference tests, and the roots of their trees.
LEAVES = [bytes.fromhex(each) for each in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962 2.1, word for word."""
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(mth(leaves[:k]), mth(leaves[k:]))


def some_leaves(count: int) -> list[bytes]:
    return [leaf_hash(f"event {number}".encode()) for number in range(count)]


def grown(leaves: list[bytes]) -> tuple[Tree, dict[tuple[int, int], bytes]]:
    tree, nodes = Tree(), dict[tuple[int, int], bytes]()
    for leaf in leaves:
        nodes |= {(level, index): root for level, index, root in tree.add(leaf)}
    return tree, nodes


def test_the_published_roots() -> None:
    tree = Tree()
    for event, root in zip(LEAVES, ROOTS, strict=True):
        tree.add(leaf_hash(event))
        assert tree.root().hex() == root


@given(st.integers(0, 140))
def test_a_growing_tree_has_the_root_of_the_definition(count: int) -> None:
    leaves = some_leaves(count)
    assert grown(leaves)[0].root() == mth(leaves)


@given(st.integers(1, 140), st.data())
def test_a_proof_of_inclusion_leads_to_the_root_from_its_own_leaf_alone(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = some_leaves(size)
    tree, nodes = grown(leaves)
    path = inclusion_proof(index, size, lambda level, place: nodes[level, place])
    assert root_from_inclusion(leaves[index], index, size, path) == tree.root()
    assert root_from_inclusion(leaf_hash(b"another"), index, size, path) != tree.root()
    for broken in ([*path, EMPTY], path[:-1] if path else [EMPTY]):
        with pytest.raises(ValueError, match="the proof is too"):
            root_from_inclusion(leaves[index], index, size, broken)


@given(st.integers(1, 140), st.data())
def test_a_proof_of_consistency_holds_for_its_two_trees_alone(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    leaves = some_leaves(size)
    tree, nodes = grown(leaves)
    before = mth(leaves[:old])
    path = consistency_proof(old, size, lambda level, place: nodes[level, place])
    assert is_consistent(old, before, size, tree.root(), path)
    other = hashlib.sha256(b"other").digest()
    assert not is_consistent(old, other, size, tree.root(), path)
    assert not is_consistent(old, before, size, other, path)
    assert not is_consistent(old, before, size, tree.root(), [*path, other])
    assert not path or not is_consistent(old, before, size, tree.root(), path[:-1])


@given(st.integers(0, 140))
def test_a_tree_goes_on_from_its_frontier(count: int) -> None:
    leaves = some_leaves(count + 3)
    first, _ = grown(leaves[:count])
    again = Tree(first.size, first.frontier)
    for leaf in leaves[count:]:
        again.add(leaf)
    assert again.root() == mth(leaves)


def test_a_frontier_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="a tree of 3 has 2"):
        Tree(3, [EMPTY])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (3, 3), (-1, 3)])
def test_a_leaf_that_is_not_there_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="has no leaf"):
        inclusion_proof(index, size, lambda level, place: EMPTY)
    with pytest.raises(ValueError, match="has no leaf"):
        root_from_inclusion(EMPTY, index, size, [])


@pytest.mark.parametrize(("old", "size"), [(0, 3), (4, 3)])
def test_a_tree_that_was_not_there_has_no_proof(old: int, size: int) -> None:
    with pytest.raises(ValueError, match="has no earlier tree"):
        consistency_proof(old, size, lambda level, place: EMPTY)
    assert not is_consistent(old, EMPTY, size, EMPTY, [])
