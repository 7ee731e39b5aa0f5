"""What an answer may be: a small grammar, from which come the engine's text and all measures.

Nodes are compared by identity: a tree is walked, never searched for equals.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from modelmill_inference.domain.grammar import characters
from modelmill_inference.domain.grammar.characters import Ranges

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _,:;{}<>=+*/.!()")
"""Written as they are in a literal; everything else by its number."""
_MISREAD = re.compile(r"(?<=[\x00-\x1f\x7f-\xff])(?=[0-9a-fA-F])")
_SAFE_IN_CLASS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _,:;")


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
class Alternatives:
    """Any one of them; there is at least one."""

    branches: tuple["Node", ...]


@dataclass(frozen=True, slots=True, eq=False)
class Repetition:
    """The item from `least` to `most` times."""

    item: "Node"
    least: int = 0
    most: int | None = None
    """None: as often as one likes."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A rule of the grammar, by name. What refers to itself does so at the end of a sequence."""

    name: str


Node = Literal | Characters | Sequence | Alternatives | Repetition | Reference

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
    return branches[0] if len(branches) == 1 else Alternatives(tuple(branches))


def optional(node: Node) -> Repetition:
    """It or nothing."""
    return Repetition(node, 0, 1)


def children(node: Node) -> tuple[Node, ...]:
    """What a node is made of; a reference is not followed."""
    match node:
        case Sequence(parts):
            return parts
        case Alternatives(branches):
            return branches
        case Repetition(item=item):
            return (item,)
        case _:
            return ()


def printed(grammar: Grammar) -> str:
    """The grammar as XGrammar's EBNF, with rule `root`. No text of a caller is copied unescaped."""
    lines = [f"root ::= {_node(grammar.root)}"]
    lines += [f"{name} ::= {_node(node)}" for name, node in grammar.rules.items()]
    return "\n".join(lines) + "\n"


def _node(node: Node) -> str:
    match node:
        case Literal(text):
            return _literal(text)
        case Characters(ranges):
            return _class(ranges)
        case Sequence(parts):
            return f"({' '.join(map(_node, parts))})"
        case Alternatives(branches):
            return f"({' | '.join(map(_node, branches))})"
        case Repetition(item, least, most):
            return f"({_node(item)}){_times(least, most)}"
        case Reference(name):
            return name


def _literal(text: str) -> str:
    # XGrammar writes these characters anew with as many digits as they need, and then takes a digit
    # behind them for one more: "éa" would be said as "ບ".
    parts = _MISREAD.split(text)
    return " ".join(f'"{"".join(map(_in_literal, part))}"' for part in parts)


def _times(least: int, most: int | None) -> str:
    if most is None:
        return "*" if least == 0 else f"{{{least},}}"
    return "?" if (least, most) == (0, 1) else f"{{{least},{most}}}"


def _class(ranges: Ranges) -> str:
    # Of ranges that reach from ASCII into the rest, XGrammar 0.1.29 allows other characters than
    # those that are listed; it is right about each part, and about what is excluded.
    beyond = characters.both(ranges, characters.BEYOND_ASCII)
    if beyond == characters.BEYOND_ASCII:
        return f"[^{_ranges(characters.missing_ascii(ranges))}]"
    ascii_part = characters.without(ranges, beyond)
    parts = [f"[{_ranges(part)}]" for part in (ascii_part, beyond) if part]
    return parts[0] if len(parts) == 1 else f"({' | '.join(parts)})"


def _ranges(ranges: Ranges) -> str:
    return "".join(
        _in_class(first) if first == last else f"{_in_class(first)}-{_in_class(last)}"
        for first, last in ranges
    )


def _in_literal(character: str) -> str:
    return character if character in _SAFE else f"\\U{ord(character):08x}"


def _in_class(point: int) -> str:
    return chr(point) if chr(point) in _SAFE_IN_CLASS else f"\\U{point:08x}"
