"""Restricts a grammar to texts of a maximum length, to end an answer within its token limit."""

import math
from collections.abc import Mapping

from modelmill_inference.domain.grammar import characters
from modelmill_inference.domain.grammar.characters import width
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
    children,
    choice,
    sequence,
)

MOST_COUNTED = 6
"""Characters of a string; each counted one costs the engine some milliseconds, once."""


class TextLengths:
    """How long the texts of a grammar are, in bytes: the most tokens that a text can take.

    A token stands for at least one byte, and a model may generate the shortest ones: only bytes
    give an upper bound in tokens.
    """

    def __init__(self, grammar: Grammar) -> None:
        self._rules = grammar.rules
        order, self.cyclic = _bottom_up(grammar.rules)
        self._shortest = dict.fromkeys(order, math.inf)
        self._rest = dict.fromkeys(order, 0.0)
        self._longest = dict.fromkeys(order, math.inf)
        self._settle(order)
        for name in order:
            if name not in self.cyclic:
                self._longest[name] = self.longest(grammar.rules[name])

    def _settle(self, order: list[str]) -> None:
        """Fixed-point iteration, for recursive rules; two rounds suffice without recursion."""
        changed = True
        while changed:
            changed = False
            for name in order:
                shortest = self.shortest(self._rules[name])
                changed |= shortest != self._shortest[name]
                self._shortest[name] = shortest
        changed = True
        while changed:
            changed = False
            for name in order:
                rest = self.rest(self._rules[name])
                changed |= rest != self._rest[name]
                self._rest[name] = rest

    def shortest(self, node: Node) -> float:
        """Length of the shortest text; infinite if there is none."""
        match node:
            case Literal(text):
                return len(text.encode())
            case Characters(ranges):
                return width(ranges[0][0])
            case Sequence(parts):
                return sum(map(self.shortest, parts))
            case Alternatives(branches):
                return min(map(self.shortest, branches))
            case Repetition(item, least, _):
                return least * self.shortest(item) if least else 0
            case Reference(name):
                return self._shortest[name]

    def longest(self, node: Node) -> float:
        """Length of the longest text; infinite if unbounded."""
        match node:
            case Literal(text):
                return len(text.encode())
            case Characters(ranges):
                return width(ranges[-1][1])
            case Sequence(parts):
                return sum(map(self.longest, parts))
            case Alternatives(branches):
                return max(map(self.longest, branches))
            case Repetition(item, _, most):
                longest = self.longest(item)
                if longest == 0 or most == 0:
                    return 0
                return math.inf if most is None else most * longest
            case Reference(name):
                return self._longest[name]

    def rest(self, node: Node) -> float:
        """Maximum bytes that are needed to complete any prefix."""
        match node:
            case Sequence(parts):
                worst = after = 0.0
                for part in reversed(parts):
                    worst = max(worst, self.rest(part) + after)
                    after += self.shortest(part)
                return worst
            case Alternatives(branches):
                return max(map(self.rest, branches))
            case Repetition(item, least, most):
                if most == 0:
                    return 0
                return self.rest(item) + max(least - 1, 0) * self.shortest(item)
            case Reference(name):
                return self._rest[name]
            case _:
                return self.shortest(node)


def _bottom_up(rules: Mapping[str, Node]) -> tuple[list[str], frozenset[str]]:
    """Rule names in topological order, and the names of recursive rules."""
    order: list[str] = []
    state: dict[str, int] = {}
    cyclic: set[str] = set()
    direct = {name: references(node) for name, node in rules.items()}
    for start in rules:
        path = [(start, iter(direct[start]))] if start not in state else []
        state.setdefault(start, 1)
        while path:
            name, left = path[-1]
            following = next(left, None)
            if following is None:
                state[name] = 2
                order.append(name)
                path.pop()
            elif following not in state:
                state[following] = 1
                path.append((following, iter(direct[following])))
            elif state[following] == 1:
                cyclic.add(following)
    return order, _reaching(cyclic, direct)


def _reaching(targets: set[str], direct: Mapping[str, list[str]]) -> frozenset[str]:
    """The targets, and all rules that reach one of them."""
    callers: dict[str, list[str]] = {}
    for name, called in direct.items():
        for one in called:
            callers.setdefault(one, []).append(name)
    found, left = set(targets), list(targets)
    while left:
        for caller in callers.get(left.pop(), ()):
            if caller not in found:
                found.add(caller)
                left.append(caller)
    return frozenset(found)


def references(node: Node) -> list[str]:
    """Names of rules that a node refers to."""
    found: list[str] = []
    left = [node]
    while left:
        one = left.pop()
        if isinstance(one, Reference):
            found.append(one.name)
        left.extend(children(one))
    return found


def fitted(grammar: Grammar, room: int) -> Grammar | None:
    """A subset of the grammar whose texts have at most `room` bytes; None if there is none."""
    measures = TextLengths(grammar)
    if measures.shortest(grammar.root) > room:
        return None
    fitter = _Fitter(grammar, measures)
    root, _ = fitter.fit(grammar.root, room)
    return Grammar(root, fitter.rules)


class _Fitter:
    """Methods return a node and the length of its longest text."""

    def __init__(self, grammar: Grammar, measures: TextLengths) -> None:
        self._from = grammar.rules
        self._measures = measures
        self._known: dict[tuple[str, int], tuple[Node, int]] = {}
        self.rules: dict[str, Node] = {}

    def fit(self, node: Node, room: int) -> tuple[Node, int]:
        """`room` must be at least the node's shortest text."""
        match node:
            case Literal(text):
                return node, len(text.encode())
            case Characters(ranges):
                kept = characters.narrowed(ranges, room)
                return Characters(kept), characters.width(kept[-1][1])
            case Sequence(parts):
                return self._sequence(parts, room)
            case Alternatives(branches):
                shortest = self._measures.shortest
                fits = [self.fit(one, room) for one in branches if shortest(one) <= room]
                return choice([one for one, _ in fits]), max(length for _, length in fits)
            case Reference(name):
                return self._reference(name, room)
            case Repetition():
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

    def _repeat(self, node: Repetition, room: int) -> tuple[Node, int]:
        item, least, most = node.item, node.least, node.most
        shortest = int(self._measures.shortest(item))
        if most == 0 or (least == 0 and shortest > room):
            return NOTHING, 0
        if least:
            fit, longest = self.fit(item, room // least)
            spare = (room - least * longest) // longest if longest else 0
        else:
            # Prefer many short items to one long item.
            fit, longest = self.fit(item, max(shortest, min(room, shortest + 8)))
            spare = room // longest if longest else 0
        more = min(spare, MOST_COUNTED if most is None else min(most - least, MOST_COUNTED))
        if least + more == 0:
            return NOTHING, 0
        return Repetition(fit, least, least + more), (least + more) * longest

    def _shortest(self, node: Node) -> tuple[Node, int]:
        """The shortest completion, iteratively: rules may form a long chain."""
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
                case Alternatives(branches):
                    left.append(min(branches, key=shortest))
                case Repetition(item, least, _):
                    left.extend([item] * least)
                case Reference(name):
                    left.append(self._from[name])
        return (sequence(*found) if found else NOTHING), total
