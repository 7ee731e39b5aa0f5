"""Tidied text reads as before; compared text ignores what a reader does not see."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.text_form import Form, comparison_key, in_form, normalise

ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
any_text = st.text(st.characters(exclude_categories=["Cs"]))
tricky_text = st.text(
    st.sampled_from(
        "ae\u0301 \t\u00a0\u3000\r\n\x00\x1f\u0300\u05ad\u200b\u200c\u200d\ufeff\u00ad\u2028"
        "汉\u0915\u094d👩\ufe0f\u212b\u0958"
    )
)


@pytest.mark.parametrize(
    ("given_text", "tidied"),
    [
        ("cafe\u0301", "caf\u00e9"),
        ("a\x00b\u200bc\ufeffd\u202ee\u2060f", "abcdef"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("  a   b \t c  ", "a b c"),
        ("a\u3000\u3000b\u00a0 c", "a b c"),
        ("if x:\n    return  1   \n", "if x:\n    return 1"),
        ("a\n\n\nb", "a\n\n\nb"),
        ("ＡＢＣ１２３，好", "ＡＢＣ１２３，好"),
        ("法\u200d轮", "法轮"),
        ("one\x0ctwo\x0bthree", "one\ntwo\nthree"),
        ("a  b\n```\nx = 1  # two\n```\nc  d", "a b\n```\nx = 1  # two\n```\nc d"),
        (f"{ENGLAND} {ENGLAND[:4]}x\U000e0067", f"{ENGLAND} \U0001f3f4x"),
        ("葛\U000e0100城a\U000e0100 \u1820\u180b\u180b x\u180b", "葛\U000e0100城a \u1820\u180b x"),
        (
            "👩\u200d👩\u200d👧 क\u094d\u200dष \u0645\u06cc\u200c\u062e",
            "👩\u200d👩\u200d👧 क\u094d\u200dष \u0645\u06cc\u200c\u062e",
        ),
    ],
)
def test_what_a_reader_cannot_see_goes_and_what_they_can_stays(
    given_text: str, tidied: str
) -> None:
    assert normalise(given_text) == tidied


marks = st.characters(min_codepoint=0x300, max_codepoint=0x36F) | st.sampled_from(
    "a한\u05b0\u0f73\u0344\uff9e\u1100\u1161\u11a8"
)


@given(st.text(marks, min_size=100, max_size=200), st.sampled_from(["NFC", "NFKC"]))
def test_long_runs_of_marks_have_the_same_form_as_python_gives_them(text: str, form: Form) -> None:
    assert in_form(form, text) == unicodedata.normalize(form, text)


@given(st.text(st.sampled_from("a\u0345\u05b0\u200d\u0301\U000e0100葛")))
def test_joiners_that_lose_their_neighbours_one_after_the_other_all_go(text: str) -> None:
    once = normalise(text * 8)

    assert normalise(once) == once


@given(any_text | tricky_text)
def test_tidying_twice_changes_nothing(text: str) -> None:
    once = normalise(text)

    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)


@given(any_text)
def test_tidying_keeps_every_letter_digit_and_mark(text: str) -> None:
    def visible(value: str) -> list[str]:
        composed = unicodedata.normalize("NFC", value)
        return [c for c in composed if unicodedata.category(c)[0] in "NPS" or c.isalpha()]

    invisible_letters = "\u115f\u1160\u3164\uffa0"
    expected = [c for c in visible(text) if c not in invisible_letters]
    assert visible(unicodedata.normalize("NFC", normalise(text))) == expected


@given(any_text | tricky_text)
def test_keys_are_stable_under_tidying(text: str) -> None:
    assert comparison_key(comparison_key(text)) == comparison_key(text)


@pytest.mark.parametrize(
    "variant", ["Hello, World", "hello,  WORLD", "Ｈｅｌｌｏ， Ｗｏｒｌｄ", "hello,\nworld "]
)
def test_width_case_and_spacing_do_not_make_another_key(variant: str) -> None:
    assert comparison_key(variant) == "hello, world"
