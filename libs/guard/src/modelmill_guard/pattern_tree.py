"""What a pattern is made of: each node knows its widths, its source and its prefix closure."""

from dataclasses import dataclass
from typing import Protocol


class Node(Protocol):
    @property
    def narrowest(self) -> int: ...
    @property
    def widest(self) -> int: ...
    def source(self) -> str:
        """RE2 syntax of this node, grouped so that anything may stand beside it."""

    def prefixes(self) -> str:
        """RE2 syntax of every beginning of a match of this node, the empty one included."""


@dataclass(frozen=True)
class Character:
    """A literal, class or dot: exactly one character."""

    written: str
    narrowest: int = 1
    widest: int = 1

    def source(self) -> str:
        return self.written

    def prefixes(self) -> str:
        return f"(?:{self.written})?"


@dataclass(frozen=True)
class Boundary:
    """A word boundary, or its absence: no characters, but it looks at both neighbours."""

    written: str
    narrowest: int = 0
    widest: int = 0

    def source(self) -> str:
        return self.written

    def prefixes(self) -> str:
        # At the end of the text seen so far the next neighbour is unknown, so it stays possible.
        return ""


@dataclass(frozen=True)
class Concatenation:
    parts: tuple[Node, ...]

    @property
    def narrowest(self) -> int:
        return sum(part.narrowest for part in self.parts)

    @property
    def widest(self) -> int:
        return sum(part.widest for part in self.parts)

    def source(self) -> str:
        return f"(?:{''.join(part.source() for part in self.parts)})"

    def prefixes(self) -> str:
        closure = ""
        for part in reversed(self.parts):
            closure = f"(?:{part.prefixes()}|{part.source()}{closure})"
        return closure


@dataclass(frozen=True)
class Choice:
    branches: tuple[Node, ...]

    @property
    def narrowest(self) -> int:
        return min(branch.narrowest for branch in self.branches)

    @property
    def widest(self) -> int:
        return max(branch.widest for branch in self.branches)

    def source(self) -> str:
        return f"(?:{'|'.join(branch.source() for branch in self.branches)})"

    def prefixes(self) -> str:
        return f"(?:{'|'.join(branch.prefixes() for branch in self.branches)})"


@dataclass(frozen=True)
class Repeat:
    inner: Node
    least: int
    most: int

    @property
    def narrowest(self) -> int:
        return self.least * self.inner.narrowest

    @property
    def widest(self) -> int:
        return self.most * self.inner.widest

    def source(self) -> str:
        return f"(?:{self.inner.source()}){{{self.least},{self.most}}}"

    def prefixes(self) -> str:
        if self.most == 0:
            return ""
        return f"(?:{self.inner.source()}){{0,{self.most - 1}}}{self.inner.prefixes()}"
