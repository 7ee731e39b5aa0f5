"""The end of an answer that comes to its limit: what is left of its grammar, made to fit."""

import math

from modelmill_inference.domain.grammar import characters
from modelmill_inference.domain.grammar.lengths import Measures
from modelmill_inference.domain.grammar.tree import (
    NOTHING,
    Characters,
    Choice,
    Grammar,
    Literal,
    Node,
    Reference,
    Repeat,
    Sequence,
    choice,
    sequence,
)

MOST_COUNTED = 6
"""Characters of a string; each counted one costs the engine some milliseconds, once."""


def fitted(grammar: Grammar, room: int) -> Grammar | None:
    """A part of the grammar whose every text has at most so many bytes; None if none has."""
    measures = Measures(grammar)
    if measures.shortest(grammar.root) > room:
        return None
    fitter = _Fitter(grammar, measures)
    root, _ = fitter.fit(grammar.root, room)
    return Grammar(root, fitter.rules)


class _Fitter:
    """Each method gives a node and the length of its longest text."""

    def __init__(self, grammar: Grammar, measures: Measures) -> None:
        self._from = grammar.rules
        self._measures = measures
        self._known: dict[tuple[str, int], tuple[Node, int]] = {}
        self.rules: dict[str, Node] = {}

    def fit(self, node: Node, room: int) -> tuple[Node, int]:
        """`room` is at least the node's shortest."""
        match node:
            case Literal(text):
                return node, len(text.encode())
            case Characters(ranges):
                kept = characters.narrowed(ranges, room)
                return Characters(kept), characters.width(kept[-1][1])
            case Sequence(parts):
                return self._sequence(parts, room)
            case Choice(branches):
                shortest = self._measures.shortest
                fits = [self.fit(one, room) for one in branches if shortest(one) <= room]
                return choice([one for one, _ in fits]), max(length for _, length in fits)
            case Reference(name):
                return self._reference(name, room)
            case Repeat():
                return self._repeat(node, room)

    def _sequence(self, parts: tuple[Node, ...], room: int) -> tuple[Node, int]:
        shortest = [int(self._measures.shortest(part)) for part in parts]
        elastic = [self._measures.longest(p) > s for p, s in zip(parts, shortest, strict=True)]
        spare, hungry = room - sum(shortest), sum(elastic)
        fits: list[Node] = []
        total = 0
        for part, least, is_elastic in zip(parts, shortest, elastic, strict=True):
            more = spare // hungry if is_elastic else 0
            fit, longest = self.fit(part, least + more)
            hungry -= is_elastic
            spare -= longest - least
            total += longest
            fits.append(fit)
        return (Sequence(tuple(fits)) if fits else NOTHING), total

    def _reference(self, name: str, room: int) -> tuple[Node, int]:
        longest = self._measures.longest(Reference(name))
        room = int(min(room, longest)) if math.isfinite(longest) else room
        key = (name, room)
        if key not in self._known:
            if name in self._measures.cyclic:
                node, length = self._shortest(Reference(name))
            else:
                node, length = self.fit(self._from[name], room)
            rule = f"c{len(self.rules)}"
            self.rules[rule] = node
            self._known[key] = Reference(rule), length
        return self._known[key]

    def _repeat(self, node: Repeat, room: int) -> tuple[Node, int]:
        item, least, most = node.item, node.least, node.most
        shortest = int(self._measures.shortest(item))
        if most == 0 or (least == 0 and shortest > room):
            return NOTHING, 0
        if least:
            fit, longest = self.fit(item, room // least)
            spare = (room - least * longest) // longest if longest else 0
        else:
            # Something short and often rather than one thing that is long.
            fit, longest = self.fit(item, max(shortest, min(room, shortest + 8)))
            spare = room // longest if longest else 0
        more = min(spare, MOST_COUNTED if most is None else min(most - least, MOST_COUNTED))
        if least + more == 0:
            return NOTHING, 0
        return Repeat(fit, least, least + more), (least + more) * longest

    def _shortest(self, node: Node) -> tuple[Node, int]:
        """The nearest end, without recursion: such rules may be a long chain."""
        shortest = self._measures.shortest
        left: list[Node] = [node]
        found: list[Node] = []
        total = 0
        while left:
            one = left.pop()
            match one:
                case Literal(text):
                    total += len(text.encode())
                    found.append(one)
                case Characters(ranges):
                    narrow = characters.width(ranges[0][0])
                    total += narrow
                    found.append(Characters(characters.narrowed(ranges, narrow)))
                case Sequence(parts):
                    left.extend(reversed(parts))
                case Choice(branches):
                    left.append(min(branches, key=shortest))
                case Repeat(item, least, _):
                    left.extend([item] * least)
                case Reference(name):
                    left.append(self._from[name])
        return (sequence(*found) if found else NOTHING), total
