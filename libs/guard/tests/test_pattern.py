"""Patterns are bounded, RE2 only, and know what a match can begin with."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.pattern import PatternError, compile_pattern, ending_in, parse_pattern


@pytest.mark.parametrize(
    ("pattern", "widest"),
    [
        ("abc", 3),
        ("a{2,5}b?", 6),
        ("(?:ab|c){1,3}", 6),
        ("(?P<code>[a-z]{4})-\\d{2}", 7),
        ("\\bx[^]a]y\\b", 3),
        ("[[:alpha:]\\d]{2}.", 3),
        ("\\p{Han}{2,4}\\pL", 5),
        ("\\x{70b8}\\x61", 2),
        ("(a|)b", 2),
        ("a{,3}", 5),
        ("ab??", 2),
    ],
)
def test_the_widest_match_is_computed(pattern: str, widest: int) -> None:
    assert parse_pattern(pattern).widest == widest


@pytest.mark.parametrize("pattern", ["a*b", "a+", "[a-z]{3,}", "(ab)+c", "a*?", "x(y{2,})"])
def test_an_unbounded_pattern_is_refused_with_a_hint(pattern: str) -> None:
    with pytest.raises(PatternError, match=r"write a bounded repetition such as \{0,40\}"):
        parse_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("(a", "not RE2 syntax"),
        ("(?=a)b", "not RE2 syntax"),
        ("(a)\\1", "not RE2 syntax"),
        ("\ud800", "not RE2 syntax"),
        ("[a[:b]x:]", "not RE2 syntax"),
        ("^a", "Remove the anchor ^"),
        ("a$", "Remove the anchor $"),
        ("\\Aa", "Remove the anchor"),
        ("a?", "can match nothing"),
        ("\\b", "can match nothing"),
        ("a{200}b{100}", "can match 300 characters; the limit is 256"),
        ("(?i)a", "sets flags"),
        ("\\Qa.b\\E", "one by one"),
        ("a\\tb", "not supported"),
        ("é", "Write 'e'"),
        ("\t", "Write ' '"),
        ("а", "Write 'a'"),  # Cyrillic
        ("a" * 1001, "longer than 1000"),
        ("(" * 21 + "a" + ")" * 21, "nests groups deeper"),
    ],
)
def test_a_pattern_that_cannot_be_a_rule_says_why(pattern: str, part: str) -> None:
    with pytest.raises(PatternError) as refusal:
        parse_pattern(pattern)
    assert part in str(refusal.value)


def test_traditional_characters_in_a_pattern_are_the_simplified_ones_of_the_copy() -> None:
    assert parse_pattern("[製造]彈").source == parse_pattern("[制造]弹").source


SHAPES = [
    "abc",
    "a{2,4}b?c",
    "(?:ab|ba){1,3}c",
    "\\bab\\b.c",
    "(a|bc)?c{2}",
    "(a{0,2}b){2}",
    "[ab]{1,3}c|cc",
    "a(\\bc|b\\B)c",
]


@pytest.mark.parametrize("pattern", SHAPES)
def test_the_closure_holds_exactly_what_some_continuation_completes(pattern: str) -> None:
    """By brute force: every text over a small alphabet up to the widest match."""
    bounded = parse_pattern(pattern)
    whole = compile_pattern(bounded.source)
    growing = compile_pattern(ending_in([bounded.prefixes]))
    texts = [
        "".join(letters)
        for length in range(1, bounded.widest + 1)
        for letters in product("abc " if "\\b" in pattern else "abc", repeat=length)
    ]
    beginnings = {
        text[:length]
        for text in texts
        for after in ("", "a", " ")  # what a boundary at the end of the match may see
        if whole.fullmatch(text + after, 0, len(text))
        for length in range(1, len(text) + 1)
    }
    assert beginnings
    assert {text for text in texts if growing.search(text).start() == 0} == beginnings


@settings(deadline=None)
@given(st.from_regex(r"[a-z0-9.]{1,8}@[a-z0-9]{1,6}\.[a-z]{2,4}", fullmatch=True))
def test_every_beginning_of_an_address_is_growing(address: str) -> None:
    bounded = parse_pattern(r"[a-z0-9.]{1,8}@[a-z0-9]{1,6}\.[a-z]{2,4}")
    growing = compile_pattern(ending_in([bounded.prefixes]))
    for length in range(1, len(address) + 1):
        assert growing.search(address[:length]).start() == 0
