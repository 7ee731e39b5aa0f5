"""A search that waits for a head finds what a search of everything finds."""

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.pattern import parse_pattern
from modelmill_guard.scan import RuleScan, RuleSet
from modelmill_guard.verdict import Action, Found, RuleHead


@pytest.mark.parametrize(
    ("pattern", "heads"),
    [
        ("abc", {"abc"}),
        (r"\bsk-.{4,8}", {"sk-"}),
        ("(?:build|make) (?:a )?bomb", {"build a bomb", "build bomb", "make a bomb", "make bomb"}),
        ("ab?c{1,3}d", {"abc", "ac"}),
        ("a{0,2}b", {"a", "b"}),
        ("炸(?:弹|药)", {"炸弹", "炸药"}),
        (r"\d{3}-", set("0123456789")),
        ("[a-z]{2}-", set()),
        (".b", set()),
        ("[^b]b", set()),
        (r"\pLx", set()),
        ("(?:a|[炸b])c", set()),
    ],
)
def test_the_heads_are_what_a_match_begins_with(pattern: str, heads: set[str]) -> None:
    assert parse_pattern(pattern).heads == heads


PATTERNS = [
    r"\bsk-[a-z0-9]{4,8}\b",
    r"\b\d{3,5}\b",
    r"炸(?:弹|药){1,2}",
    r"a b? ?c",
    r"(?:ab|b a)b?",
    r"\Bb\d",
    r"[-@]{2}a",
]
BOUNDED = [parse_pattern(pattern) for pattern in PATTERNS]
RULES = [RuleHead(f"rule-{n}", "c", Action.MASK) for n in range(len(BOUNDED))]
HEADED = RuleSet([], list(zip(BOUNDED, RULES, strict=True)))
HEADLESS = RuleSet(
    [], [(replace(one, heads=frozenset()), rule) for one, rule in zip(BOUNDED, RULES, strict=True)]
)
WORDS = "a b c ab bb . @ - -- _ 炸 弹 药 é ж 12 345 6789 sk-abc12 sk- s k- b1"
FRAGMENTS = [*WORDS.split(), " ", " "]


@settings(max_examples=400, deadline=None)
@example([["ж"], ["s"], ["k-", "12", "345"]])
@given(st.lists(st.lists(st.sampled_from(FRAGMENTS), max_size=4), max_size=8))
def test_waiting_for_heads_changes_neither_matches_nor_what_is_held(
    pieces: list[list[str]],
) -> None:
    assert all(bounded.heads for bounded in BOUNDED)
    window, headed, headless = ShadowWindow(), RuleScan(HEADED), RuleScan(HEADLESS)
    found: list[Found] = []
    expected: list[Found] = []
    decided = 0
    for piece in pieces:
        window.append("".join(piece))
        decided_before = decided
        now, decided = headed.feed(window, finished=False)
        found += now
        assert decided >= decided_before
        assert all(match.start >= decided_before for match in now)
        now, expected_decided = headless.feed(window, finished=False)
        expected += now
        # Patterns decide together or one by one, so one may know a little earlier than the other.
        known = min(decided, expected_decided)
        assert {m for m in found if m.start < known} == {m for m in expected if m.start < known}
        window.drop_before(known - 1)
    now, _ = headed.feed(window, finished=True)
    assert all(match.start >= decided for match in now)
    found += now
    expected += headless.feed(window, finished=True)[0]

    assert sorted(found, key=str) == sorted(expected, key=str)
