"""JSON's arrays and objects as trees."""

from collections.abc import Callable, Sequence

from modelmill_inference.domain.grammar.characters import of
from modelmill_inference.domain.grammar.tree import (
    NOTHING,
    Characters,
    Node,
    Repeat,
    choice,
    optional,
    sequence,
)

Member = tuple[str, Node | None, bool]
"""Name as it is written, value, and whether it must be there."""

MAX_MEMBERS = 100
_NAME = Repeat(Characters(of("abcdefghijklmnopqrstuvwxyz_0123456789")), 1, 24)


def array(
    first: Sequence[Node | None], item: Node | None, least: int, most: int | None
) -> Node | None:
    """Values in brackets: all of `first` that `most` allows, then items."""
    if most is not None and most < least:
        return None
    head = list(first if most is None else first[:most])
    if None in head:
        # What stands behind one that cannot be has no place.
        head = head[: head.index(None)]
        most = min(len(head), len(head) if most is None else most)
    values = [node for node in head if node is not None]
    fewest = max(least - len(values), 0)
    limit = None if most is None else most - len(values)
    if item is None or limit == 0:
        return _in_brackets(values, None) if fewest == 0 else None
    if values:
        return _in_brackets(values, Repeat(sequence(",", item), fewest, limit))
    further = None if limit is None else limit - 1
    after: list[Node] = [Repeat(sequence(",", item), max(fewest - 1, 0), further)]
    items = sequence(item, *(after if further != 0 else []))
    return sequence("[", items if fewest else optional(items), "]")


def _in_brackets(values: Sequence[Node], more: Node | None) -> Node:
    parts: list[Node | str] = ["["]
    for number, value in enumerate(values):
        parts += [",", value] if number else [value]
    return sequence(*parts, *([more] if more is not None else []), "]")


def object_of(
    members: Sequence[Member], other: Node | None, rule: Callable[[Node], Node]
) -> Node | None:
    """Members in braces, in their order, those that need not be there or not.

    Args:
        other: value of any further names.
        rule: gives a node a name, for what is written in several places.
    """
    if any(node is None and must for _, node, must in members):
        return None
    pairs = [(sequence(f"{name}:", node), must) for name, node, must in members if node is not None]
    if not pairs and other is not None:
        pair = rule(sequence('"', _NAME, '":', other))
        return sequence("{", optional(sequence(pair, Repeat(sequence(",", pair)))), "}")
    obliged = next((number for number, (_, must) in enumerate(pairs) if must), len(pairs))
    tail = [sequence(",", p) if must else optional(sequence(",", p)) for p, must in pairs]
    # Nothing behind a required member can be the first one.
    after: Node = sequence(*tail[obliged + 1 :]) if tail[obliged + 1 :] else NOTHING
    starts = [sequence(pairs[obliged][0], after)] if obliged < len(pairs) else []
    after = sequence(*tail[obliged:]) if obliged < len(pairs) else NOTHING
    for number in range(obliged - 1, -1, -1):
        after = rule(after)
        starts.append(sequence(pairs[number][0], after))
        after = sequence(tail[number], after)
    if not any(must for _, must in pairs):
        starts.append(NOTHING)
    return sequence("{", choice(starts), "}")
