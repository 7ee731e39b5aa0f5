"""Table of filter thresholds with defaults and reasons."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Threshold:
    """A limit on one text statistic."""

    name: str
    """"<value>.min" or "<value>.max"; the limit itself is kept."""

    unit: str
    standard: float | None
    """Limit in preset "standard"; None for no limit."""

    why: str

    @property
    def value(self) -> str:
        """Name of the limited statistic."""
        return self.name.rpartition(".")[0]

    @property
    def is_minimum(self) -> bool:
        return self.name.endswith(".min")


_OF_CHARACTERS = "share of the characters that are no blanks"
_WORDS = "words; a Han or kana character is one"
_OF_LINES = "share of the lines, of a text of 4 lines or more"

THRESHOLDS = (
    Threshold("characters.min", "characters", 5, "an empty question and its label"),
    Threshold("characters.max", "characters", 200_000, "a book or a dump, no row"),
    Threshold("words.min", _WORDS, None, "too short to learn from"),
    Threshold("words.max", _WORDS, None, "too long to learn from"),
    Threshold("letters_share.min", _OF_CHARACTERS, 0.3, "tables of numbers, rows of dashes"),
    Threshold("digit_share.max", _OF_CHARACTERS, 0.5, "numbers, logs, phone lists"),
    Threshold("symbol_share.max", _OF_CHARACTERS, 0.3, "emoji and drawings"),
    Threshold("punctuation_share.max", _OF_CHARACTERS, 0.5, "shouting and separators"),
    Threshold("lost_character_share.max", _OF_CHARACTERS, 0.01, "U+FFFD: a broken encoding"),
    Threshold("url_share.max", "share of the characters", 0.5, "lists of links"),
    Threshold("repeated_line_share.max", _OF_LINES, 0.3, "the same line again (Gopher: 0.3)"),
    Threshold("ellipsis_line_share.max", _OF_LINES, 0.3, "beginnings of articles (Gopher: 0.3)"),
    Threshold("bullet_line_share.max", _OF_LINES, 0.9, "nothing but a list (Gopher: 0.9)"),
    Threshold(
        "repeated_ngram_share.max",
        "share of the runs of 10 characters that were there before, of a text of 60 or more",
        0.5,
        "the same phrase again and again",
    ),
    Threshold(
        "repeated_word_ngram_share.max",
        "share of the runs of 5 words that were there before, of a text of 50 spaced words or more",
        0.15,
        "the same in words (Gopher: 0.15 of the characters)",
    ),
    Threshold(
        "uppercase_share.max",
        "share of the letters that have case, of a text of 40 such letters or more",
        0.7,
        "SHOUTING, and lists of codes",
    ),
    Threshold(
        "mean_word_length.min",
        "letters and digits a word, of a text of 20 words with blanks between or more",
        2,
        "l e t t e r s apart",
    ),
    Threshold(
        "mean_word_length.max",
        "letters and digits a word, of a text of 20 words with blanks between or more",
        15,
        "base64, identifiers, glued words",
    ),
    Threshold(
        "stop_word_share.min",
        "share of function words, of a text with 50 Han characters or more, or of 30 words or more "
        "in Latin letters",
        0.02,
        "keywords and catalogues: a sentence needs them",
    ),
)
BY_NAME = {threshold.name: threshold for threshold in THRESHOLDS}
