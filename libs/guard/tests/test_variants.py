"""Spellings that a rule asks for are found, masked where they stand, and nowhere else."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_guard.bundle import CompiledPolicy, compile_policy
from modelmill_guard.policy import PolicyError, parse_policy
from modelmill_guard.variants import in_pinyin
from modelmill_guard.verdict import Action, Direction

RULE = "{id: a, category: c, severity: low, action: mask, directions: both, keywords: %s%s}"


def compiled(keywords: str, variants: str = "") -> CompiledPolicy:
    rule = RULE % (keywords, f", variants: {variants}" if variants else "")
    return CompiledPolicy.from_bundle(
        compile_policy(parse_policy({"p": f"rules: [{rule}]"})).content
    )


ENGLISH = "steroids, kill list, zigget, eel bait, sos, ill, leg, lot"
CHINESE = "炸弹, 法轮, 女人, 花炸, 铁门, 元星, 星, 枪"
ALL = compiled(f"[{ENGLISH}, {CHINESE}]", "[leet, pinyin, split]")
PLAIN = compiled(f"[{ENGLISH}, {CHINESE}]")


@pytest.mark.parametrize(
    "spelled",
    [
        "$t3r01ds",
        "5T3RO!D$",
        "ster0ids",
        "ki1l li5t",
        "k1ll l1st",
        "€3| 8@!+",
        "2!99€7",
        "$0$",
        "5-7-3-r-0-1-d-s",
        "k 1 l l  l i 5 +",
        "zhadan",
        "Zha Dan",
        "zhà dàn",
        "z-h-a-d-a-n",
        "zha-dan",
        "zha4 dan4",
        "ZHA4DAN4",
        "f-a-3-l-u-n-2",
        "zha弹",
        "炸 DAN",
        "fa-轮",
        "火乍弓单",
        "炸弓单",
        "火乍 弹",
        "艹化火乍",
        "艹化炸",
        "金失门",
        "元日生",
        "木仓",
        "氵去车仑",
        "水去轮",
        "nvren",
        "nu ren",
        "火乍弓單",
    ],
)
def test_a_listed_spelling_is_masked_and_only_where_the_rule_lists_it(spelled: str) -> None:
    text = f"x, {spelled} 。"
    assert ALL.check(text, Direction.INPUT).text == f"x, {'*' * len(spelled)} 。"
    assert PLAIN.check(text, Direction.INPUT).action is Action.ALLOW


LEFT = [
    *["kiil llst", "klll list", "sterolds", "zhadanu", "zha. dan", "日生"],
    *["1", "505", "5-0-5", "1e6", "$05", "10+", "$.0.$", "|---|---|---|", "|[3-9"],
]


@pytest.mark.parametrize("text", [*LEFT])
def test_what_is_spelled_otherwise_is_left(text: str) -> None:
    assert ALL.check(text, Direction.INPUT).action is Action.ALLOW


@given(st.data())
def test_spellings_are_found_however_the_text_is_cut(data: st.DataObject) -> None:
    words = [
        "$t3r01ds",
        "k1ll",
        " ",
        "l1st",
        "zha",
        "dan",
        "火乍",
        "弓单",
        "!",
        "s",
        "1",
        "a ",
        "人",
    ]
    text = "".join(data.draw(st.lists(st.sampled_from(words), max_size=8)))
    cut = data.draw(st.lists(st.integers(0, len(text)), max_size=5).map(sorted))
    stream = ALL.stream(Direction.OUTPUT)
    shown = [stream.push(text[a:b]).text for a, b in pairwise([0, *cut, len(text)])]
    last = stream.finish()

    assert last.verdict == ALL.check(text, Direction.OUTPUT)
    assert "".join([*shown, last.text]) == last.verdict.text
    for original, masked in zip(text, last.verdict.text, strict=True):
        assert masked in (original, "*")


def test_a_bundle_has_the_keywords_and_names_the_variants() -> None:
    rule = RULE % ("[炸弹]", ", variants: [pinyin, split, leet, pinyin]")
    bundle = compile_policy(parse_policy({"p": f"rules: [{rule}]"}))
    assert '"keywords":["炸弹"]' in bundle.content.decode()
    assert '"variants":["leet","pinyin","split"]' in bundle.content.decode()
    assert CompiledPolicy.from_bundle(bundle.content).check("zhadan", Direction.INPUT).matches


def test_a_keyword_is_read_in_a_bounded_number_of_ways() -> None:
    assert len(list(in_pinyin("长行重系炸弹" * 20))) <= 100


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("keywords: [a], variants: [rot13]", "variants must be a list of leet, pinyin, split"),
        ("keywords: [a], variants: leet", "variants must be a list of"),
        ("keywords: [a], variants: [[leet]]", "variants must be a list of"),
        ("pattern: a, variants: [leet]", "variants are for keywords"),
    ],
)
def test_variants_that_cannot_be_used_are_refused(key: str, part: str) -> None:
    rule = f"{{id: a, category: c, severity: low, action: mask, directions: both, {key}}}"
    with pytest.raises(PolicyError, match=part):
        parse_policy({"p": f"rules: [{rule}]"})
