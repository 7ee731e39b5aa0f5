"""spaCy's blank pipelines count Chinese by character and English by word."""

import pytest
from data_prep.adapters.spacy_measure import SpacyMeasurer
from data_prep.domain.languages import language_of
from data_prep.domain.measure import Measure
from data_prep.domain.rows import Conversation, Turn


def conversation(user: str, answer: str) -> Conversation:
    turns = (Turn("system", "not counted"), Turn("user", user), Turn("assistant", answer))
    return Conversation(1, turns)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("今天天气很好。", "zh"),
        ("我用 Python 写代码", "zh"),
        ("The word 好 means good", "en"),
        ("naïve café", "en"),
        ("Привет, мир", "ru"),
        ("123 !?", "other"),
    ],
)
def test_the_script_says_the_language(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.heavy
def test_tokens_and_sentences_are_counted_in_the_language_of_the_row() -> None:
    measure = SpacyMeasurer()

    assert measure(
        [
            conversation("Isn't it good? Yes, it is.", "positive"),
            conversation("今天很好。我们走吧！", "好"),
            conversation("Привет, мир.", "да"),
        ]
    ) == [Measure("en", 11, 3), Measure("zh", 11, 3), Measure("ru", 5, 2)]
