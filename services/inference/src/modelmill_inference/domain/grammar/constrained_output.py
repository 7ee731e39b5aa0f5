"""Compiles a constraint to a grammar, and ensures that an answer can end within its token limit.

The engine's grammar does not count characters of strings, items and recursion: each counted state
costs the whole batch milliseconds. So an answer is generated with the unbounded grammar up to a
limit that leaves space for the longest completion. Then the remaining grammar is restricted to what
is left, and the model generates the end. One byte counts as one token, the worst case.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from unicodedata import category

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
"""Maximum character positions of a grammar."""
MAX_WIDE_PLACES = 256
"""Maximum positions that allow almost any token: about 9 ms each for 50,000 tokens."""
_WIDE = 30
_COUNTED = 128
"""XGrammar expands repetitions up to this count, and counts beyond."""
END_TOKEN = 1
MOST_SPARE = 48
"""Bytes beyond the shortest completion, for meaningful content of missing parts."""
LEVELS = (8, 4, 2, 1, 0)
"""Recursion depths to try: the deepest that leaves half of the limit for the answer."""
MAX_CHOICES = 1_000
CONTROL = ("Cc", "Cs")
"""Unicode's categories of control characters and of halves of characters."""
MAX_CHOICE_CHARACTERS = 64_000
LARGE_CHARACTERS = 2_000
"""Larger constraints are compiled in a thread."""
CACHED = 64


def check_cost(grammar: Grammar) -> None:
    """Raises InvalidInputError for a grammar that would delay the whole batch."""
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
    """The engine violated its grammar; not the caller's fault."""


@dataclass(frozen=True, slots=True)
class ConstrainedOutput:
    """Grammar of an answer, and the number of tokens after which it must be completed."""

    grammar: Grammar
    text: str
    """EBNF for the engine."""
    max_tokens: int
    """Limit of the answer, including the end token."""
    free_tokens: int
    """Tokens before completion starts; `max_tokens` if no answer can reach the limit."""

    def ending(self, written: str, tokens_left: int) -> Grammar | None:
        """A grammar for the rest of an answer, with at most `tokens_left` tokens.

        None if the answer is complete.

        Raises:
            LeftFormError: an engine wrote what the grammar does not allow.
        """
        positions = matching.behind(written, self.grammar)
        if not positions:
            raise GrammarViolationError("the engine violated its grammar")
        left = matching.remainder(positions, self.grammar)
        rest = fitted(left, tokens_left - END_TOKEN)
        if rest is None:
            raise GrammarViolationError("the engine exceeded its token limit")
        return None if TextLengths(rest).longest(rest.root) == 0 else rest


def constrain(constraint: OutputConstraint, max_tokens: int) -> ConstrainedOutput:
    """Compile a constraint for an answer of at most `max_tokens` tokens.

    Raises:
        InvalidInputError: lists all errors of the constraint, or it needs more tokens.
    """
    room = max_tokens - END_TOKEN
    form = _form(constraint, LEVELS[0])
    for levels in LEVELS[1:]:
        if not form.is_recursive or 2 * form.rest <= room:
            break
        try:
            form = _form(constraint, levels)
        except InvalidInputError:  # the schema requires more levels
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
    """Whether compiling takes long enough for a thread."""
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
    """Alternatives of calls, with the rules of all schemas."""
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
    if not all(texts) or any(category(letter) in CONTROL for letter in "".join(texts)):
        raise InvalidInputError("a text to choose is not empty and has no control characters")
    return one_of(texts, "s")
