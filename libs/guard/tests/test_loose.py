"""A phrase is found however its words are joined or parted, at every cut, and where it stands."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_guard.verdict import Action, Direction

KEYWORDS = ["how to make a kite", "maple engine", "to fold a paper crane", "zorbium"]
RULE = f"""
rules: [{{id: a, category: c, severity: low, action: block, directions: both,
         keywords: [{", ".join(KEYWORDS)}]}}]
"""
BUNDLE = compile_policy(parse_policy({"p": RULE}))
POLICY = CompiledPolicy.from_bundle(BUNDLE.content, BUNDLE.digest)
SEPARATORS = ["_", "-", ".", "/", "·", ":", "|", "*", "~", "+", "=", "\\", "--", "__", " - ", " / "]


def found_at(text: str) -> tuple[int, int] | None:
    verdict = POLICY.check(text, Direction.OUTPUT)
    return (verdict.matches[0].start, verdict.matches[0].end) if verdict.matches else None


def stands(written: str) -> None:
    for before, after in (("", ""), ("Say ", "!"), ("x(", ") y"), ("用", "做"), ("_", "_")):
        text = before + written + after
        assert found_at(text) == (len(before), len(before) + len(written)), text


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("keyword", KEYWORDS[:-1])
def test_any_separator_may_stand_between_its_words(keyword: str, separator: str) -> None:
    stands(keyword.replace(" ", separator))
    stands(keyword.title().replace(" ", separator))


@pytest.mark.parametrize("keyword", KEYWORDS[:-1])
def test_its_words_may_touch(keyword: str) -> None:
    for written in (keyword, keyword.title(), keyword.upper()):
        stands(written.replace(" ", ""))
    for place in (at for at, letter in enumerate(keyword) if letter == " "):
        stands(keyword[:place] + keyword[place + 1 :])


@pytest.mark.parametrize("keyword", KEYWORDS)
@pytest.mark.parametrize("separator", ["-", ".", "_", "*", "/", "·", "..."])
def test_a_sign_may_part_a_word_anywhere(keyword: str, separator: str) -> None:
    for place in range(1, len(keyword)):
        if " " not in keyword[place - 1 : place + 1]:
            stands(f"{keyword[:place]}{separator}{keyword[place:]}")


@pytest.mark.parametrize("keyword", KEYWORDS[:-1])
def test_a_space_may_part_a_word_of_a_phrase(keyword: str) -> None:
    for place in range(1, len(keyword)):
        if " " not in keyword[place - 1 : place + 1]:
            stands(f"{keyword[:place]} {keyword[place:]}")


@pytest.mark.parametrize(
    "written", ["to foId a paper crane", "to_foid_a_paper_crane", "how to make a klte"]
)
def test_an_i_stands_for_an_l(written: str) -> None:
    stands(written)


@pytest.mark.parametrize("separator", [", ", ". ", "; ", ",", "! "])
def test_clause_ends_part_words_where_all_are_parted_so(separator: str) -> None:
    stands("how to make a kite".replace(" ", separator))


@pytest.mark.parametrize(
    "text",
    [
        "the maple. Engine oil is next",
        "how to make. A kite flew by",
        "how to make a kitesurf board",
        "show to make a kite",
        "maple engineer",
        "zorb ium",
        "zorblum",
        "mapie engine",
        "zorbi",
        "how to make a k. Ite",
        "how......to......make......a......kite",
        "to fold a paper cranes",
    ],
)
def test_sentences_and_other_words_are_left(text: str) -> None:
    assert found_at(text) is None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KEYWORDS), st.data())
def test_neither_verdict_nor_release_depends_on_the_cuts(keyword: str, data: st.DataObject) -> None:
    gaps = st.sampled_from(["", " ", "_", "-", ". ", "......", " x ", "how ", "\u0301"])
    letters = [one + data.draw(gaps) for one in keyword.split(" ")]
    at = data.draw(st.integers(1, len(keyword) - 1))
    text = data.draw(st.sampled_from(["", "so ", "a", "maple "])) + "".join(letters) + "."
    text += keyword[:at] + data.draw(gaps) + keyword[at:]
    wanted = POLICY.check(text, Direction.OUTPUT)
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=6).map(sorted))
    for cut in (places, range(len(text))):
        stream = POLICY.stream(Direction.OUTPUT)
        shown = [stream.push(text[a:b]).text for a, b in pairwise([0, *cut, len(text)])]
        last = stream.finish()
        assert last.verdict == wanted
        blocked = wanted.action is Action.BLOCK
        assert "".join([*shown, last.text]) == text[: wanted.matches[0].start if blocked else None]


def test_an_ordinary_text_is_not_held_for_what_touches_before_it() -> None:
    stream = POLICY.stream(Direction.OUTPUT)
    pieces = ["some", "how ", "we ", "sto", "p. ", "how ", "ever ", "map", "s "]
    held = [stream.push(piece).text for piece in pieces]
    assert held == ["some", "how ", "we ", "sto", "p. ", "", "how ever ", "", "maps "]
