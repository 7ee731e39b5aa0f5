"""A grammar as XGrammar's EBNF. Nothing that a caller wrote goes out as it came in."""

import re

from modelmill_inference.domain.grammar import characters
from modelmill_inference.domain.grammar.characters import Ranges
from modelmill_inference.domain.grammar.tree import (
    Characters,
    Choice,
    Grammar,
    Literal,
    Node,
    Reference,
    Repeat,
    Sequence,
)

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _,:;{}<>=+*/.!()")
"""Written as they are in a literal; everything else by its number."""
_MISREAD = re.compile(r"(?<=[\x00-\x1f\x7f-\xff])(?=[0-9a-fA-F])")
_SAFE_IN_CLASS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _,:;")


def printed(grammar: Grammar) -> str:
    """The text that engines are given; its rule `root` is the answer."""
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
        case Choice(branches):
            return f"({' | '.join(map(_node, branches))})"
        case Repeat(item, least, most):
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
