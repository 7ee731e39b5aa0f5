"""What an answer may be: a small grammar, from which come the engine's text and all measures.

Nodes are compared by identity: a tree is walked, never searched for equals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from modelmill_inference.domain.grammar.characters import Ranges


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """Exactly this text; empty is nothing."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Characters:
    """One character of some ranges."""

    ranges: Ranges


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """One after the other."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Any one of them; there is at least one."""

    branches: tuple["Node", ...]


@dataclass(frozen=True, slots=True, eq=False)
class Repeat:
    """The item from `least` to `most` times."""

    item: "Node"
    least: int = 0
    most: int | None = None
    """None: as often as one likes."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A rule of the grammar, by name. What refers to itself does so at the end of a sequence."""

    name: str


Node = Literal | Characters | Sequence | Choice | Repeat | Reference

NOTHING = Literal("")


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """A tree and the rules that it refers to."""

    root: Node
    rules: Mapping[str, Node] = field(default_factory=lambda: MappingProxyType({}))


def sequence(*parts: Node | str) -> Node:
    """They in this order; texts are literals."""
    nodes = tuple(Literal(part) if isinstance(part, str) else part for part in parts)
    return nodes[0] if len(nodes) == 1 else Sequence(nodes)


def choice(branches: "list[Node] | tuple[Node, ...]") -> Node:
    """One of them."""
    return branches[0] if len(branches) == 1 else Choice(tuple(branches))


def optional(node: Node) -> Repeat:
    """It or nothing."""
    return Repeat(node, 0, 1)


def children(node: Node) -> tuple[Node, ...]:
    """What a node is made of; a reference is not followed."""
    match node:
        case Sequence(parts):
            return parts
        case Choice(branches):
            return branches
        case Repeat(item=item):
            return (item,)
        case _:
            return ()
