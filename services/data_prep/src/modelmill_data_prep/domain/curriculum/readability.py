"""How hard texts are to read, by the formulas of their language, without a word list.

English and other scripts of letters: the grade level of Kincaid, Fishburne, Rogers and Chissom
("Derivation of New Readability Formulas", 1975), 0.39 words a sentence + 11.8 syllables a word -
15.59; syllables are counted as runs of vowels, without an e at the end of a longer word.

Chinese: the two things that readability formulas for it agree on (from Yang 1971 to Sung et al.,
"CRIE", 2016), the length of sentences and the share of characters that are not common. Common are
the 3,755 characters of GB 2312, level 1, or the 5,401 of Big5, level 1, which were chosen by use;
of the two lists that which knows more of the text, so that neither script is the harder one.
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
    """Of each text."""

    chinese: Bools
    """Read by the Chinese formula."""
    sentence_units: Floats
    """Words or characters of a mean sentence."""
    hardness: Floats
    """Syllables of a mean word; of Chinese the share of characters that are not common."""

    @property
    def grade(self) -> Floats:
        """School years that the text wants; means nothing for Chinese."""
        return 0.39 * self.sentence_units + 11.8 * self.hardness - 15.59


def readability_of(units: TextUnits) -> Readability:
    """Measure texts. One without any unit has zeros."""
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
    """Ends of sentences that have a unit before them since the last one; every text has an end."""
    classes = units.classes
    in_unit = (classes == WORD) | (classes == HAN)
    before_unit = np.concatenate([in_unit[1:], [False]])
    # The dot of 3.14 and of modelmill.org ends nothing.
    ends = (classes == ENDING) & ~((units.characters == ord(".")) & before_unit)
    places = np.flatnonzero(ends | in_unit)
    is_end = ends[places]
    first = is_end & ~np.concatenate([[True], is_end[:-1]])
    marked = np.zeros(len(classes), np.bool_)
    marked[places[first]] = True
    return units.count(marked)


def _syllables(units: TextUnits) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Runs of vowels, at least one for each word."""
    vowel = _vowels()[_in_table(units)] & (units.classes == WORD)
    before = np.concatenate([[False], vowel[:-1]])
    starts = vowel & ~before
    running = np.concatenate([[0], np.cumsum(starts, dtype=np.int64)])
    # A unit's characters end where the next begins at the latest; what is between has no vowels.
    ends = np.concatenate([units.unit_starts[1:], [len(vowel)]]).astype(np.int64)
    of_unit = running[ends] - running[units.unit_starts]
    is_word = units.classes[units.unit_starts] == WORD
    silent = _ends_in_silent_e(units, starts)
    of_unit = of_unit - np.where(of_unit > 1, silent, 0)
    return units.sums(np.where(is_word, np.maximum(of_unit, 1), 0))


def _ends_in_silent_e(units: TextUnits, starts: Bools) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Of each unit whether it ends in an e that is a run of vowels by itself."""
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
    """The first levels of both sets; kana and hangul are common in either."""
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
