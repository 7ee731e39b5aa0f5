"""Spellings of a keyword that a rule asks for by name: leetspeak, pinyin, split characters, sounds.

Leetspeak is a reading of the text: letters and signs are read as one, and a place that reads as the
keyword must be spelled by the substitutions and not by another letter. Pinyin in Latin letters
alone is more keywords. All other ways to write a Chinese keyword are seen by `mixed`.
"""

import re
from collections.abc import Iterator
from itertools import islice, product
from operator import methodcaller

from modelmill_guard.han_ways import HOMOPHONES, PINYIN, SPLIT, as_typed, spoken
from modelmill_guard.loose import is_loose
from modelmill_guard.reading import Reading

LEET = "leet"
VARIANTS = (LEET, PINYIN, SPLIT, HOMOPHONES)
OF_HAN = frozenset((PINYIN, SPLIT, HOMOPHONES))
"""Those of Chinese keywords."""
_NEUTRAL = "5"
"""A tone that is not written."""
_MOST_READINGS = 16
"""Of one keyword; a character of it may have two."""

_SUBSTITUTIONS = {
    **{"0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b"},
    **{"9": "g", "@": "a", "!": "i", "|": "il", "$": "s", "+": "t"},
    **{"€": "e", "£": "l", "¢": "c", "¥": "y"},
}
LEET_SIGNS = "".join(_SUBSTITUTIONS)
_READ_ALIKE = {"l": "i"}
"""1 stands for both."""
_LETTERS = str.maketrans(
    {sign: _READ_ALIKE.get(for_[0], for_[0]) for sign, for_ in _SUBSTITUTIONS.items()} | _READ_ALIKE
)


_NUMBER = re.compile(r"[+$€£¥]?[0-9]+(e[0-9]+)?|[0-9]+[+!$€£¢]")


def _is_leet(keyword: str, written: str) -> bool:
    """By letters and signs for them; a number or price is one."""
    return _NUMBER.fullmatch(written) is None and all(
        shown == letter or letter in _SUBSTITUTIONS.get(shown, "")
        for letter, shown in zip(keyword, written, strict=True)
    )


def _is_leet_apart(keyword: str, written: str) -> bool:
    """With a letter among them: figures and rules of tables lie apart as well."""
    return any(map(str.isalpha, written)) and _is_leet(keyword, written)


LEETSPEAK = Reading(methodcaller("translate", _LETTERS), _is_leet)
LEETSPEAK_APART = LEETSPEAK._replace(spells=_is_leet_apart)


def has_leet(keyword: str) -> bool:
    """Whether some sign stands for a letter of the keyword."""
    return any(letter in letters for letter in keyword for letters in _SUBSTITUTIONS.values())


def in_pinyin(keyword: str) -> Iterator[str]:
    """A Chinese keyword of two characters or more in Latin letters alone, normalised."""
    table = spoken()
    if len(keyword) < 2 or not all(ord(character) in table for character in keyword):
        return
    read = product(*(as_typed(table[ord(character)]) for character in keyword))
    listed: dict[str, None] = {}
    for readings_of_all in islice(read, _MOST_READINGS):
        for written in (
            [syllable for syllable, _ in readings_of_all],
            [syllable + tone for syllable, tone in readings_of_all],
            [syllable + tone.strip(_NEUTRAL) for syllable, tone in readings_of_all],
        ):
            spaced = " ".join(written)
            listed |= dict.fromkeys((spaced,) if is_loose(spaced) else (spaced, "".join(written)))
    yield from listed
