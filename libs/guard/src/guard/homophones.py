"""Chinese keywords written with other characters of the same sound: 如和字沙 for 如何自杀.

Each character is read as one that stands for its commonest syllable, without the tone. Four
syllables are met by chance too seldom to matter; fewer are not looked for.
"""

from collections.abc import Collection, Iterator
from functools import cache
from itertools import islice, product

from guard.reading import Reading
from guard.shown_as import parts
from guard.variants import spoken

LEAST_SYLLABLES = 4
_MOST_READINGS = 16
"""Of one keyword; a character of it may have two."""


@cache
def _table() -> tuple[dict[int, str], dict[str, str]]:
    """Of each character, and of each syllable, the character that stands for the syllable."""
    by_syllable: dict[str, str] = {}
    by_character: dict[int, str] = {}
    for character, known in spoken().items():
        by_character[character] = by_syllable.setdefault(known[0][0], chr(character))
    return by_character, by_syllable


def _read(text: str) -> str:
    return text if text.isascii() else text.translate(_table()[0])


SOUNDS = Reading(_read, lambda keyword, written: True)


def characters_of(sounds: Collection[str]) -> str:
    """All characters that are read as one of these."""
    shown = sorted(code for code, stands_for in _table()[0].items() if stands_for in sounds)
    return "".join(map(chr, shown))


def sounds_of(keywords: Collection[str]) -> set[str]:
    """How Chinese keywords are read, but for short ones and those that are another's parts."""
    heard, written = set[str](), set(keywords)
    for keyword in written:
        if len(keyword) >= LEAST_SYLLABLES and _is_no_other(keyword, written):
            heard.update(_sounds(keyword))
    return heard


def _is_no_other(keyword: str, written: Collection[str]) -> bool:
    whole = _composed(keyword)
    return whole == keyword or whole not in written


@cache
def _wholes() -> dict[str, str]:
    """Characters by the parts that are written for them."""
    return {way.replace("/", ""): chr(whole) for whole, ways in parts().items() for way in ways}


def _composed(keyword: str) -> str:
    """With characters for their parts."""
    wholes, at, shown = _wholes(), 0, ""
    while at < len(keyword):
        length = next((size for size in (3, 2) if keyword[at : at + size] in wholes), 1)
        shown += wholes.get(keyword[at : at + length], keyword[at])
        at += length
    return shown


def _sounds(keyword: str) -> Iterator[str]:
    known = [spoken().get(ord(character)) for character in keyword]
    if not all(known):
        return
    by_syllable = _table()[1]
    syllables = [[syllable for syllable, _ in one or ()] for one in known]
    for heard in islice(product(*syllables), _MOST_READINGS):
        if all(one in by_syllable for one in heard):
            yield "".join(by_syllable[one] for one in heard)
