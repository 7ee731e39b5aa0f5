"""Each limit takes out what it is for and leaves what is like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.filtering.filter_plan import BY_NAME, THRESHOLDS, plan_filter
from modelmill_data_prep.domain.filtering.rule import VALUES, FilterRule
from modelmill_service_kit.errors import InvalidInputError

GOOD = (
    "今天天气很好，我们去公园走了走，看了很多花。",
    "The room was clean and the staff were kind, but the breakfast was cold.",
    "DDR3 内存 1066 的条子，买 VISTA 版的用户都要注意。",
)
SENTENCE = "The quick brown fox jumps over the lazy dog and runs away from the angry bear. "
CASES = (
    ("characters.min", 4, "好", "好的很好"),
    ("characters.max", 10, "a" * 11, "a" * 10),
    ("words.min", 3, "two words", "three words here"),
    ("words.max", 3, "我们都去", "我们去"),
    ("letters_share.min", 0.5, "12345 abc", "123 abc"),
    ("digit_share.max", 0.5, "1234 abc", "123 abcd"),
    ("symbol_share.max", 0.3, "good ~~~~~~", "good ~"),
    ("punctuation_share.max", 0.5, "好。。。。", "好的。。"),
    ("lost_character_share.max", 0.01, "abc\ufffd", "abcd"),
    ("url_share.max", 0.5, "see https://example.com/a/very/long/path", "see it at www.a.cn please"),
    ("repeated_line_share.max", 0.3, "a\nb\na\na\nb", "a\nb\nc\nd\ne"),
    ("ellipsis_line_share.max", 0.3, "a...\nb…\nc\nd", "a...\nb\nc\nd"),
    ("bullet_line_share.max", 0.9, "- a\n- b\n• c\n* d", "list:\n- a\n- b\n- c"),
    ("repeated_ngram_share.max", 0.5, "外观可以，整体配置不错，已改系统，" * 5, SENTENCE),
    ("repeated_word_ngram_share.max", 0.15, SENTENCE * 4, " ".join(map(str, range(60)))),
    ("uppercase_share.max", 0.7, "BUY NOW AND SAVE " * 4, "Buy Now And Save " * 4),
    ("mean_word_length.min", 2, "l e t t e r s " * 4, "of an it to me so " * 4),
    ("mean_word_length.max", 15, "incomprehensibilities " * 20, "simple words " * 20),
    ("stop_word_share.min", 0.02, "red shoes blue hats " * 10, SENTENCE * 3),
)


def broken(spec: dict[str, object], *texts: str) -> list[str | None]:
    return FilterRule(plan_filter(spec))(list(texts))


@pytest.mark.parametrize(("name", "limit", "noise", "text"), CASES)
def test_a_limit_takes_out_what_is_beyond_it_alone(
    name: str, limit: float, noise: str, text: str
) -> None:
    assert broken({"thresholds": {name: limit}}, noise, text, noise) == [name, None, name]


def test_every_threshold_has_a_case_and_a_value() -> None:
    assert {name for name, *_ in CASES} == set(BY_NAME)
    assert {threshold.value for threshold in THRESHOLDS} == set(VALUES)


def test_ordinary_sentences_pass_the_standard() -> None:
    assert broken({"preset": "standard"}, *GOOD) == [None] * len(GOOD)


def test_chinese_without_function_words_is_a_list_of_keywords() -> None:
    spec = {"preset": "standard"}

    assert broken(
        spec,
        "机械加工基础入门制图画法范例" * 2
        + "化学工业出版社电子技术手册图书目录编号索引分类价格" * 2,
    ) == ["stop_word_share.min"]


def test_without_a_spec_every_row_stays() -> None:
    assert broken({}, "", "!!!!") == [None, None]


@given(st.lists(st.text(), max_size=5))
def test_a_row_is_judged_the_same_alone_as_in_a_batch(texts: list[str]) -> None:
    rule = FilterRule(plan_filter({"preset": "standard", "languages": ["zh", "en", "zh-hant"]}))

    assert rule(texts) == [rule([text])[0] for text in texts]


def test_languages_that_are_not_named_go() -> None:
    texts = (GOOD[0], GOOD[1], "Привет, мир", "日本語のテキストです", "123")

    assert broken({"languages": ["zh", "ja"]}, *texts) == [
        None,
        "languages",
        "languages",
        None,
        "languages",
    ]


def test_chinese_can_be_chosen_by_its_characters() -> None:
    texts = ("他们说学习语言", "他們說學習語言", "好")

    assert broken({"languages": ["zh-hans"]}, *texts) == [None, "languages", None]
    assert broken({"languages": ["zh-hant"]}, *texts) == ["languages", None, None]
    assert broken({"languages": ["zh"]}, *texts) == [None, None, None]


def test_a_limit_of_the_spec_takes_the_place_of_the_presets() -> None:
    plan = plan_filter({"preset": "standard", "thresholds": {"characters.min": 2}})

    assert plan.limits["characters.min"] == 2
    assert plan.limits["url_share.max"] == BY_NAME["url_share.max"].standard


def test_a_spec_is_refused_with_all_that_is_wrong() -> None:
    with pytest.raises(InvalidInputError) as refusal:
        plan_filter(
            {
                "preset": "strict",
                "thresholds": {"length.min": 1, "url_share.max": 2, "words.min": -1},
                "languages": ["xx"],
            }
        )

    errors = refusal.value.errors
    assert [error.split(". ")[0] for error in errors] == [
        "filter: unknown preset 'strict'",
        "filter: unknown threshold 'length.min'",
        "filter: url_share.max is a share and must be at most 1, got 2",
        "filter: words.min must be 0 or more, got -1",
        "filter: unknown language 'xx'",
    ]
    assert all(name in errors[1] for name in BY_NAME)


def test_a_minimum_above_its_maximum_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no row stays"):
        plan_filter({"thresholds": {"words.min": 9, "words.max": 3}})
