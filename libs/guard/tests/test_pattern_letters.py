"""What a text must have before a pattern is searched for in it, and what a match is made of."""

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st
from modelmill_guard.pattern import parse_pattern

DIGITS = set("0123456789")


@pytest.mark.parametrize(
    ("pattern", "needed"),
    [
        ("abc", {"a"}),
        ("ab@c", {"@"}),
        (r"\b[a-z0-9.]{1,6}@[a-z]{1,5}\b", {"@"}),
        (r"\d{3}-?\d", DIGITS),
        (r"a{0,2}\d?-", {"-"}),
        ("(?:x1|y-)z", {"1", "-"}),
        ("(?:x1|y?)z", {"z"}),
        ("炸.", {"炸"}),
        ("[^a]?.", set()),
    ],
)
def test_of_what_every_match_needs_one_the_rarest_is_told(pattern: str, needed: set[str]) -> None:
    assert parse_pattern(pattern).needed == needed


@pytest.mark.parametrize(
    ("pattern", "letters"),
    [
        (r"\ba[B-D]{1,2}\d?\b", {*"abcd", *DIGITS}),
        ("(?:炸|ж){2}", {"炸", "ж"}),
        ("a.", set()),
        ("[^a]b", set()),
        (r"\pLb", set()),
    ],
)
def test_all_that_matches_are_made_of_is_told_or_nothing(pattern: str, letters: set[str]) -> None:
    assert parse_pattern(pattern).letters == letters


PATTERNS = [r"\b[a-c1]{1,3}@(?:a|b1){1,2}\b", r"1-?[a-c]{0,2}", "(?:a|b@)(?:c1?|-){1,2}", r"\Bb\d"]


@given(st.sampled_from(PATTERNS), st.text("abc1@- ", max_size=8))
def test_a_match_has_what_is_needed_and_nothing_that_it_is_not_made_of(
    pattern: str, text: str
) -> None:
    bounded = parse_pattern(pattern)
    for match in re2.compile(bounded.source).finditer(text):
        assert bounded.needed & set(match.group())
        assert set(match.group()) <= bounded.letters
