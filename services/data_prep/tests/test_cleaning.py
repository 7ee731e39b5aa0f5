"""What each transform does, and what all of them promise: never an error, and once is enough."""

import unicodedata
from functools import cache

import pytest
from ftfy.badness import is_bad
from hypothesis import example, given, settings
from hypothesis import strategies as st
from modelmill_data_prep.domain.cleaning.clean_plan import (
    STANDARD,
    TRANSFORMS,
    CleanPlan,
    plan_clean,
)
from modelmill_data_prep.domain.cleaning.encoding import EncodingRepair
from modelmill_data_prep.domain.stages import TextTransform
from modelmill_data_prep.domain.text_form import normalise
from modelmill_data_prep.pipeline.worker_parts import MAKERS, clean_transforms
from modelmill_service_kit.errors import InvalidInputError

any_text = st.text(st.characters(exclude_categories=["Cs"]))
tricky_text = st.lists(
    st.sampled_from(
        [
            *"ae\u0301 \t\u00a0\u3000\r\n\x00\x1f\u0300\u05ad\u200b\u200c\u200d\ufeff\u00ad\u2028",
            *"汉\u0915\u094d👩\ufe0f\u212b\u0958哈a《》。！<>&;`/ÃÂ©¤é锟斤拷浣犲ソ銆Äã\x80€™œ",
            *("ä½\xa0å¥½", "ÄãºÃ", "Ã", "锟斤拷", "浣犲ソ", "&amp;", "&lt;", "&nbsp;", "&#8203;"),
            *("<p>", "</p>", "<b>", "</b>", "<br>", "<script>", "</script>", "<!--", "-->", "```"),
            *("哈哈哈", "好的", "All rights reserved", "分享到微信", "\n\n", "the ", "lt;", "amp;"),
            *("我们", "的", "發", "乾", "頭髮"),
            *(
                "\x0c",
                "\U0001f3f4",
                "\U000e0067",
                "\U000e007f",
                "葛",
                "\U000e0100",
                "\u1820",
                "\u180b",
            ),
            *("\u0345", "\u05b0", "\u0316", "  ", "<pre>", "</pre>", "<td>", "<p x=1>", "</div>"),
        ]
    ),
    max_size=40,
).map("".join)
texts = st.lists(any_text | tricky_text, max_size=4)


@cache
def made(name: str) -> TextTransform:
    """One for all examples: some load dictionaries."""
    return MAKERS[name]()


@cache
def made_chain(names: tuple[str, ...]) -> list[TextTransform]:
    return clean_transforms(CleanPlan(names))


def chain(given_texts: list[str], names: tuple[str, ...] = TRANSFORMS) -> list[str]:
    for transform in made_chain(names):
        given_texts = transform(given_texts)
    return given_texts


@pytest.mark.parametrize("name", TRANSFORMS)
@settings(deadline=None)
@given(given_texts=texts)
def test_a_transform_takes_any_text_and_done_twice_changes_nothing(
    name: str, given_texts: list[str]
) -> None:
    transform = made(name)

    once = transform(given_texts)

    assert len(once) == len(given_texts)
    assert transform(once) == once


@pytest.mark.parametrize("name", TRANSFORMS)
@settings(deadline=None)
@given(given_texts=texts)
def test_a_text_becomes_the_same_alone_as_in_a_batch(name: str, given_texts: list[str]) -> None:
    transform = made(name)

    assert transform(given_texts) == [transform([text])[0] for text in given_texts]


@settings(deadline=None)
@given(given_texts=texts)
@example(given_texts=["&Atilde;&copy;"])
def test_all_transforms_in_our_order_done_twice_change_nothing(given_texts: list[str]) -> None:
    once = chain(given_texts)

    assert chain(once) == once


@settings(deadline=None)
@given(given_texts=texts)
@example(given_texts=["Ã\u200b©"])
def test_the_standard_transforms_done_twice_change_nothing(given_texts: list[str]) -> None:
    once = chain(given_texts, STANDARD)

    assert chain(once, STANDARD) == once
    assert all(unicodedata.is_normalized("NFC", text) for text in once)


@given(given_texts=texts)
def test_three_transforms_do_what_normalise_does_with_one_text(given_texts: list[str]) -> None:
    expected = [normalise(text) for text in given_texts]

    assert chain(given_texts, ("unicode", "invisible", "spaces")) == expected


@pytest.mark.parametrize("name", TRANSFORMS)
def test_half_a_character_is_no_error(name: str) -> None:
    assert len(made(name)(["a\ud800漢&lt;<b>x</b>", "漢字"])) == 2


@pytest.mark.parametrize(
    ("broken", "repaired"),
    [
        ("ä½\xa0å¥½", "你好"),
        ("cafÃ© au lait", "café au lait"),
        ("ÄãºÃ£¬ÊÀ½ç", "你好，世界"),
        ("浣犲ソ", "你好"),
        ("他说：浣犲ソ", "他说：你好"),
        ("锟斤拷锟斤拷 abc", "\ufffd abc"),
    ],
)
def test_what_was_decoded_by_the_wrong_table_is_put_right(broken: str, repaired: str) -> None:
    assert EncodingRepair()([broken]) == [repaired]


@pytest.mark.parametrize(
    "text",
    [
        "联通",
        "l’été à Noël – “été” 25°C ½×²",
        "这家酒店很好，“不错”……——10×3=30€",
        "naïve Ångström ÆØÅ æøå",
        "¿Qué tal? ¡Bien!",
        "鎏金的鎏、浣熊和鏄",
        "Привет, мир — это «тест»",
    ],
)
def test_what_is_right_is_not_repaired(text: str) -> None:
    assert EncodingRepair()([text]) == [text]


@settings(max_examples=500)
@example("άÄ")
@given(st.text(st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs"])))
def test_nothing_that_ftfy_takes_for_broken_passes_unseen(text: str) -> None:
    from modelmill_data_prep.domain.cleaning.encoding import _ONE_BYTE_TABLE, _SUSPECT

    assert not is_bad(text) or (_SUSPECT.search(text) and _ONE_BYTE_TABLE.search(text))


def test_a_spec_that_names_nothing_gets_what_no_reader_would_miss() -> None:
    assert plan_clean({}).transforms == STANDARD


def test_transforms_run_in_our_order() -> None:
    plan = plan_clean({"transforms": ["spaces", "markup", "encoding", "markup"]})

    assert plan.transforms == ("encoding", "markup", "spaces")


def test_an_unknown_transform_is_refused_with_a_list_of_all() -> None:
    with pytest.raises(InvalidInputError) as refusal:
        plan_clean({"transforms": ["encoding", "sparkle", "shine"]})

    assert [error.split(".")[0] for error in refusal.value.errors] == [
        "clean: unknown transform 'sparkle'",
        "clean: unknown transform 'shine'",
    ]
    assert all(name in refusal.value.errors[0] for name in TRANSFORMS)
