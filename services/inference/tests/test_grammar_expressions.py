"""Expressions and choices: what their grammars produce matches, and what is refused says where."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_inference.domain.grammar import matching
from modelmill_inference.domain.grammar.constrained_output import ConstrainedOutput, constrain
from modelmill_inference.domain.sampling import OutputConstraint
from modelmill_service_kit.errors import InvalidInputError

from .grammar_texts import drawn
from .test_grammar_schemas import a_whole_answer


def form_of(pattern: str, max_tokens: int = 2_000) -> ConstrainedOutput:
    return constrain(OutputConstraint("regex", pattern), max_tokens)


SINGLES = st.one_of(
    st.sampled_from(["a", "B", "7", "é", "价", r"\d", r"\w", r"\s", r"\D", r"\S", r"\W", "."]),
    st.sampled_from([r"\.", r"\-", "-", r"\x41", "[a-f]", "[^a-f]", r"[\d_]", r"[^\s\d]"]),
    st.sampled_from(["[]x]", "[a-]", "[^-b]", r"[\]\\]"]),
)
TIMES = st.sampled_from(["", "", "*", "+", "?", "{3}", "{0,2}", "{1,}", "{,2}", "+?", "{0}"])


@st.composite
def _repeated(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    group = draw(st.sampled_from(["(", "(?:"]))
    return f"{group}{draw(inner)}){draw(TIMES)}"


PATTERNS = st.recursive(
    SINGLES,
    lambda inner: st.one_of(
        _repeated(inner),
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("|".join),
    ),
    max_leaves=7,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(PATTERNS, st.integers(0, 10_000))
def test_every_answer_to_an_expression_matches_it_as_a_whole_within_the_limit(
    pattern: str, seed: int
) -> None:
    draw = random.Random(seed)
    expression = re.compile(pattern, re.ASCII)
    texts = [drawn(form_of(pattern).grammar, draw) for _ in range(3)]
    try:
        form = form_of(pattern, 40)
    except InvalidInputError:
        form = form_of(pattern)
    texts += [a_whole_answer(form, draw) for _ in range(3)]

    assert all(len(text.encode()) < form.max_tokens for text in texts[3:])
    for text in texts:
        assert expression.fullmatch(text), text


@pytest.mark.parametrize(
    ("pattern", "text", "is_whole"),
    [
        ("colou?r", "color", True),
        ("^ab|cd$", "cd", True),
        ("a{2,3}", "aaaa", False),
        ("[^a]", "a", False),
        (".", "\n", False),
        ("x*", "", True),
        (r"\d+", "12x", False),
        ("a{,2}", "aa", True),
        ("a{x}", "a{x}", True),
    ],
)
def test_an_expression_allows_what_it_matches_and_nothing_else(
    pattern: str, text: str, is_whole: bool
) -> None:
    grammar = form_of(pattern).grammar
    positions = matching.behind(text, grammar)

    assert (bool(positions) and matching.may_end(positions, grammar)) is is_whole
    assert bool(re.fullmatch(pattern, text)) is is_whole


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(a)\1", r"a backreference \(\\1\) at position 3"),
        ("x(?=a)", "lookahead at position 1"),
        ("(?<!a)b", "lookbehind at position 0"),
        (r"\bword", "a word boundary .* at position 0"),
        ("a^b", "the anchor \\^ in its midst at position 1"),
        ("(?i)a", "flags at position 1"),
        ("a++", "repeat of a repeat"),
        ("*a", "a repeat of nothing at position 0"),
        ("(a", "a group without"),
        ("a)", "'\\)' without"),
        ("[a", "an end that comes too early"),
        ("a{3,2}", "wrong way round"),
        (r"\p{L}", "a Unicode class"),
        ("a{1001}", "more than 1000 times"),
        (r"\x00", "no answer may have"),
        ("[[a]]", "must have"),
        ("a" * 1_001, "more than 1000 characters"),
    ],
)
def test_what_cannot_be_generated_is_refused_by_name_and_position(
    pattern: str, message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        form_of(pattern)


def test_an_answer_to_a_choice_is_one_of_its_texts() -> None:
    texts = ("yes", "no", 'a "quoted" one', "价格", "back\\slash ::= [x]")
    form = constrain(OutputConstraint("choice", choices=texts), 40)
    draw = random.Random(1)

    assert {drawn(form.grammar, draw) for _ in range(100)} == set(texts)
    # Nothing of a caller's text reaches the engine as syntax.
    assert '"a \\U00000022quoted\\U00000022 one"' in form.text
    assert '"back\\U0000005cslash ::= \\U0000005bx\\U0000005d"' in form.text


@pytest.mark.parametrize(
    "choices",
    [(), ("",), ("a\nb",), ("\ud800",), ("x" * 64_001,), tuple("x" * n for n in range(1, 1_002))],
)
def test_a_choice_without_texts_or_with_too_many_is_refused(choices: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInputError):
        constrain(OutputConstraint("choice", choices=choices), 100_000)
