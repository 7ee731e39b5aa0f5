"""Rows laid out as one tree of tokens, so that what they share is computed once.

Rows of a task begin alike (the system turn, the template's words). Laid side by side they would
repeat that beginning; here it is one path from which they branch off. Each token attends to its
ancestors and to itself, at the position it has in its own row, so every row is computed exactly as
if it were alone, in a single forward pass without padding. The same layout serves training (rows
that share a system turn) and scoring (choices that share a prompt).
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

ROOT = -1


class TokenTree:
    """Grows by rows; node numbers follow the order in which tokens were first seen."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        """Token of each node."""
        self.positions: list[int] = []
        """Place of each node in the rows that go through it, from 0."""
        self._parents: list[int] = []
        self._children: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, ids: Iterable[int], *, below: int = ROOT) -> list[int]:
        """The node of each of `ids`, as a path that begins below a node; makes what is missing."""
        path = []
        node = below
        for token in ids:
            node = self._child(node, token)
            path.append(node)
        return path

    def growth(self, ids: Sequence[int]) -> int:
        """How many nodes `add(ids)` would make."""
        node = ROOT
        for seen, token in enumerate(ids):
            found = self._children.get((node, token))
            if found is None:
                return len(ids) - seen
            node = found
        return 0

    def visible_N_N(self) -> Tensor:
        """Whether the node of a row attends to the node of a column: its ancestors and itself."""
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
