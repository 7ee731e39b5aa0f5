"""Chinese keywords by their sound: with other characters, in pinyin, in Bopomofo."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.han_ways import bopomofo
from modelmill_guard.policy import parse_policy
from modelmill_guard.shown_as import readings
from modelmill_guard.verdict import Direction

RULE = "{id: a, category: c, severity: low, action: mask, directions: both, keywords: %s%s}"
KEYWORDS = ["火花制作方法", "如何做风筝", "银行卡号", "星铁"]


def compiled(variants: str) -> CompiledPolicy:
    rule = RULE % (f"[{', '.join(KEYWORDS)}]", variants)
    bundle = compile_policy(parse_policy({"p": f"rules: [{rule}]"}))
    return CompiledPolicy.from_bundle(bundle.content, bundle.digest)


SOUNDS, PINYIN = compiled(", variants: [homophones]"), compiled(", variants: [pinyin]")
PLAIN = compiled("")


def masked_where_it_stands(policy: CompiledPolicy, written: str) -> None:
    for before, after in (("", ""), ("请问 ", "。"), ("(", ")")):
        text = before + written + after
        wanted = before + "*" * len(written) + after
        assert policy.check(text, Direction.INPUT).text == wanted
        for place in range(len(text)):
            stream = policy.stream(Direction.OUTPUT)
            pieces = [text[a:b] for a, b in pairwise((0, place, len(text)))]
            shown = [stream.push(piece).text for piece in pieces]
            assert "".join([*shown, stream.finish().text]) == wanted, place


@pytest.mark.parametrize(
    "written",
    [
        "伙华只做房发",
        "火花制做方发",
        "入和坐峰正",
        "如何做疯争",
        "火-花-只-做-方-法",
        "吟航咖号",
        "银行喀号",
        "火花值作方法",
    ],
)
def test_other_characters_of_the_same_sound_are_the_keyword(written: str) -> None:
    masked_where_it_stands(SOUNDS, written)
    assert PLAIN.check(written, Direction.INPUT).text == written


@pytest.mark.parametrize(
    "text", ["兴贴", "火花", "制作方法", "如何做", "火花值得方法", "如果做风筝"]
)
def test_fewer_syllables_and_other_ones_are_left(text: str) -> None:
    assert SOUNDS.check(text, Direction.INPUT).text == text


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_character_of_the_syllable_will_do(data: st.DataObject) -> None:
    keyword = data.draw(st.sampled_from(KEYWORDS[:3]))
    by_sound: dict[str, list[str]] = {}
    for character, known in readings().items():
        by_sound.setdefault(known[0][0], []).append(chr(character))
    same = [by_sound[readings()[ord(one)][0][0]] for one in keyword]
    written = "".join(data.draw(st.sampled_from(ones)) for ones in same)
    assert SOUNDS.check(written, Direction.INPUT).matches


@pytest.mark.parametrize(
    "written",
    [
        "huo hua zhi zuo fang fa",
        "huohua zhizuo fangfa",
        "HuoHuaZhiZuoFangFa",
        "huǒ huā zhì zuò fāng fǎ",
        "huo3hua1zhi4zuo4fang1fa3",
        "huo-hua-zhi-zuo-fang-fa",
        "huo_hua_zhi_zuo_fang_fa",
        "火花zhizuo方法",
        "火花 zhi zuo 方法",
        "huohua制作fangfa",
        "如何zuo风zheng",
        "ㄏㄨㄛˇㄏㄨㄚㄓˋㄗㄨㄛˋㄈㄤㄈㄚˇ",
        "ㄏㄨㄛˇ ㄏㄨㄚ ㄓˋ ㄗㄨㄛˋ ㄈㄤ ㄈㄚˇ",
        "yin hang ka hao",
    ],
)
def test_pinyin_and_bopomofo_are_the_keyword(written: str) -> None:
    masked_where_it_stands(PINYIN, written)
    assert PLAIN.check(written, Direction.INPUT).text == written


@pytest.mark.parametrize(
    ("syllable", "letters"),
    [
        ("zhi", "ㄓ"),
        ("yu", "ㄩ"),
        ("xue", "ㄒㄩㄝ"),
        ("lve", "ㄌㄩㄝ"),
        ("nue", "ㄋㄩㄝ"),
        ("jiong", "ㄐㄩㄥ"),
        ("dong", "ㄉㄨㄥ"),
        ("gui", "ㄍㄨㄟ"),
        ("er", "ㄦ"),
        ("weng", "ㄨㄥ"),
        ("yan", "ㄧㄢ"),
        ("yuan", "ㄩㄢ"),
    ],
)
def test_a_syllable_in_bopomofo(syllable: str, letters: str) -> None:
    assert bopomofo(syllable) == letters


def test_nearly_every_syllable_of_a_common_character_has_bopomofo() -> None:
    syllables = {syllable for known in readings().values() for syllable, _ in known}
    assert {one for one in syllables if bopomofo(one) is None} <= {"n", "ng", "m", "hng", "yo"}
