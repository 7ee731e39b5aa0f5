"""Converts a tree without references to a deterministic automaton, as rules.

For an ambiguous grammar, such as `(a{1,8}){0,8}`, XGrammar needs seconds per token mask, which
delays the whole batch. An automaton is unambiguous.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby, pairwise

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.domain.grammar import characters, matching
from modelmill_inference.domain.grammar.characters import Ranges
from modelmill_inference.domain.grammar.matching import Position, Step
from modelmill_inference.domain.grammar.tree import (
    NOTHING,
    Characters,
    Grammar,
    Literal,
    Node,
    Reference,
    choice,
    sequence,
)

MAX_STATES = 400
MAX_WORK = 15_000
"""Visited positions; a thousand take about a millisecond."""

Edges = Mapping[Ranges, int]
MAX_FORKS = 100
"""Maximum per text."""


def deterministic(
    tree: Node, name: str, escaped: Callable[[Ranges], Node] = Characters, *, scale: int = 1
) -> tuple[Node, dict[str, Node]]:
    """Convert to an equivalent grammar node and its rules.

    Args:
        name: what the rules' names begin with.
        spelled: how one of these characters is written, for example escaped.
        scale: of the limits; more for a tree that no caller wrote.

    Raises:
        InvalidInputError: it needs too many states.
    """
    states = _states(tree, scale)
    callers = [0] * len(states)
    for edges, _ in states:
        for target in edges.values():
            callers[target] += 1
    callers[0] += 1
    rules = {
        f"{name}{number}": _rule(number, states, callers, name, escaped)
        for number, (edges, _) in enumerate(states)
        if number == 0 or (edges and not _is_link(number, states, callers))
    }
    return Reference(f"{name}0"), rules


def _states(tree: Node, scale: int) -> list[tuple[Edges, bool]]:
    """Transitions of each state, and whether it accepts."""
    grammar = Grammar(tree)
    numbers: dict[frozenset[Position], int] = {matching.start(grammar): 0}
    waiting = list(numbers)
    states: list[tuple[Edges, bool]] = []
    work = 0
    for positions in waiting:
        try:
            following, may_end, looked_at = matching.steps(positions, {})
        except matching.TooManyReadingsError:
            raise _too_large() from None
        work += looked_at + len(following) * len(following) // 8
        edges: dict[int, list[tuple[int, int]]] = {}
        for piece, reached in _pieces(following):
            if reached not in numbers:
                numbers[reached] = len(waiting)
                waiting.append(reached)
            edges.setdefault(numbers[reached], []).append(piece)
        if len(waiting) > MAX_STATES * scale or work > MAX_WORK * scale:
            raise _too_large()
        states.append(({characters.merged(p): target for target, p in edges.items()}, may_end))
    return states


def _too_large() -> InvalidInputError:
    return InvalidInputError(
        f"the expression is too large: it needs more than {MAX_STATES} states. "
        "Repeat less often, or less in each other"
    )


def _pieces(steps: list[Step]) -> list[tuple[tuple[int, int], frozenset[Position]]]:
    """Disjoint ranges, each with all positions that it leads to."""
    sets = [(characters.of(s) if isinstance(s, str) else s, after) for s, after in steps]
    ends = {first for ranges, _ in sets for first, _ in ranges}
    ends |= {last + 1 for ranges, _ in sets for _, last in ranges}
    opening: dict[int, list[Position]] = {}
    closing: dict[int, list[Position]] = {}
    for ranges, after in sets:
        for first, last in ranges:
            opening.setdefault(first, []).append(after)
            closing.setdefault(last + 1, []).append(after)
    alive: list[Position] = []
    pieces = []
    for first, end in pairwise(sorted(ends)):
        for after in closing.get(first, ()):
            alive.remove(after)
        alive += opening.get(first, ())
        if alive:
            pieces.append(((first, end - 1), frozenset(alive)))
    return pieces


def _is_link(number: int, states: list[tuple[Edges, bool]], callers: list[int]) -> bool:
    """Whether a state has one predecessor and one transition, and is inlined."""
    edges, may_end = states[number]
    return callers[number] == 1 and len(edges) == 1 and not may_end and number not in edges.values()


def _rule(
    number: int,
    states: list[tuple[Edges, bool]],
    callers: list[int],
    name: str,
    escaped: Callable[[Ranges], Node],
) -> Node:
    edges, may_end = states[number]
    branches: list[Node] = []
    for first, first_target in edges.items():
        ranges, target = first, first_target
        parts = [escaped(ranges)]
        while target != number and _is_link(target, states, callers):
            ((ranges, target),) = states[target][0].items()
            parts.append(escaped(ranges))
        if states[target][0]:
            parts.append(Reference(f"{name}{target}"))
        branches.append(sequence(*parts))
    if may_end:
        branches.append(NOTHING)
    return choice(branches)


def one_of(texts: Sequence[str], name: str) -> tuple[Node, dict[str, Node]]:
    """One of some texts, as a prefix tree: a node and its rules.

    XGrammar in OpenVINO GenAI 2026.4 violates a choice of texts with a common prefix: of "number 1
    of" and "number 11 of" it makes "number 1111111 of". It follows rules whose first characters
    differ.

    Args:
        name: prefix of the rules' names.

    Raises:
        InvalidInputError: too many texts are prefixes of each other.
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
            shared = _common_prefix(members[0], members[-1])
            if len(members) == 1 or not first:
                branches.append(Literal(shared) if shared else NOTHING)
                continue
            tail = f"{name}{number}"
            number += 1
            waiting.append((tail, [text[len(shared) :] for text in members], forks + 1))
            branches.append(sequence(shared, Reference(tail)))
        rules[rule] = choice(branches)
    return Reference(f"{name}0"), rules


def _common_prefix(first: str, last: str) -> str:
    """Common prefix of a sorted list, from its first and last text."""
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return first[:shared]
