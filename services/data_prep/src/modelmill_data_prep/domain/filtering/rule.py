"""The quality filter as a row rule: text statistics of whole batches, compared with thresholds.

A statistic that is undefined for a text (word length without words) is NaN, which violates no
limit.
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
from modelmill_data_prep.domain.filtering.filter_plan import BY_NAME, FilterPlan
from modelmill_data_prep.domain.language_names import VARIANTS
from modelmill_data_prep.domain.languages import all_function_words, is_variant, languages_of

NGRAM_CHARACTERS = 10
MIN_CHARACTERS = 60
NGRAM_WORDS = 5
MIN_WORDS = 50

_FACTOR = 0x9E3779B1
"""Odd hash multiplier with well-mixed bits."""
_BITS = 32
_SLOTS_BITS = 17


def repeated_ngram_share(
    texts: Sequence[str], points: CodePoints, limit: float
) -> NDArray[np.float64]:
    """Share of character 10-grams that occurred earlier in the text.

    Args:
        limit: A text certainly at or below it gets 0, because exact counting is expensive.
    """
    runs = np.maximum(points.lengths - NGRAM_CHARACTERS + 1, 0)
    judged = points.lengths >= MIN_CHARACTERS
    shares = np.where(judged, 0.0, np.nan)
    if not judged.any():
        return shares
    again = _perhaps_again(points)
    for place in np.flatnonzero(judged & (again > limit * runs)).tolist():
        text, count = texts[place], int(runs[place])
        different = {text[first : first + NGRAM_CHARACTERS] for first in range(count)}
        shares[place] = 1 - len(different) / count
    return shares


def repeated_word_ngram_share(texts: Sequence[str], points: CodePoints) -> NDArray[np.float64]:
    """Share of word 5-grams that occurred earlier in the text."""
    shares = np.full(len(texts), np.nan)
    # A word with its space has at least two characters.
    for place in np.flatnonzero(points.lengths >= 2 * MIN_WORDS).tolist():
        words = texts[place].split()
        if len(words) >= MIN_WORDS:
            runs = list(zip(*(words[start:] for start in range(NGRAM_WORDS)), strict=False))
            shares[place] = 1 - len(set(runs)) / len(runs)
    return shares


def _perhaps_again(points: CodePoints) -> NDArray[np.int64]:
    """Upper bound, usually exact, of the repeated n-grams per text.

    Every n-gram writes its position into a hash slot. One that does not find its own position was
    overwritten by an equal n-gram or by a collision.
    """
    numbers = _numbers_of_runs(points)
    # Mixes in the text index, so that equal n-grams of different texts differ.
    numbers += points.rows.astype(np.uint32) * np.uint32(_FACTOR)
    numbers *= np.uint32(_FACTOR)
    bits = max(_SLOTS_BITS, len(numbers).bit_length() + 2)
    numbers >>= np.uint32(max(_BITS - bits, 0))
    places = np.arange(len(numbers), dtype=np.int32)
    last = np.empty(1 << bits, np.int32)
    last[numbers] = places
    again = np.flatnonzero(last[numbers] != places)
    again = again[again + NGRAM_CHARACTERS <= points.ends[points.rows[again]]]
    return points.per_text_at(again)


def _numbers_of_runs(points: CodePoints) -> NDArray[np.uint32]:
    """Hash of the 10-gram at each position, computed by doubling."""
    twos = _joined(points.codes, points.codes, 1)
    fours = _joined(twos, twos, 2)
    eights = _joined(fours, fours, 4)
    return _joined(eights, twos, 8)


def _joined(left: NDArray[np.uint32], right: NDArray[np.uint32], step: int) -> NDArray[np.uint32]:
    """Combined hashes of n-grams `left` and of n-grams `right` that begin `step` later."""
    numbers = left * np.uint32(pow(_FACTOR, step, 1 << _BITS))
    numbers[:-step] += right[step:]
    return numbers


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
class FilterBatch:
    """A batch of texts; `limits` allow expensive statistics to stop early."""

    texts: Sequence[str]
    points: CodePoints
    limits: Mapping[str, float]


def _share(part: NDArray[np.int64], whole: NDArray[np.int64], least: int = 1) -> Values:
    """Ratio, NaN where the whole is below `least`."""
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole >= max(least, 1))
    return shares


def _share_of(*classes: CharacterClass) -> Callable[[FilterBatch], Values]:
    def value(batch: FilterBatch) -> Values:
        points = batch.points
        blanks = points.count((C.SPACE, C.LINE_BREAK)) - 1
        return _share(points.count(classes), points.lengths - blanks)

    return value


def _characters(batch: FilterBatch) -> Values:
    return batch.points.lengths.astype(np.float64)


def _words(batch: FilterBatch) -> Values:
    points = batch.points
    words = points.per_text(points.word_starts()) + points.count((*HAN, C.KANA))
    return words.astype(np.float64)


def _url_share(batch: FilterBatch) -> Values:
    texts = batch.texts
    shares = np.zeros(len(texts))
    joined = "\n".join(texts)
    if "://" in joined or "www." in joined:
        for place, text in enumerate(texts):
            if "://" in text or "www." in text:
                shares[place] = sum(map(len, _URL.findall(text))) / len(text)
    return shares


def _line_share(count: Callable[[list[str]], int]) -> Callable[[FilterBatch], Values]:
    def value(batch: FilterBatch) -> Values:
        shares = np.full(len(batch.texts), np.nan)
        for place in np.flatnonzero(batch.points.lines() >= MIN_LINES).tolist():
            lines = [line for line in map(str.strip, batch.texts[place].split("\n")) if line]
            if len(lines) >= MIN_LINES:
                shares[place] = count(lines) / len(lines)
        return shares

    return value


def _uppercase_share(batch: FilterBatch) -> Values:
    points = batch.points
    upper = points.count(UPPER)
    cased = upper + points.count((C.LATIN, C.CYRILLIC, C.CYRILLIC_NOT_RUSSIAN))
    shares = _share(upper, cased, MIN_CASED_LETTERS)
    # In Chinese text Latin words are mostly upper-case product names.
    shares[2 * cased < points.count(LETTERS)] = np.nan
    return shares


def _mean_word_length(batch: FilterBatch) -> Values:
    points = batch.points
    words = points.per_text(points.word_starts())
    characters = points.count((*SPACED_LETTERS, C.DIGIT, C.MARK))
    shares = _share(characters, words, MIN_SPACED_WORDS)
    shares[2 * points.count(SPACED_LETTERS) < points.count(LETTERS)] = np.nan
    return shares


def _stop_word_share(batch: FilterBatch) -> Values:
    points = batch.points
    han, latin = points.count(HAN), points.count(LATIN)
    shares = _share(points.count((C.HAN_FUNCTION,)), han, MIN_HAN_OF_STOP_WORDS)
    shares[2 * han < points.count(LETTERS)] = np.nan
    # A word with its space has at least two characters.
    long_enough = points.lengths >= 2 * MIN_WORDS_OF_STOP_WORDS
    for place in np.flatnonzero((2 * latin > points.count(LETTERS)) & long_enough).tolist():
        words = batch.texts[place].lower().split()
        if len(words) >= MIN_WORDS_OF_STOP_WORDS:
            shares[place] = sum(map(all_function_words().__contains__, words)) / len(words)
    return shares


VALUES: Mapping[str, Callable[[FilterBatch], Values]] = {
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
"""Function by statistic name."""


class FilterRule:
    """Finds rows that violate a threshold or are in another language."""

    name = "filter"

    def __init__(self, plan: FilterPlan) -> None:
        self._plan = plan

    def __call__(self, texts: Sequence[str]) -> list[str | None]:
        """First violated threshold of each row, "languages", or None."""
        if self._plan.is_off:
            return [None] * len(texts)
        broken: list[str | None] = [None] * len(texts)
        batch = FilterBatch(texts, CodePoints(texts), self._plan.limits)
        values: dict[str, Values] = {}
        for name, limit in self._plan.limits.items():
            threshold = BY_NAME[name]
            if threshold.value not in values:
                values[threshold.value] = VALUES[threshold.value](batch)
            found = values[threshold.value]
            outside = found < limit if threshold.is_minimum else found > limit
            for place in np.flatnonzero(outside).tolist():
                broken[place] = broken[place] or name
        if self._plan.languages:
            for place in self._in_other_languages(batch):
                broken[place] = broken[place] or "languages"
        return broken

    def _in_other_languages(self, batch: FilterBatch) -> list[int]:
        wanted = self._plan.languages
        variants = {name: is_variant(batch.points, name) for name in VARIANTS if name in wanted}
        return [
            place
            for place, language in enumerate(languages_of(batch.texts, batch.points))
            if language not in wanted
            and not (language == "zh" and any(marks[place] for marks in variants.values()))
        ]
