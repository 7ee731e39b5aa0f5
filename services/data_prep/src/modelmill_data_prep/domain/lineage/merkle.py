"""Incremental Merkle tree over a dataset's rows: equal roots mean equal rows in equal order.

Hashing follows RFC 6962, section 2.1 (domain separation of leaves and nodes). Memory holds one hash
per level.
"""

import hashlib
from collections.abc import Iterable, Mapping

HASH_BYTES = 32
_LEAF, _NODE = b"\x00", b"\x01"


def leaf_hash(row: bytes) -> bytes:
    """Leaf hash of a written row, without its line feed."""
    return hashlib.sha256(_LEAF + row).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return hashlib.sha256(_NODE + left + right).digest()


class MerkleTree:
    """Appends leaf hashes and computes the root."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes | None] = []
        """Pending complete subtree of 2**level leaves, by level."""

    def add(self, leaves: Iterable[bytes]) -> None:
        """Append leaf hashes."""
        for leaf in leaves:
            self._add(leaf)

    def add_packed(self, leaves: bytes) -> None:
        """Append concatenated leaf hashes."""
        for start in range(0, len(leaves), HASH_BYTES):
            self._add(leaves[start : start + HASH_BYTES])

    def root(self) -> bytes:
        """The root; the hash of the empty string without leaves."""
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
    """Hex root of a dataset: a tree over name, size and root of each split."""
    tree = MerkleTree()
    for name, rows in sorted(splits.items()):
        tree.add([leaf_hash(f"{name} {rows.size} {rows.root().hex()}".encode())])
    return tree.root().hex()
