"""Languages, tokens and sentences without a tokenizer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelmill_data_prep.domain.code_points import LETTERS, CharacterClass, CodePoints
from modelmill_data_prep.domain.language_names import Language
from modelmill_data_prep.domain.languages import language_of, languages_of
from modelmill_data_prep.domain.tally import TextLength, measure_lengths


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("今天天气很好。", "zh"),
        ("他們說學習語言", "zh"),
        ("我用 Python 写代码", "zh"),
        ("这个词の用法", "zh"),
        ("これはペンです", "ja"),
        ("東京に行きました", "ja"),
        ("안녕하세요 여러분", "ko"),
        ("Привет, мир", "ru"),
        ("Привіт, світе", "other"),
        ("مرحبا بالعالم", "ar"),
        ("چگونه می‌توانم", "other"),
        ("The word 好 means good", "en"),
        ("jewel orchid", "en"),
        ("Der Hund und die Katze sind nicht hier.", "de"),
        ("C'est la vie et ce n'est pas pour les autres", "fr"),
        ("Me gusta el libro que está en la mesa", "es"),
        ("Questo libro è molto bello e mi piace", "it"),
        ("Você não pode fazer isso com ele", "pt"),
        ("Het is niet de bedoeling dat je een boek leest", "nl"),
        (
            "Alla människor är födda fria och lika i värde och rättigheter. De är utrustade med "
            "förnuft och samvete och bör handla gentemot varandra i en anda av broderskap",
            "other",
        ),
        ("Γειά σου Κόσμε", "other"),
        ("123 !?", "other"),
        ("", "other"),
    ],
)
def test_script_and_function_words_say_the_language(text: str, language: Language) -> None:
    assert language_of(text) == language


@given(st.lists(st.text(), max_size=6))
def test_a_text_counts_the_same_alone_as_in_a_batch(texts: list[str]) -> None:
    assert measure_lengths(texts) == [measure_lengths([text])[0] for text in texts]
    assert languages_of(texts) == [language_of(text) for text in texts]


@given(st.lists(st.text(), min_size=1, max_size=6))
def test_every_character_is_counted_once(texts: list[str]) -> None:
    points = CodePoints(texts)

    assert points.count(tuple(CharacterClass)).tolist() == [len(text) + 1 for text in texts]
    assert points.lengths.tolist() == [len(text) for text in texts]


@given(st.text(st.characters(max_codepoint=0x30000, exclude_categories=["Cs"])))
def test_letters_are_those_of_unicode(text: str) -> None:
    assert CodePoints([text]).count(LETTERS)[0] >= sum(map(str.isalpha, text))


@pytest.mark.parametrize(
    ("text", "tokens", "sentences"),
    [
        ("Isn't it good? Yes, it is.", 9, 2),
        ("今天很好。我们走吧！", 10, 2),
        ("Version 3.14 is out", 6, 1),
        ("等等……好吧！！！", 6, 2),
        ("- one\n- two", 4, 2),
        ("...", 1, 0),
        ("", 0, 0),
    ],
)
def test_tokens_are_words_han_characters_and_marks(text: str, tokens: int, sentences: int) -> None:
    measure = measure_lengths([text])[0]

    assert (measure.tokens, measure.sentences) == (tokens, sentences)


def test_a_measure_has_the_language_too() -> None:
    assert measure_lengths(["好", "good"]) == [TextLength("zh", 1, 1), TextLength("en", 1, 1)]
