"""Spellings of a keyword that a rule asks for by name: leetspeak, pinyin, split characters.

Pinyin and split characters become more keywords when a policy is compiled, so that a bundle says
all that it finds and judging needs no dictionary. Leetspeak has too many spellings for that. It is
a reading of the text: `LEET_READING` maps letters and signs to one, and `is_leet` tells whether a
place that reads as the keyword is spelled by the substitutions and not by another letter.
"""

from collections.abc import Iterator
from itertools import islice, product

from guard.normalise import normalise
from guard.shown_as import parts, readings

LEET, PINYIN, SPLIT = "leet", "pinyin", "split"
VARIANTS = (LEET, PINYIN, SPLIT)
MOST_SPELLINGS = 32
"""Of one keyword, by pinyin and by split characters each."""

_SUBSTITUTIONS = {
    "4": "a",
    "@": "a",
    "3": "e",
    "1": "il",
    "!": "i",
    "0": "o",
    "5": "s",
    "$": "s",
    "7": "t",
}
LEET_READING = str.maketrans({sign: for_[0] for sign, for_ in _SUBSTITUTIONS.items()} | {"l": "i"})
"""`l` is read as `i`, since 1 stands for both."""


def is_leet(keyword: str, written: str) -> bool:
    """Whether `written`, which reads as the keyword, has its letters or signs for them."""
    return all(
        shown == letter or letter in _SUBSTITUTIONS.get(shown, "")
        for letter, shown in zip(keyword, written, strict=True)
    )


def has_leet(keyword: str) -> bool:
    """Whether some sign stands for a letter of the keyword."""
    return any(letter in letters for letter in keyword for letters in _SUBSTITUTIONS.values())


def spellings(keyword: str, variants: tuple[str, ...]) -> Iterator[str]:
    """Further keywords, normalised, for a normalised one; none for `leet`."""
    if PINYIN in variants:
        yield from islice(_pinyin(keyword), MOST_SPELLINGS)
    if SPLIT in variants:
        yield from islice(_split(keyword), MOST_SPELLINGS)


def _pinyin(keyword: str) -> Iterator[str]:
    """Joined and spaced; for Chinese keywords of two characters or more."""
    table = readings()
    if len(keyword) > 1 and all(ord(character) in table for character in keyword):
        for syllables in product(*(_as_typed(table[ord(character)]) for character in keyword)):
            yield "".join(syllables)
            yield " ".join(syllables)


def _as_typed(syllables: list[str]) -> list[str]:
    """`v` for ü is also typed `u`."""
    return [typed for one in syllables for typed in dict.fromkeys((one, one.replace("v", "u")))]


def _split(keyword: str) -> Iterator[str]:
    """All characters that can be, then each alone."""
    table = parts()
    where = [at for at, character in enumerate(keyword) if ord(character) in table]
    ways = max((len(table[ord(keyword[at])]) for at in where), default=0)
    for way in range(ways):
        for chosen in [where, *([at] for at in where if len(where) > 1)]:
            shown = list(keyword)
            for at in chosen:
                listed = table[ord(keyword[at])]
                shown[at] = normalise(listed[min(way, len(listed) - 1)])
            yield "".join(shown)
