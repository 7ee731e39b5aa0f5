"""Texts that a grammar can produce, drawn at random; what an engine may answer."""

import random

from modelmill_inference.domain.grammar.closing import TextLengths
from modelmill_inference.domain.grammar.tree import (
    Alternatives,
    Characters,
    Grammar,
    Literal,
    Node,
    Reference,
    Repetition,
    Sequence,
)

MORE = 4
"""Beyond the least, a repeat without end is drawn so often at most."""


LONG = 1_500
"""After so many nodes the shortest way out is taken."""


def drawn(grammar: Grammar, draw: random.Random, more: int = MORE) -> str:
    """One text of it."""
    shortest = TextLengths(grammar).shortest
    left: list[Node] = [grammar.root]
    text: list[str] = []
    steps = 0
    while left:
        node = left.pop()
        steps += 1
        match node:
            case Literal(literal):
                text.append(literal)
            case Characters(ranges):
                text.append(chr(draw.randint(*draw.choice(ranges))))
            case Sequence(parts):
                left.extend(reversed(parts))
            case Alternatives(branches):
                free = steps < LONG
                left.append(draw.choice(branches) if free else min(branches, key=shortest))
            case Reference(name):
                left.append(grammar.rules[name])
            case Repetition(item, least, most):
                end = least + more if most is None else min(most, least + 3 * more)
                left.extend([item] * (draw.randint(least, end) if steps < LONG else least))
    return "".join(text)
