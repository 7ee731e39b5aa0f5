"""Tidied text reads as before; compared text ignores what a reader does not see."""

import unicodedata

import pytest
from data_prep.domain.text_form import comparison_key, normalise
from hypothesis import given
from hypothesis import strategies as st

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
