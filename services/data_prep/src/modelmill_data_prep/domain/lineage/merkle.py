"""A Merkle tree over the rows of a dataset: equal roots, equal rows in equal order.

The tree is that of RFC 6962, section 2.1 (a leaf's hash cannot be taken for a node's), built while
the leaves come: memory holds one hash for each level.
"""

import hashlib
from collections.abc import Iterable, Mapping

HASH_BYTES = 32
_LEAF, _NODE = b"\x00", b"\x01"


def leaf_hash(row: bytes) -> bytes:
    """The hash of one row as it is written, its line feed left out."""
    return hashlib.sha256(_LEAF + row).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(_NODE + left + right).digest()


class MerkleTree:
    """Takes leaf hashes in order, and has the root of those it took."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes | None] = []
        """By level the complete subtree of 2**level leaves that waits for its neighbour."""

    def add(self, leaves: Iterable[bytes]) -> None:
        """More leaves."""
        for leaf in leaves:
            self._add(leaf)

    def add_packed(self, leaves: bytes) -> None:
        """More leaves, their hashes one after the other."""
        for start in range(0, len(leaves), HASH_BYTES):
            self._add(leaves[start : start + HASH_BYTES])

    def root(self) -> bytes:
        """The root; the hash of nothing where there are no leaves."""
        root: bytes | None = None
        for subtree in self._subtrees:
            if subtree is not None:
                root = subtree if root is None else node_hash(subtree, root)
        return hashlib.sha256(b"").digest() if root is None else root

    def _add(self, leaf: bytes) -> None:
        self.size += 1
        carried = leaf
        for level, waiting in enumerate(self._subtrees):
            if waiting is None:
                self._subtrees[level] = carried
                return
            carried = node_hash(waiting, carried)
            self._subtrees[level] = None
        self._subtrees.append(carried)


def dataset_root(splits: Mapping[str, MerkleTree]) -> str:
    """Hex root of a dataset: a leaf for each split, by name, with its size and root."""
    tree = MerkleTree()
    for name, rows in sorted(splits.items()):
        tree.add([leaf_hash(f"{name} {rows.size} {rows.root().hex()}".encode())])
    return tree.root().hex()
