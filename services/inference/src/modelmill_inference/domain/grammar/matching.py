"""Where in a grammar a text stands: what may come next, and what is left.

A position is a chain of frames (node, how far in it, what comes after it); None is the end. An
ambiguous grammar has a text in several positions at once.
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
"""What may come, and where it leads."""

MAX_READINGS = 2_000
MAX_POSITIONS = 256
"""More are dropped: whatever can still follow from those that are kept is right."""
_contain = characters.contain


def start(grammar: Grammar) -> frozenset[Position]:
    """Before the first character."""
    return frozenset({(grammar.root, 0, None)})


class Steps(NamedTuple):
    """What may follow a text."""

    found: list[Step]
    may_end: bool
    work: int


class TooManyReadingsError(Exception):
    """A text can be read in more ways than can be looked at."""


def steps(positions: Iterable[Position], rules: Mapping[str, Node]) -> Steps:
    """All that may come next.

    Raises:
        TooManyReadingsError: repeats of what may be empty, in each other.
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
    """One move; those without a character have an empty text."""
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
                # Beyond `least` it does not matter how often, if there is no other end.
                counted = min(done + 1, least) if most is None else done + 1
                moves.append(("", (item, 0, (node, counted, after))))
            return moves


def advance(
    positions: frozenset[Position], character: str, rules: Mapping[str, Node]
) -> frozenset[Position]:
    """Behind the character; empty when it may not come."""
    reached = {
        after
        for symbol, after in steps(positions, rules).found
        if (symbol == character if isinstance(symbol, str) else _contain(symbol, character))
    }
    if len(reached) > MAX_POSITIONS:
        reached = set(list(reached)[:MAX_POSITIONS])
    return frozenset(reached)


def behind(text: str, grammar: Grammar) -> frozenset[Position]:
    """All positions of a text that the grammar may begin with; empty for another one."""
    positions = start(grammar)
    for character in text:
        positions = advance(positions, character, grammar.rules)
    return positions


def may_end(positions: frozenset[Position], grammar: Grammar) -> bool:
    """Whether the text is whole."""
    return steps(positions, grammar.rules).may_end


def remainder(positions: frozenset[Position], grammar: Grammar) -> Grammar:
    """What may follow, as a grammar of its own; there is at least one position."""
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
