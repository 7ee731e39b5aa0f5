"""Grammar trees, and their EBNF for XGrammar.

Nodes are compared by identity, which is all that traversals need.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from modelmill_inference.domain.grammar import characters
from modelmill_inference.domain.grammar.characters import Ranges

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _,:;{}<>=+*/.!()")
"""Unescaped in a literal; other characters are escaped by code point."""
_MISREAD = re.compile(r"(?<=[\x00-\x1f\x7f-\xff])(?=[0-9a-fA-F])")
_SAFE_IN_CLASS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _,:;")


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """A fixed text; may be empty."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Characters:
    """One character of a set."""

    ranges: Ranges


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """Concatenation."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True, eq=False)
class Alternatives:
    """Alternatives, at least one."""

    branches: tuple["Node", ...]


@dataclass(frozen=True, slots=True, eq=False)
class Repetition:
    """Repetition of an item, `least` to `most` times."""

    item: "Node"
    least: int = 0
    most: int | None = None
    """None for unbounded."""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Reference to a rule by name; recursion is only at the end of a sequence."""

    name: str


Node = Literal | Characters | Sequence | Alternatives | Repetition | Reference

NOTHING = Literal("")


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """A tree with its rules."""

    root: Node
    rules: Mapping[str, Node] = field(default_factory=lambda: MappingProxyType({}))


def sequence(*parts: Node | str) -> Node:
    """Concatenate nodes; strings become literals."""
    nodes = tuple(Literal(part) if isinstance(part, str) else part for part in parts)
    return nodes[0] if len(nodes) == 1 else Sequence(nodes)


def choice(branches: "list[Node] | tuple[Node, ...]") -> Node:
    """Combine alternatives."""
    return branches[0] if len(branches) == 1 else Alternatives(tuple(branches))


def optional(node: Node) -> Repetition:
    """An optional node."""
    return Repetition(node, 0, 1)


def children(node: Node) -> tuple[Node, ...]:
    """Child nodes; references are not followed."""
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
    # XGrammar rewrites these characters with a minimal number of hex digits, and then takes a digit
    # after them as another one: "éa" would be generated as "ບ".
    parts = _MISREAD.split(text)
    return " ".join(f'"{"".join(map(_in_literal, part))}"' for part in parts)


def _times(least: int, most: int | None) -> str:
    if most is None:
        return "*" if least == 0 else f"{{{least},}}"
    return "?" if (least, most) == (0, 1) else f"{{{least},{most}}}"


def _class(ranges: Ranges) -> str:
    # XGrammar 0.1.29 misreads ranges that span ASCII and other characters; each part alone, and
    # negated classes, are correct.
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
