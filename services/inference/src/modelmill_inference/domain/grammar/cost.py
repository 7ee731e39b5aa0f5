"""What a grammar costs the engine that compiles it, before it is given to one."""

from functools import partial

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.domain.grammar import characters
from modelmill_inference.domain.grammar.tree import (
    Characters,
    Grammar,
    Literal,
    Node,
    Repeat,
    children,
)

MAX_PLACES = 20_000
"""Characters that are told apart by where they stand."""
MAX_WIDE_PLACES = 256
"""Of these, places where almost every token may begin: about 9 ms each for 50,000 tokens."""
_WIDE = 30
_COUNTED = 128
"""XGrammar writes a longer repeat out so often, and counts beyond."""


def check_cost(grammar: Grammar) -> None:
    """Refuse a grammar that would hold up everybody in the batch; InvalidInputError."""
    nodes = [grammar.root, *grammar.rules.values()]
    if sum(map(partial(_places, wide=False), nodes)) > MAX_PLACES:
        raise InvalidInputError("the form is too large: list fewer texts or repeat less often")
    if sum(map(partial(_places, wide=True), nodes)) > MAX_WIDE_PLACES:
        raise InvalidInputError(
            f"the form counts more than {MAX_WIDE_PLACES} characters of strings: leave out "
            "'maxLength' or make it smaller, or repeat less often"
        )


def _places(node: Node, *, wide: bool) -> int:
    match node:
        case Literal(text):
            return 0 if wide else len(text) + 1
        case Characters(ranges):
            return int(not wide or characters.count(ranges) > _WIDE)
        case Repeat(item, least, most):
            times = max(least, 1 if most is None else most)
            return _places(item, wide=wide) * min(times, _COUNTED)
        case _:
            return sum(_places(child, wide=wide) for child in children(node))
