"""Matches a text against a grammar: possible next characters, and the remaining grammar.

A position is a linked list of frames (node, progress, continuation); None is the end. In an
ambiguous grammar a text has several positions.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from modelmill_inference.domain.grammar import characters
from modelmill_inference.domain.grammar.characters import Ranges
from modelmill_inference.domain.grammar.tree import (
    NOTHING,
    Alternatives,
    Characters,
    Grammar,
    Literal,
    Node,
    Reference,
    Repetition,
    Sequence,
    choice,
)

Position = tuple[Node, int, "Position"] | None
Step = tuple[Ranges | str, Position]
"""A possible next character set, and the position after it."""

MAX_READINGS = 2_000
MAX_POSITIONS = 256
"""Further positions are dropped; every continuation of the kept ones is valid."""
_contain = characters.contain


def start(grammar: Grammar) -> frozenset[Position]:
    """Position at the start."""
    return frozenset({(grammar.root, 0, None)})


class Steps(NamedTuple):
    """Possible continuations."""

    found: list[Step]
    may_end: bool
    work: int


class TooManyReadingsError(Exception):
    """The grammar is too ambiguous."""


def steps(positions: Iterable[Position], rules: Mapping[str, Node]) -> Steps:
    """Possible next characters.

    Raises:
        TooManyReadingsError: for example, nested repetitions of nodes that may be empty.
    """
    found: list[Step] = []
    left, seen = list(positions), set(positions)
    while left:
        if len(seen) > MAX_READINGS:
            raise TooManyReadingsError
        position = left.pop()
        if position is None:
            continue
        for step in _one(position, rules):
            if step[0]:
                found.append(step)
            elif step[1] not in seen:
                seen.add(step[1])
                left.append(step[1])
    return Steps(found, None in seen, len(seen))


def _one(position: tuple[Node, int, Position], rules: Mapping[str, Node]) -> list[Step]:
    """Single transitions; those without a character have an empty text."""
    node, done, after = position
    match node:
        case Literal(text):
            if done == len(text):
                return [("", after)]
            return [(text[done], (node, done + 1, after) if done + 1 < len(text) else after)]
        case Characters(ranges):
            return [(ranges, after)]
        case Sequence(parts):
            if done == len(parts):
                return [("", after)]
            rest = (node, done + 1, after) if done + 1 < len(parts) else after
            return [("", (parts[done], 0, rest))]
        case Alternatives(branches):
            return [("", (branch, 0, after)) for branch in branches]
        case Reference(name):
            return [("", (rules[name], 0, after))]
        case Repetition(item, least, most):
            moves: list[Step] = [("", after)] if done >= least else []
            if most is None or done < most:
                # Without an upper bound, counts beyond `least` are equivalent.
                counted = min(done + 1, least) if most is None else done + 1
                moves.append(("", (item, 0, (node, counted, after))))
            return moves


def advance(
    positions: frozenset[Position], character: str, rules: Mapping[str, Node]
) -> frozenset[Position]:
    """Positions after a character; empty if it is not allowed."""
    reached = {
        after
        for symbol, after in steps(positions, rules).found
        if (symbol == character if isinstance(symbol, str) else _contain(symbol, character))
    }
    if len(reached) > MAX_POSITIONS:
        reached = set(list(reached)[:MAX_POSITIONS])
    return frozenset(reached)


def behind(text: str, grammar: Grammar) -> frozenset[Position]:
    """Positions after a text; empty if the grammar does not allow it."""
    positions = start(grammar)
    for character in text:
        positions = advance(positions, character, grammar.rules)
    return positions


def may_end(positions: frozenset[Position], grammar: Grammar) -> bool:
    """Whether the text is complete."""
    return steps(positions, grammar.rules).may_end


def remainder(positions: frozenset[Position], grammar: Grammar) -> Grammar:
    """Grammar of the remaining text; there must be at least one position."""
    return Grammar(choice([_left_of(position) for position in positions]), grammar.rules)


def _left_of(position: Position) -> Node:
    parts: list[Node] = []
    while position is not None:
        node, done, position = position
        match node:
            case Literal(text):
                parts.append(Literal(text[done:]))
            case Sequence(nodes):
                parts.extend(nodes[done:])
            case Repetition(item, least, most):
                left = None if most is None else most - done
                if left != 0:
                    parts.append(Repetition(item, max(least - done, 0), left))
            case _:
                parts.append(node)
    return Sequence(tuple(parts)) if parts else NOTHING
