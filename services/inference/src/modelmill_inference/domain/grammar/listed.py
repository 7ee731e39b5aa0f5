"""One of some texts, as a tree in which each beginning stands once.

A choice of texts that begin alike is not kept to by XGrammar in OpenVINO GenAI 2026.4: of "number 1
of" and "number 11 of" it makes "number 1111111 of". Rules that differ in their first character are.
"""

from collections.abc import Sequence
from itertools import groupby

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.domain.grammar.tree import (
    NOTHING,
    Literal,
    Node,
    Reference,
    choice,
    sequence,
)

MAX_FORKS = 100
"""In one text."""


def one_of(texts: Sequence[str], name: str) -> tuple[Node, dict[str, Node]]:
    """The node and its rules.

    Args:
        name: what the rules' names begin with.

    Raises:
        InvalidInputError: texts that are the beginnings of each other, too many of them.
    """
    rules: dict[str, Node] = {}
    waiting = [(f"{name}0", sorted(set(texts)), 0)]
    number = 1
    for rule, alike, forks in waiting:
        if forks > MAX_FORKS:
            raise InvalidInputError(f"more than {MAX_FORKS} texts are beginnings of each other")
        branches: list[Node] = []
        for first, group in groupby(alike, key=lambda text: text[:1]):
            members = [*group]
            shared = _beginning(members[0], members[-1])
            if len(members) == 1 or not first:
                branches.append(Literal(shared) if shared else NOTHING)
                continue
            tail = f"{name}{number}"
            number += 1
            waiting.append((tail, [text[len(shared) :] for text in members], forks + 1))
            branches.append(sequence(shared, Reference(tail)))
        rules[rule] = choice(branches)
    return Reference(f"{name}0"), rules


def _beginning(first: str, last: str) -> str:
    """What the first and the last of a sorted list share, and so all of them."""
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return first[:shared]
