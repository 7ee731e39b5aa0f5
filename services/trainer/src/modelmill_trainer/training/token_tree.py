"""Token tree (prefix tree): rows share nodes for common prefixes, which are computed once.

Rows of a task often share a system message and template text. Each token attends to its ancestors
and itself, at its position in its own row. So every row is computed exactly as if it were alone, in
one forward pass without padding. Training shares system messages; scoring shares prompts.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

ROOT = -1


class TokenTree:
    """A prefix tree of token ids; nodes are numbered in order of insertion."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        """Token id of each node."""
        self.positions: list[int] = []
        """Position of each node in its rows, from 0."""
        self._parents: list[int] = []
        self._children: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, ids: Iterable[int], *, below: int = ROOT) -> list[int]:
        """Insert a path below a node; returns the node of each id."""
        path = []
        node = below
        for token in ids:
            node = self._child(node, token)
            path.append(node)
        return path

    def growth(self, ids: Sequence[int]) -> int:
        """Number of nodes that `add(ids)` would create."""
        node = ROOT
        for seen, token in enumerate(ids):
            found = self._children.get((node, token))
            if found is None:
                return len(ids) - seen
            node = found
        return 0

    def visible_N_N(self) -> Tensor:
        """Attention mask: True if the row's node attends to the column's node (ancestor or
        itself)."""
        visible = torch.eye(len(self), dtype=torch.bool)
        for node, parent in enumerate(self._parents):
            if parent != ROOT:
                # Parents come first, so the parent's row is complete.
                visible[node] |= visible[parent]
        return visible

    def _child(self, parent: int, token: int) -> int:
        found = self._children.get((parent, token))
        if found is not None:
            return found
        node = len(self.ids)
        self._children[parent, token] = node
        self.ids.append(token)
        self._parents.append(parent)
        self.positions.append(0 if parent == ROOT else self.positions[parent] + 1)
        return node
