"""The root of a Merkle tree says which rows there are, and in which order."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.lineage.merkle import MerkleTree, dataset_root, leaf_hash, node_hash

leaves = st.lists(st.binary(max_size=8).map(leaf_hash), max_size=40)


def root_by_definition(hashes: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return node_hash(root_by_definition(hashes[:half]), root_by_definition(hashes[half:]))


def tree_of(hashes: list[bytes]) -> MerkleTree:
    tree = MerkleTree()
    tree.add(hashes)
    return tree


@given(leaves)
def test_the_root_is_that_of_the_standard(hashes: list[bytes]) -> None:
    assert tree_of(hashes).root() == root_by_definition(hashes)


@given(leaves, st.integers(0, 40))
def test_it_does_not_matter_how_many_rows_come_at_a_time(hashes: list[bytes], cut: int) -> None:
    tree = tree_of(hashes[:cut])
    tree.add_packed(b"".join(hashes[cut:]))

    assert (tree.root(), tree.size) == (tree_of(hashes).root(), len(hashes))


@given(leaves, leaves)
def test_other_rows_or_another_order_give_another_root(one: list[bytes], two: list[bytes]) -> None:
    assert (tree_of(one).root() == tree_of(two).root()) == (one == two)


def test_a_row_that_goes_to_another_split_changes_the_datasets_root() -> None:
    row, other = leaf_hash(b"row"), leaf_hash(b"other")

    roots = {
        dataset_root({"train": tree_of(train), "test": tree_of(test)})
        for train, test in (([row, other], []), ([row], [other]), ([], [row, other]))
    }

    assert len(roots) == 3
