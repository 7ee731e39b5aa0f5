"""Readability scores without word lists.

Alphabetic scripts: the Flesch-Kincaid grade level of Kincaid, Fishburne, Rogers and Chissom
("Derivation of New Readability Formulas", 1975), 0.39 words a sentence + 11.8 syllables a word -
15.59; syllables are counted as runs of vowels, without an e at the end of a longer word.


Chinese: the two features that its formulas share (from Yang 1971 to Sung et al., "CRIE", 2016),
sentence length and the share of uncommon characters. Common are the 3,755 characters of GB 2312
level 1 or the 5,401 of Big5 level 1, whichever covers more of the text, so that neither script
counts as harder.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from modelmill_data_prep.domain.curriculum.text_units import ENDING, HAN, WORD, TextUnits

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

HAN_SHARE_OF_CHINESE = 0.2
"""As in `languages.language_of`."""
_VOWELS = "aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýÿœ"
_BMP = 0x10000


@dataclass(frozen=True)
class Readability:
    """Readability features, per text."""

    chinese: Bools
    """Whether the Chinese formula applies."""
    sentence_units: Floats
    """Mean sentence length in words or characters."""
    hardness: Floats
    """Mean syllables per word; for Chinese the share of uncommon characters."""

    @property
    def grade(self) -> Floats:
        """Flesch-Kincaid grade level; meaningless for Chinese."""
        return 0.39 * self.sentence_units + 11.8 * self.hardness - 15.59


def readability_of(units: TextUnits) -> Readability:
    """Measure texts; all features are 0 for a text without units."""
    han = units.count(units.classes == HAN)
    letters = units.count(units.classes == WORD)
    words = units.units_of_text - han
    chinese = (han > 0) & (han >= HAN_SHARE_OF_CHINESE * (han + letters))
    sentence_units = units.units_of_text / np.maximum(_sentences(units), 1)
    is_han, places = units.classes == HAN, _in_table(units)
    rare = np.minimum(*(units.count(is_han & ~common[places]) for common in _common()))
    hardness = np.where(
        chinese, rare / np.maximum(han, 1), _syllables(units) / np.maximum(words, 1)
    )
    return Readability(chinese, sentence_units, hardness)


def _in_table(units: TextUnits) -> "np.ndarray[Any, np.dtype[np.uint32]]":
    return np.minimum(units.characters, _BMP)


def _sentences(units: TextUnits) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Sentence ends with at least one unit since the previous end."""
    classes = units.classes
    in_unit = (classes == WORD) | (classes == HAN)
    before_unit = np.concatenate([in_unit[1:], [False]])
    # Not the dot in 3.14 or modelmill.org.
    ends = (classes == ENDING) & ~((units.characters == ord(".")) & before_unit)
    places = np.flatnonzero(ends | in_unit)
    is_end = ends[places]
    first = is_end & ~np.concatenate([[True], is_end[:-1]])
    marked = np.zeros(len(classes), np.bool_)
    marked[places[first]] = True
    return units.count(marked)


def _syllables(units: TextUnits) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Syllables: runs of vowels, at least one per word."""
    vowel = _vowels()[_in_table(units)] & (units.classes == WORD)
    before = np.concatenate([[False], vowel[:-1]])
    starts = vowel & ~before
    running = np.concatenate([[0], np.cumsum(starts, dtype=np.int64)])
    # A unit ends before the next one begins; characters between units are not vowels.
    ends = np.concatenate([units.unit_starts[1:], [len(vowel)]]).astype(np.int64)
    of_unit = running[ends] - running[units.unit_starts]
    is_word = units.classes[units.unit_starts] == WORD
    silent = _ends_in_silent_e(units, starts)
    of_unit = of_unit - np.where(of_unit > 1, silent, 0)
    return units.sums(np.where(is_word, np.maximum(of_unit, 1), 0))


def _ends_in_silent_e(units: TextUnits, starts: Bools) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Per unit, whether it ends in a single silent e."""
    in_word = units.classes == WORD
    last = in_word & ~np.concatenate([in_word[1:], [False]])
    silent = last & starts & (units.characters == ord("e"))
    running = np.concatenate([[0], np.cumsum(silent, dtype=np.int64)])
    ends = np.concatenate([units.unit_starts[1:], [len(silent)]]).astype(np.int64)
    found: np.ndarray[Any, np.dtype[np.int64]] = running[ends] - running[units.unit_starts]
    return found


@cache
def _vowels() -> Bools:
    table = np.zeros(_BMP + 1, np.bool_)
    table[[ord(vowel) for vowel in _VOWELS]] = True
    return table


@cache
def _common() -> list[Bools]:
    """Tables of common characters for both standards, including kana and hangul."""
    tables = []
    for codec, leads, trails in (
        ("gb2312", range(0xB0, 0xD8), range(0xA1, 0xFF)),
        ("big5", range(0xA4, 0xC7), (*range(0x40, 0x7F), *range(0xA1, 0xFF))),
    ):
        pairs = [bytes([lead, trail]) for lead in leads for trail in trails]
        characters = [pair.decode(codec, "ignore") for pair in pairs]
        table = np.zeros(_BMP + 1, np.bool_)
        table[[ord(character) for character in characters if len(character) == 1]] = True
        table[0x3005:0x3200] = True
        table[0xAC00:0xD7A4] = True
        tables.append(table)
    return tables
