"""Syntax tree of a pattern, and the literal heads with which each of its matches begins.

A node knows its widths, its source and its prefix closure. A match is impossible where none of its
pattern's heads stands, and the keyword automaton finds heads in the pass that it makes anyway.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import re2


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


_MOST_HEADS = 128
_LONGEST_HEAD = 12
_MOST_SINGLE_LETTERS = 5
"""With more heads of one letter alone, most words would be searched anyway."""

Head = tuple[str, bool]
"""A beginning, and whether it is all of the node's match, so that what follows may extend it."""
_ANYTHING: frozenset[Head] = frozenset({("", False)})


def heads_of(tree: Node) -> frozenset[str]:
    """Beginnings of which every match has one; empty when they are too many or too common."""
    heads = {head for head, _ in _heads(tree)}
    letters = sum(len(head) == 1 and head.isalpha() for head in heads)
    if "" in heads or letters > _MOST_SINGLE_LETTERS:
        return frozenset()
    return frozenset(heads)


def begins_at_boundary(tree: Node) -> bool:
    """Whether a match can only begin at a word boundary of RE2 (ASCII)."""
    if isinstance(tree, Boundary):
        return tree.written == "\\b"
    if isinstance(tree, Concatenation):
        return bool(tree.parts) and begins_at_boundary(tree.parts[0])
    return isinstance(tree, Choice) and all(map(begins_at_boundary, tree.branches))


def _heads(node: Node) -> frozenset[Head]:
    if isinstance(node, Character):
        characters = characters_of(node.written)
        return frozenset((one, True) for one in characters) if characters else _ANYTHING
    if isinstance(node, Concatenation):
        heads: frozenset[Head] = frozenset({("", True)})
        for part in node.parts:
            if not any(whole for _, whole in heads):
                break
            heads = _followed(heads, _heads(part))
        return heads
    if isinstance(node, Choice):
        return _bounded(head for branch in node.branches for head in _heads(branch))
    if isinstance(node, Repeat):
        return _repeated(node)
    return frozenset({("", True)})


def _repeated(node: Repeat) -> frozenset[Head]:
    if node.most == 0:
        return frozenset({("", True)})
    inner = _heads(node.inner)
    heads = inner if node.most == 1 else frozenset((head, False) for head, _ in inner)
    return heads if node.least else heads | {("", True)}


def _followed(heads: frozenset[Head], following: frozenset[Head]) -> frozenset[Head]:
    longer = {(head, False) for head, whole in heads if not whole}
    extended = [
        ((head + after)[:_LONGEST_HEAD], whole_after and len(head + after) < _LONGEST_HEAD)
        for head, whole in heads
        if whole
        for after, whole_after in following
    ]
    if len(longer) + len(extended) > _MOST_HEADS:
        return frozenset((head, False) for head, _ in heads)
    return frozenset(longer.union(extended))


def _bounded(heads: Iterable[Head]) -> frozenset[Head]:
    bounded = frozenset(heads)
    return bounded if len(bounded) <= _MOST_HEADS else _ANYTHING


@cache
def _beyond_ascii() -> bytes:
    """Every other character; two fold to ASCII letters and are never in a shadow copy."""
    runs = ((0x80, 0x17F), (0x180, 0x212A), (0x212B, 0xD800), (0xE000, 0x110000))
    return "".join("".join(map(chr, range(*run))) for run in runs).encode()


@cache
def characters_of(written: str) -> str:
    """The characters of a shadow copy that a literal or class matches; empty for too many."""
    if len(written) == 1 and written.isascii() and written.isalnum():
        return written.lower()
    options = re2.Options()
    options.case_sensitive = False
    pattern = re2.compile(written, options)
    matched = [chr(code) for code in range(128) if pattern.fullmatch(chr(code))]
    matched = [one for one in matched if one == one.lower()]
    # As bytes, which RE2 reads as they are: a million characters are encoded once.
    beyond = re2.compile(written.encode(), options).search(_beyond_ascii())
    if beyond is None:
        return "".join(matched)
    literal = written.removeprefix("\\")
    return literal if len(literal) == 1 and literal != "." and not literal.isascii() else ""
