"""From a caller's constraint to what an engine is given, and how its end is kept in reach.

Strings, arrays and recursion are not counted out in the engine's grammar: every counted character
costs its engine, and so everybody in the batch, some milliseconds. An answer runs free within its
form up to a limit that leaves room for the longest way to an end; there its grammar is fitted into
what is left, and the same model writes the end. One byte counts as one token, the worst case.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.domain.grammar import characters, matching
from modelmill_inference.domain.grammar.automaton import deterministic, one_of
from modelmill_inference.domain.grammar.closing import TextLengths, fitted
from modelmill_inference.domain.grammar.json_schema import parse_json_schema
from modelmill_inference.domain.grammar.regex import parse_regex
from modelmill_inference.domain.grammar.tree import (
    Characters,
    Grammar,
    Literal,
    Node,
    Repetition,
    children,
    choice,
    printed,
    sequence,
)
from modelmill_inference.domain.sampling import CallForm, OutputConstraint

MAX_PLACES = 20_000
"""Characters that are told apart by where they stand."""
MAX_WIDE_PLACES = 256
"""Of these, places where almost every token may begin: about 9 ms each for 50,000 tokens."""
_WIDE = 30
_COUNTED = 128
"""XGrammar writes a longer repeat out so often, and counts beyond."""
END_TOKEN = 1
MOST_SPARE = 48
"""Bytes kept beyond the shortest end, so that what is still missing can be said and not only be."""
LEVELS = (8, 4, 2, 1, 0)
"""How often a schema may stand in itself: as deep as leaves half of the limit for the answer."""
MAX_CHOICES = 1_000
MAX_CHOICE_CHARACTERS = 64_000
LARGE_CHARACTERS = 2_000
"""A longer constraint is worth a thread."""
CACHED = 64


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
        case Repetition(item, least, most):
            times = max(least, 1 if most is None else most)
            return _places(item, wide=wide) * min(times, _COUNTED)
        case _:
            return sum(_places(child, wide=wide) for child in children(node))


class GrammarViolationError(Exception):
    """An engine does not do what it says; nothing that a caller could mend."""


@dataclass(frozen=True, slots=True)
class ConstrainedOutput:
    """An answer's grammar, and how far an engine may go in it before the end must be thought of."""

    grammar: Grammar
    text: str
    """What the engine is given."""
    max_tokens: int
    """Of the whole answer, the end token included."""
    free_tokens: int
    """Then the answer is ended; the whole limit when no answer can reach it."""

    def ending(self, written: str, tokens_left: int) -> Grammar | None:
        """A grammar for the rest of an answer that takes at most so many tokens.

        None when nothing is left to say.

        Raises:
            LeftFormError: an engine wrote what the grammar does not allow.
        """
        positions = matching.behind(written, self.grammar)
        if not positions:
            raise GrammarViolationError("the engine did not keep to its grammar")
        left = matching.remainder(positions, self.grammar)
        rest = fitted(left, tokens_left - END_TOKEN)
        if rest is None:
            raise GrammarViolationError("the engine took more tokens than it was given")
        return None if TextLengths(rest).longest(rest.root) == 0 else rest


def constrain(constraint: OutputConstraint, max_tokens: int) -> ConstrainedOutput:
    """The form of an answer of at most so many tokens.

    Raises:
        InvalidInputError: all that is wrong with the constraint, or it needs more tokens.
    """
    room = max_tokens - END_TOKEN
    form = _form(constraint, LEVELS[0])
    for levels in LEVELS[1:]:
        if not form.is_recursive or 2 * form.rest <= room:
            break
        try:
            form = _form(constraint, levels)
        except InvalidInputError:  # it takes more levels to come to an end
            break
    if form.longest <= room:
        return ConstrainedOutput(form.grammar, form.text, max_tokens, max_tokens)
    if form.rest > room:
        raise InvalidInputError(
            f"the {constraint.kind} needs {form.rest + END_TOKEN} tokens, so that every answer "
            f"comes to an end; max_new_tokens and the context leave {max_tokens}"
        )
    spare = min(MOST_SPARE, (room - form.rest) // 4)
    return ConstrainedOutput(form.grammar, form.text, max_tokens, int(room - form.rest - spare))


def is_large(constraint: OutputConstraint) -> bool:
    """Whether it takes long enough to be looked at elsewhere."""
    texts = (constraint.text, *constraint.choices, *(call.schema for call in constraint.calls))
    characters = sum(map(len, texts))
    return characters > LARGE_CHARACTERS


@dataclass(frozen=True, slots=True)
class _Form:
    grammar: Grammar
    text: str
    rest: int
    longest: float
    is_recursive: bool


@lru_cache(CACHED)
def _form(constraint: OutputConstraint, levels: int) -> _Form:
    grammar, is_recursive = _grammar(constraint, levels)
    check_cost(grammar)
    measures = TextLengths(grammar)
    return _Form(
        grammar,
        printed(grammar),
        int(measures.rest(grammar.root)),
        measures.longest(grammar.root),
        is_recursive,
    )


def _grammar(constraint: OutputConstraint, levels: int) -> tuple[Grammar, bool]:
    match constraint.kind:
        case "json_schema":
            return parse_json_schema(constraint.text, levels)
        case "regex":
            return Grammar(*deterministic(parse_regex(constraint.text), "s")), False
        case "choice":
            return Grammar(*_choices(constraint.choices)), False
        case "call":
            return _calls(constraint.calls, levels)


def _calls(calls: Sequence[CallForm], levels: int) -> tuple[Grammar, bool]:
    """One of the calls; the rules of their schemas beside each other."""
    nodes: list[Node] = []
    rules: dict[str, Node] = {}
    is_recursive = False
    for number, call in enumerate(calls):
        arguments, contains_itself = parse_json_schema(call.schema, levels, f"t{number}")
        nodes.append(sequence(call.before, arguments.root, call.behind))
        rules |= arguments.rules
        is_recursive |= contains_itself
    return Grammar(choice(nodes), rules), is_recursive


def _choices(texts: tuple[str, ...]) -> tuple[Node, dict[str, Node]]:
    if not texts:
        raise InvalidInputError("a choice needs at least one text")
    if len(texts) > MAX_CHOICES or sum(map(len, texts)) > MAX_CHOICE_CHARACTERS:
        raise InvalidInputError(
            f"a choice has at most {MAX_CHOICES} texts and {MAX_CHOICE_CHARACTERS} characters"
        )
    if not all(text and text.isprintable() for text in texts):
        raise InvalidInputError("a text to choose is not empty and has no control characters")
    return one_of(texts, "s")
