"""One search for all patterns says what a search for each of them says."""

from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.normalise import ShadowWindow
from modelmill_guard.pattern import parse_pattern
from modelmill_guard.pattern_scan import PatternScan, PatternSet
from modelmill_guard.verdict import Action, Found, RuleHead

PATTERNS = [
    r"\b[a-z0-9.]{1,6}@[a-z0-9]{1,5}\.[a-z]{2,4}\b",
    r"\bsk-[a-z0-9]{4,8}\b",
    r"\b\d{3,5}\b",
    r"炸(?:弹|药){1,2}",
    r"a b? ?c",
    *(rf"\bx{number}[ -]?y" for number in range(20)),
]
"""More than one search takes together."""
BOUNDED = [parse_pattern(pattern) for pattern in PATTERNS]
SET = PatternSet(
    [(bounded, RuleHead(f"rule-{n}", "c", Action.MASK)) for n, bounded in enumerate(BOUNDED)]
)
WIDEST = max(bounded.widest for bounded in BOUNDED)
WORDS = "a b c . @ - _ 炸 弹 药 é 12 345 6789 sk-abc12 joe@ex.com a.b@c.de x1 x12-y y"
FRAGMENTS = [*WORDS.split(), " ", " "]


class OneByOne(PatternScan):
    """Searches for each pattern every time."""

    def _open_at(self, window: ShadowWindow, *, finished: bool) -> int | None:
        return None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.sampled_from(FRAGMENTS), max_size=4), max_size=8))
def test_one_search_finds_what_searches_one_by_one_find_and_holds_no_less(
    pieces: list[list[str]],
) -> None:
    window, together, one_by_one = ShadowWindow(), PatternScan(SET), OneByOne(SET)
    found: list[Found] = []
    expected: list[Found] = []
    for piece in pieces:
        window.append("".join(piece))
        found += together.feed(window, finished=False)
        expected += one_by_one.feed(window, finished=False)
        assert together.growing_at <= one_by_one.growing_at
        assert window.end - together.growing_at <= WIDEST
        known = set(found)
        assert all(match.start >= together.growing_at for match in set(expected) - known)
        window.drop_before(together.growing_at - 1)
    found += together.feed(window, finished=True)
    expected += one_by_one.feed(window, finished=True)

    assert sorted(found, key=str) == sorted(expected, key=str)
