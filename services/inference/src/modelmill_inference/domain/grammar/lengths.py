"""How long the texts of a grammar are, in bytes: the most tokens that a text can take.

A token stands for at least one byte, and a model may take the shortest ones; so bytes are what a
limit of tokens can promise.
"""

import math
from collections.abc import Mapping

from modelmill_inference.domain.grammar.characters import width
from modelmill_inference.domain.grammar.tree import (
    Characters,
    Choice,
    Grammar,
    Literal,
    Node,
    Reference,
    Repeat,
    Sequence,
    children,
)


class Measures:
    """Of one grammar."""

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
        """Rules that refer to themselves need some rounds; two are enough without them."""
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
        """Of its texts the shortest; infinite when it has none."""
        match node:
            case Literal(text):
                return len(text.encode())
            case Characters(ranges):
                return width(ranges[0][0])
            case Sequence(parts):
                return sum(map(self.shortest, parts))
            case Choice(branches):
                return min(map(self.shortest, branches))
            case Repeat(item, least, _):
                return least * self.shortest(item) if least else 0
            case Reference(name):
                return self._shortest[name]

    def longest(self, node: Node) -> float:
        """Of its texts the longest; infinite when there is no end to it."""
        match node:
            case Literal(text):
                return len(text.encode())
            case Characters(ranges):
                return width(ranges[-1][1])
            case Sequence(parts):
                return sum(map(self.longest, parts))
            case Choice(branches):
                return max(map(self.longest, branches))
            case Repeat(item, _, most):
                longest = self.longest(item)
                if longest == 0 or most == 0:
                    return 0
                return math.inf if most is None else most * longest
            case Reference(name):
                return self._longest[name]

    def rest(self, node: Node) -> float:
        """Wherever in it a text stands, it can be ended with so many bytes more."""
        match node:
            case Sequence(parts):
                worst = after = 0.0
                for part in reversed(parts):
                    worst = max(worst, self.rest(part) + after)
                    after += self.shortest(part)
                return worst
            case Choice(branches):
                return max(map(self.rest, branches))
            case Repeat(item, least, most):
                if most == 0:
                    return 0
                return self.rest(item) + max(least - 1, 0) * self.shortest(item)
            case Reference(name):
                return self._rest[name]
            case _:
                return self.shortest(node)


def _bottom_up(rules: Mapping[str, Node]) -> tuple[list[str], frozenset[str]]:
    """Names, what is referred to before what refers to it, and those that reach themselves."""
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
    """The targets, and every rule from which one of them can be reached."""
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
    """The rules that a node names."""
    found: list[str] = []
    left = [node]
    while left:
        one = left.pop()
        if isinstance(one, Reference):
            found.append(one.name)
        left.extend(children(one))
    return found
