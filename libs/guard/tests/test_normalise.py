"""The shadow copy: what it shows, and that it grows with the text without second thoughts."""

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelmill_guard.normalise import ShadowWindow, is_word_character, normalise

DISGUISES = st.sampled_from("aBé ﬀ炸ｂ\u200b\u0301\u00ad\ufe0f\u3164\n\tа🅱①Ω\ud800\x00")


@pytest.mark.parametrize(
    "disguised",
    [
        "Bomb",
        "ＢＯＭＢ",
        "b\u200bo\u2060m\ufeffb",
        "b\u00ado\u200dmb",
        "b\u0301o\u0302m\u0303b\u0304",
        "ḃömb",
        "𝐛𝗼𝓶𝔟",
        "Ⓑⓞⓜⓑ",
        "🅱🅾🅼🅱",
        "🅑🅞🅜🅑",
        "воmЬ".replace("Ь", "b"),
        "bοmb",  # Greek omicron
        "bo\u3164m\u115fb",
        "bo\U000e0041mb",
        "b\x00om\x08b",
        "ᏴᎾꓟᏴ",  # Cherokee, Lisu
        "ᑲⲟꓟᖯ",  # Canadian syllabics, Coptic, Lisu
        "bօmь",  # Armenian, Cyrillic soft sign
    ],
)
def test_a_disguised_word_is_seen_as_a_reader_sees_it(disguised: str) -> None:
    assert normalise(disguised) == "bomb"


def test_any_run_of_white_space_is_one_space() -> None:
    assert normalise("a \t\n\u00a0\u3000\u2003\u200b b") == "a b"


def test_chinese_stays_and_compatibility_forms_become_it() -> None:
    assert normalise("炸弹 ⼥") == "炸弹 女"


def test_traditional_chinese_is_seen_as_simplified() -> None:
    assert normalise("炸彈製作方法，無痛自殺") == "炸弹制作方法,无痛自杀"


def test_digits_of_any_script_are_what_they_count() -> None:
    assert normalise("١٣٨ ०९ ৪ １２ 𝟗") == "138 09 4 12 9"


@pytest.mark.parametrize("text", ["0o1li", "б", "ノ", "〇", "--", "...", "|", "€", "¥"])
def test_what_only_looks_alike_out_of_context_stays(text: str) -> None:
    assert normalise(text) == text


@settings(deadline=None)
@given(st.lists(DISGUISES | st.characters(), max_size=30), st.data())
def test_pieces_give_the_same_shadow_and_origins_as_the_whole(
    characters: list[str], data: st.DataObject
) -> None:
    text = "".join(characters)
    cut = data.draw(st.integers(0, len(text)))
    whole, pieces = ShadowWindow(), ShadowWindow()
    whole.append(text)
    pieces.append(text[:cut])
    assert whole.text.startswith(pieces.text)
    pieces.append(text[cut:])

    assert pieces.text == whole.text
    assert [pieces.original_start(p) for p in range(pieces.end + 1)] == [
        whole.original_start(p) for p in range(whole.end + 1)
    ]


@pytest.mark.tier("test")
def test_every_character_of_unicode_has_a_stable_shadow() -> None:
    unstable = []
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in ("Cn", "Co"):
            continue
        shadow = normalise(character)
        if normalise(shadow) != shadow:
            unstable.append(character)
    assert unstable == []


def test_an_original_character_ends_with_its_marks_once_the_next_is_known() -> None:
    window = ShadowWindow()
    for piece, end in (("e\u0301", 2), ("\u200d", 3)):
        window.append(piece)
        assert (window.last_start(), window.original_end(1)) == (0, end)
    window.append("x")
    assert (window.last_start(), window.original_end(1)) == (1, 3)
    window.drop_before(1)
    window.append("yz")
    assert (window.last_start(), window.original_start(2), window.original_end(3)) == (3, 4, 5)


def test_a_ligature_is_never_cut() -> None:
    window = ShadowWindow()
    window.append("oﬀx")
    assert window.text == "offx"
    assert window.original_start(2) == 1
    assert window.original_end(2) == 2
    assert window.last_start() == 3
    window.append("ﬁ")
    assert window.last_start() == 4


@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("a", True),
        ("7", True),
        ("_", True),
        ("ж", True),
        ("-", False),
        ("炸", False),
        ("カ", False),
    ],
)
def test_words_end_at_punctuation_and_at_scripts_without_spaces(
    character: str, expected: bool
) -> None:
    assert is_word_character(character) is expected
