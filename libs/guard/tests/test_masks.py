"""In every disguise a mask covers the disguised word, and the rest of the text stays as it was."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from guard_support.oracle import each_rule_once, oracle
from hypothesis import given
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import parse_policy
from modelmill_guard.shown_as import lookalikes, simplified
from modelmill_guard.verdict import Direction

RULES = """
rules:
- {id: a, category: c, severity: low, action: mask, directions: both,
   keywords: [steroids, kill list, 制造炸弹, 无痛自杀], variants: [leet, pinyin, split]}
"""
COMPILED = CompiledPolicy.from_bundle(compile_policy(parse_policy({"p": RULES})).content)
ENGLISH, CHINESE = ["steroids", "kill list"], ["制造炸弹", "无痛自杀"]
BEFORE = ["", "see ", "(", "“", "看看", "ŵ😀 ", "a\u0301 - ", "ﷺ "]
AFTER = ["", " now", ".", "”吧", "。", " ", "😀", "！"]

Disguise = Callable[[st.DataObject, str], str]


def _shown_by(table: dict[int, str]) -> Disguise:
    by_shown: dict[str, list[str]] = {}
    for code, shown in table.items():
        by_shown.setdefault(shown, []).append(chr(code))

    def disguise(data: st.DataObject, word: str) -> str:
        return "".join(data.draw(st.sampled_from([c, *by_shown.get(c, [])])) for c in word)

    return disguise


def _between(separators: list[str], most: int) -> Disguise:
    gap = st.lists(st.sampled_from(separators), min_size=1, max_size=most).map("".join)
    return lambda data, word: "".join(c + data.draw(gap) for c in word[:-1]) + word[-1]


def _apart(separators: list[str], most: int) -> Disguise:
    between = _between(separators, most)
    return lambda data, word: between(data, word.replace(" ", ""))


def _replaced(choices: dict[str, list[str]]) -> Disguise:
    return lambda data, word: "".join(
        data.draw(st.sampled_from([c, *choices.get(c, [])])) for c in word
    )


def _full_width(_: st.DataObject, word: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in word)


LEET = {
    **{"s": ["5", "$"], "t": ["7", "+"], "e": ["3", "€"], "o": ["0"], "i": ["1", "!", "|"]},
    "l": ["1", "|", "£"],
}
DISGUISES: dict[str, tuple[list[str], Disguise]] = {
    "look-alikes": (ENGLISH, _shown_by(lookalikes())),
    "traditional": (CHINESE, _shown_by(simplified())),
    "full width": (ENGLISH, _full_width),
    "invisible": (ENGLISH + CHINESE, _between(["\u200b", "\u00ad", "\ufe0f", "\u2060"], 40)),
    "marks": (ENGLISH, _between(["\u0301", "\u0327", "\u20dd"], 40)),
    "spacing": (ENGLISH + CHINESE, _apart([" ", "\u3000", "\t"], 40)),
    "punctuation": (ENGLISH + CHINESE, _apart([*"-_.*|~·+/", "😀"], 3)),
    "leet": (ENGLISH, _replaced(LEET)),
    "pinyin": (["zhizaozhadan", "wu tong zi sha"], lambda _, word: word),
    "split": (CHINESE, _replaced({"炸": ["火乍"], "弹": ["弓单"]})),
}


@pytest.mark.parametrize("name", DISGUISES)
@given(data=st.data())
def test_a_mask_lands_on_the_disguised_word_and_nothing_else_changes(
    name: str, data: st.DataObject
) -> None:
    words, disguise = DISGUISES[name]
    word = disguise(data, data.draw(st.sampled_from(words)))
    before, after = data.draw(st.sampled_from(BEFORE)), data.draw(st.sampled_from(AFTER))
    text = before + word + after
    cut = data.draw(st.lists(st.integers(0, len(text)), max_size=5).map(sorted))

    stream = COMPILED.stream(Direction.OUTPUT)
    shown = "".join(stream.push(text[a:b]).text for a, b in pairwise([0, *cut, len(text)]))
    shown += stream.finish().text

    assert shown == before + "*" * len(word) + after


EVERYWHERE = parse_policy(
    {
        "p": """
rules:
- {id: letter, category: c, severity: low, action: mask, directions: both, pattern: "[a-z]"}
- {id: two, category: c, severity: low, action: mask, directions: both, pattern: "[a-z]{2}"}
- {id: end, category: c, severity: low, action: block, directions: both, pattern: "[ai]x"}
- {id: any, category: c, severity: low, action: flag, directions: both, pattern: "[a-z0-9 ]"}
"""
    }
)
COMPILED_EVERYWHERE = CompiledPolicy.from_bundle(compile_policy(EVERYWHERE).content)


@given(st.text("abix1. \ufb01\u0301", max_size=20), st.lists(st.integers(0, 20), max_size=4))
def test_rules_that_match_everywhere_tell_and_mask_what_the_oracle_finds(
    text: str, cuts: list[int]
) -> None:
    expected = oracle(EVERYWHERE, text, Direction.OUTPUT, COMPILED_EVERYWHERE.digest)
    for once in (False, True):
        stream = COMPILED_EVERYWHERE.stream(Direction.OUTPUT, each_rule_once=once)
        for start, end in pairwise([0, *sorted(cuts), 20]):
            stream.push(text[start:end])
        assert stream.finish().verdict == (each_rule_once(expected) if once else expected)
