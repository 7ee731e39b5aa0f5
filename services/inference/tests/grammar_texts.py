"""Texts that a grammar can produce, drawn at random; what an engine may answer."""

import random

from inference.domain.grammar.tree import (
    Characters,
    Choice,
    Grammar,
    Literal,
    Node,
    Reference,
    Repeat,
    Sequence,
)

MORE = 4
"""Beyond the least, a repeat without end is drawn so often at most."""


def drawn(grammar: Grammar, draw: random.Random, more: int = MORE) -> str:
    """One text of it."""
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
            case Choice(branches):
                # An automaton's loops must end: what stops is then preferred.
                left.append(draw.choice(branches) if steps < 3000 else branches[-1])
            case Reference(name):
                left.append(grammar.rules[name])
            case Repeat(item, least, most):
                end = least + more if most is None else min(most, least + 3 * more)
                left.extend([item] * draw.randint(least, end))
    return "".join(text)
