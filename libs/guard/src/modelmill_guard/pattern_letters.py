"""What the matches of a pattern are spelled with, so that most texts are told from them at a look.

A text that has none of the characters of which every match needs one has no match, and a match can
only be growing in the characters at its end of which matches are made.
"""

from modelmill_guard.pattern_heads import characters_of
from modelmill_guard.pattern_tree import Boundary, Character, Choice, Concatenation, Node, Repeat


def letters_of(node: Node) -> frozenset[str]:
    """Every character of a shadow copy that a match may have; empty when they are too many."""
    if isinstance(node, Character):
        return frozenset(characters_of(node.written))
    if isinstance(node, Repeat):
        return letters_of(node.inner)
    if isinstance(node, Concatenation | Choice):
        parts = node.parts if isinstance(node, Concatenation) else node.branches
        listed = [letters_of(part) for part in parts if not isinstance(part, Boundary)]
        return frozenset[str]().union(*listed) if all(listed) else frozenset()
    return frozenset()


def needed_by(node: Node) -> frozenset[str]:
    """Characters of which every match has one, the rarest that can be told; empty when none can."""
    if isinstance(node, Character):
        return frozenset(characters_of(node.written))
    if isinstance(node, Repeat):
        return needed_by(node.inner) if node.least else frozenset()
    if isinstance(node, Choice):
        listed = [needed_by(branch) for branch in node.branches]
        return frozenset[str]().union(*listed) if all(listed) else frozenset()
    if isinstance(node, Concatenation):
        return min(filter(None, map(needed_by, node.parts)), key=_how_common, default=frozenset())
    return frozenset()


def _how_common(characters: frozenset[str]) -> tuple[int, int]:
    return sum(one.isalpha() or one == " " for one in characters), len(characters)
