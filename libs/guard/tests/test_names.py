"""A phrase within a longer name is found as its words are, at every cut, and where it stands."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Action, Direction

KEYWORDS = ["how to make a kite", "maple engine", "to fold a paper crane", "zorbium"]
RULE = f"""
rules: [{{id: a, category: c, severity: low, action: block, directions: both, variants: [leet],
         keywords: [{", ".join(KEYWORDS)}]}}]
"""
BUNDLE = compile_policy(parse_policy({"p": RULE}))
POLICY = CompiledPolicy.from_bundle(BUNDLE.content, BUNDLE.digest)
BEFORE = ["fn", "get", "v2", "HTTP", "getHTTP", "tool", "x", "doIt2", "some_", "kebab-", "a.b."]
AFTER = ["", "Now", "2", "URL", "AsURL", "NowPlease", "_fn", "-s", "V2", "()", "Ⅳ"]


def found_at(text: str) -> tuple[int, int] | None:
    verdict = POLICY.check(text, Direction.OUTPUT)
    return (verdict.matches[0].start, verdict.matches[0].end) if verdict.matches else None


def hold_at_cuts(text: str, cuts: Iterable[Sequence[int]]) -> None:
    """Compare what streams show of it, and their verdicts, with the verdict on the whole."""
    wanted = POLICY.check(text, Direction.OUTPUT)
    blocked = wanted.action is Action.BLOCK
    approved = text[: wanted.matches[0].start if blocked else None]
    for cut in cuts:
        stream = POLICY.stream(Direction.OUTPUT)
        pieces = [text[start:end] for start, end in pairwise([0, *cut, len(text)])]
        shown = [stream.push(piece).text for piece in pieces]
        last = stream.finish()
        assert ("".join([*shown, last.text]), last.verdict) == (approved, wanted), pieces


def pascal(keyword: str) -> str:
    return keyword.title().replace(" ", "")


@pytest.mark.parametrize("keyword", KEYWORDS)
@pytest.mark.parametrize("before", BEFORE)
def test_a_phrase_behind_and_before_other_words_of_a_name_is_found(
    before: str, keyword: str
) -> None:
    for after in AFTER:
        name = before + pascal(keyword) + after
        for around in ("{}", "use {}.", "我{}吗", '{{"{}": 1}}'):
            text = around.format(name)
            start = text.index(name) + len(before)
            assert found_at(text) == (start, start + len(pascal(keyword))), text


@pytest.mark.parametrize(
    "name",
    [
        "2maple_engine",
        "maple_engine2",
        "fn_maple-engineURL",
        "MAPLEENGINENow",
        "fnMAPLEENGINENow",
        "getHTTPMaple.Engine",
        "Gethow2howToMakeAKite",
        "makeMake_how_toMakeAKite",
        "fnH0wToM4keAK1te",
        "v2h0w_to_make_a_kite",
        "!h0w t0 make a kite",
        "5h0w to make a kite5",
        "fn\u200bMaple\u200bEngine",
        "fnM\u0301apleEngine",
        "fn𝐌𝐚𝐩𝐥𝐞𝐄𝐧𝐠𝐢𝐧𝐞",
        "fnＭapleEngineＮow",
        "fnМapleEngine",
        "дайMapleEngineДа",
        "fn&#77;apleEngine&#78;ow",
        "fn%4dapleEngine",
        "%C2%AAMAPLEENGINENow",
        "fn" + "".join(chr(0xE0000 + ord(one)) for one in "doMapleEngineNow"),
    ],
)
def test_words_of_a_name_are_told_by_capitals_digits_and_signs_of_any_dress(name: str) -> None:
    assert found_at(name) is not None
    hold_at_cuts(name, ([place] for place in range(len(name))))


@pytest.mark.parametrize(
    "name",
    [
        "mapleEngineer",
        "mapleEngines",
        "MAPLEENGINEER",
        "MAPLEENGINEERNow",
        "MAPLEENGINES2",
        "xmapleEngine",
        "XMAPLEENGINE",
        "getXmapleEngine",
        "doXMAPLEENGINE",
        "HTTPmapleEngine",
        "showToMakeAKite",
        "getShowToMakeAKite",
        "zorbiumite",
        "fnZorbiumite",
        "azorbium",
        "ZORBIUMITE",
        "mapleEngMine",
    ],
)
def test_parts_of_words_are_left(name: str) -> None:
    assert found_at(name) is None


words = st.sampled_from(
    ["get", "http", "maple", "engine", "zorbium", "how", "to", "make", "a", "kite"]
)
styles = st.sampled_from([str.lower, str.title, str.upper])
joints = st.sampled_from(["", "", "", "_", "-", ".", "2", " "])
names = st.lists(st.tuples(words, styles, joints), min_size=2, max_size=9).map(
    lambda parts: "".join(style(word) + joint for word, style, joint in parts)
)


@pytest.mark.tier("check")
@settings(max_examples=400, deadline=None)
@given(names, st.data())
def test_no_cut_of_a_name_changes_its_verdict_or_what_is_shown(
    name: str, data: st.DataObject
) -> None:
    places = data.draw(st.lists(st.integers(0, len(name)), max_size=6).map(sorted))
    hold_at_cuts(name, (places, range(len(name)), *([place] for place in range(len(name)))))


def test_what_cannot_become_a_phrase_any_more_is_not_held() -> None:
    stream = POLICY.stream(Direction.OUTPUT)
    pieces = ["get", "Ma", "ps", "HTTP", "M", "ANY", "Zor", "ro. "]
    held = [stream.push(piece).text for piece in pieces]
    assert held == ["get", "", "Maps", "HTTP", "", "MANY", "", "Zorro. "]
