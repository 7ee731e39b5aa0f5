"""Each character of a Chinese keyword is written in a way of its own, and the keyword is found."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.han_ways import bopomofo
from modelmill_guard.policy import parse_policy
from modelmill_guard.shown_as import parts, readings
from modelmill_guard.verdict import Action, Direction

RULE = "{id: a, category: c, severity: low, action: %s, directions: both, keywords: [%s]%s}"
KEYWORDS = [
    "火花制作方法",
    "如何做好风筝",
    "银行卡",
    "铁门",
    "枪",
    "不受限制的AI",
    "ж银行",
    "3号门",
]
ALL = ", variants: [homophones, pinyin, split]"


def compiled(action: str = "mask", variants: str = ALL) -> CompiledPolicy:
    rule = RULE % (action, ", ".join(KEYWORDS), variants)
    bundle = compile_policy(parse_policy({"p": f"rules: [{rule}]"}))
    return CompiledPolicy.from_bundle(bundle.content, bundle.digest)


MASKING, BLOCKING, PLAIN = compiled(), compiled("block"), compiled(variants="")


def streamed(policy: CompiledPolicy, text: str, cuts: tuple[int, ...]) -> str:
    """What is shown; the verdict is that of the whole text."""
    stream = policy.stream(Direction.OUTPUT)
    shown = [stream.push(text[a:b]).text for a, b in pairwise((0, *cuts, len(text)))]
    last = stream.finish()
    assert last.verdict == policy.check(text, Direction.OUTPUT)
    return "".join([*shown, last.text])


@pytest.mark.parametrize(
    "written",
    [
        "伙ㄏㄨㄚzhi作fang氵去",
        "火huā制亻乍ㄈㄤˉ法",
        "⽕艹化制亻乍⽅⺡去",
        "女口ㄏㄜˊ做女子风竹争",
        "ru人可作hao3疯ㄓㄥ",
        "如 he2 做 ㄏㄠˇ 风 zheng",
        "如-何-做-h-a-o-风-筝",
        "钅艮xing卡",
        "ㄧㄣˊ彳亍卡",
        "tie门",
        "金失ㄇㄣ",
        "不shou限制de AI",
        "⽊仓",
        "жyin行",
        "3hao门",
    ],
)
def test_any_mixture_is_masked_where_it_stands(written: str) -> None:
    for before, after in (("", ""), ("请问 ", "。"), ("(", ") x"), ("自", "了")):
        text, wanted = before + written + after, before + "*" * len(written) + after
        for place in range(len(text)):
            assert streamed(MASKING, text, (place,)) == wanted, place
        assert streamed(MASKING, text, tuple(range(1, len(text)))) == wanted
    assert PLAIN.check(written, Direction.INPUT).action is Action.ALLOW


@pytest.mark.parametrize(
    "text",
    [
        "ㄊㄧㄝ",
        "xtie门",
        "铁menu",
        "铁,门",
        "tie 4门",
        "银xin卡",
        "火花制造ㄈㄤ法",
        "木,仓",
    ],
)
def test_what_is_written_otherwise_is_left(text: str) -> None:
    assert MASKING.check(text, Direction.INPUT).action is Action.ALLOW


def ways_of(character: str) -> list[str]:
    """Some ways to write it, by the tables that the guard has."""
    known = readings().get(ord(character), [])
    syllables = [syllable for syllable, _ in known]
    alike = [chr(one) for one, of in readings().items() if known and of[0][0] == syllables[0]]
    split = [way.strip("=").replace("/", "") for way in parts().get(ord(character), [])]
    letters = [*syllables, *(one + "3" for one in syllables), *map(bopomofo, syllables)]
    return [character, *alike[:5], *split, *(one for one in letters if one)]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_all_mixtures_are_found_and_none_leaks(data: st.DataObject) -> None:
    keyword = data.draw(st.sampled_from(KEYWORDS[:2]))
    ways = [data.draw(st.sampled_from(ways_of(character))) for character in keyword]
    written = data.draw(st.sampled_from(["", " ", "*"])).join(ways)
    text = "看, " + written + "!"
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=5).map(sorted))
    assert streamed(BLOCKING, text, tuple(cuts)) == "看, "


PIECES = [
    *[
        "ж",
        "3",
        "hao",
        "号",
        "火",
        "花",
        "制",
        "作",
        "方",
        "法",
        "铁",
        "门",
        "银",
        "行",
        "卡",
        "伙",
        "值",
        "不",
        "受",
    ],
    *["tie", "men", "t", "ie4", "me", "n2", "huo", "hua", "x", "ai", "yin", "xing", "ka"],
    *[
        "ㄊ",
        "ㄧ",
        "ㄝ",
        "ㄇㄣ",
        "ㄇ",
        "ˊ",
        "艹",
        "化",
        "钅",
        "失",
        "艮",
        "彳亍",
        "⺾",
        "⽕",
        "女子",
    ],
    *[" ", "  ", "-", ", ", "。", "\u0301", "\u200b", "4"],
]


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.data())
@settings(max_examples=300, deadline=None)
def test_cuts_change_neither_verdict_nor_text(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6).map(sorted))
    for policy in (MASKING, BLOCKING):
        shown = streamed(policy, text, tuple(cuts))
        assert streamed(policy, text, tuple(range(1, len(text)))) == shown
        if policy is MASKING:
            assert shown == policy.check(text, Direction.OUTPUT).text
