"""The values of rows that thresholds are about, counted over whole batches.

A value that says nothing about a text (the length of words in a text without words) is NaN, which
is neither too small nor too large.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.code_points import (
    HAN,
    LATIN,
    LETTERS,
    PUNCTUATION,
    SPACED_LETTERS,
    UPPER,
    CharacterClass,
    CodePoints,
)
from modelmill_data_prep.domain.filtering.repetition import (
    repeated_ngram_share,
    repeated_word_ngram_share,
)
from modelmill_data_prep.domain.languages import all_function_words

C = CharacterClass
Values = NDArray[np.float64]

MIN_LINES = 4
MIN_CASED_LETTERS = 40
MIN_SPACED_WORDS = 20
MIN_HAN_OF_STOP_WORDS = 50
MIN_WORDS_OF_STOP_WORDS = 30

_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"'\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]{1,2000}")
_ELLIPSES = ("...", "…", "。。。")
_BULLETS = tuple("•●○■□▪▫◦‣⁃–—-*·+")


@dataclass(frozen=True)
class Batch:
    """Texts with their characters; `limits` lets a costly value stop where it cannot matter."""

    texts: Sequence[str]
    points: CodePoints
    limits: Mapping[str, float]


def _share(part: NDArray[np.int64], whole: NDArray[np.int64], least: int = 1) -> Values:
    """Part of whole, NaN where the whole is smaller than `least`."""
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole >= max(least, 1))
    return shares


def _share_of(*classes: CharacterClass) -> Callable[[Batch], Values]:
    def value(batch: Batch) -> Values:
        points = batch.points
        blanks = points.count((C.SPACE, C.LINE_BREAK)) - 1
        return _share(points.count(classes), points.lengths - blanks)

    return value


def _characters(batch: Batch) -> Values:
    return batch.points.lengths.astype(np.float64)


def _words(batch: Batch) -> Values:
    points = batch.points
    words = points.per_text(points.word_starts()) + points.count((*HAN, C.KANA))
    return words.astype(np.float64)


def _url_share(batch: Batch) -> Values:
    texts = batch.texts
    shares = np.zeros(len(texts))
    joined = "\n".join(texts)
    if "://" in joined or "www." in joined:
        for place, text in enumerate(texts):
            if "://" in text or "www." in text:
                shares[place] = sum(map(len, _URL.findall(text))) / len(text)
    return shares


def _line_share(count: Callable[[list[str]], int]) -> Callable[[Batch], Values]:
    def value(batch: Batch) -> Values:
        shares = np.full(len(batch.texts), np.nan)
        for place in np.flatnonzero(batch.points.lines() >= MIN_LINES).tolist():
            lines = [line for line in map(str.strip, batch.texts[place].split("\n")) if line]
            if len(lines) >= MIN_LINES:
                shares[place] = count(lines) / len(lines)
        return shares

    return value


def _uppercase_share(batch: Batch) -> Values:
    points = batch.points
    upper = points.count(UPPER)
    cased = upper + points.count((C.LATIN, C.CYRILLIC, C.CYRILLIC_NOT_RUSSIAN))
    shares = _share(upper, cased, MIN_CASED_LETTERS)
    # Names of products in a Chinese text are upper case as a rule.
    shares[2 * cased < points.count(LETTERS)] = np.nan
    return shares


def _mean_word_length(batch: Batch) -> Values:
    points = batch.points
    words = points.per_text(points.word_starts())
    characters = points.count((*SPACED_LETTERS, C.DIGIT, C.MARK))
    shares = _share(characters, words, MIN_SPACED_WORDS)
    shares[2 * points.count(SPACED_LETTERS) < points.count(LETTERS)] = np.nan
    return shares


def _stop_word_share(batch: Batch) -> Values:
    points = batch.points
    han, latin = points.count(HAN), points.count(LATIN)
    shares = _share(points.count((C.HAN_FUNCTION,)), han, MIN_HAN_OF_STOP_WORDS)
    shares[2 * han < points.count(LETTERS)] = np.nan
    # A word has two characters or more, with its blank.
    long_enough = points.lengths >= 2 * MIN_WORDS_OF_STOP_WORDS
    for place in np.flatnonzero((2 * latin > points.count(LETTERS)) & long_enough).tolist():
        words = batch.texts[place].lower().split()
        if len(words) >= MIN_WORDS_OF_STOP_WORDS:
            shares[place] = sum(map(all_function_words().__contains__, words)) / len(words)
    return shares


VALUES: Mapping[str, Callable[[Batch], Values]] = {
    "characters": _characters,
    "words": _words,
    "letters_share": _share_of(*LETTERS, C.MARK),
    "digit_share": _share_of(C.DIGIT),
    "symbol_share": _share_of(C.SYMBOL),
    "punctuation_share": _share_of(*PUNCTUATION),
    "lost_character_share": _share_of(C.LOST),
    "url_share": _url_share,
    "repeated_line_share": _line_share(lambda lines: len(lines) - len(set(lines))),
    "ellipsis_line_share": _line_share(
        lambda lines: sum(line.endswith(_ELLIPSES) for line in lines)
    ),
    "bullet_line_share": _line_share(
        lambda lines: sum(line.startswith(_BULLETS) for line in lines)
    ),
    "repeated_ngram_share": lambda batch: repeated_ngram_share(
        batch.texts, batch.points, batch.limits.get("repeated_ngram_share.max", 0)
    ),
    "repeated_word_ngram_share": lambda batch: repeated_word_ngram_share(batch.texts, batch.points),
    "uppercase_share": _uppercase_share,
    "mean_word_length": _mean_word_length,
    "stop_word_share": _stop_word_share,
}
"""How the value of each name is found."""
