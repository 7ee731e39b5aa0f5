"""Spellings of a keyword that a rule asks for by name: leetspeak, pinyin, split characters, sounds.

Pinyin and split characters become more keywords when a policy is compiled, so that a bundle says
all that it finds and judging needs no dictionary. Leetspeak has too many spellings for that. It is
a reading of the text: letters and signs are read as one, and a place that reads as the keyword must
be spelled by the substitutions and not by another letter. `homophones` is a reading as well.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from itertools import chain, combinations, islice, product
from operator import methodcaller

from guard.bopomofo import bopomofo
from guard.loose import is_loose
from guard.normalise import normalise
from guard.reading import Reading
from guard.shown_as import parts, readings

LEET, PINYIN, SPLIT, HOMOPHONES = "leet", "pinyin", "split", "homophones"
VARIANTS = (LEET, PINYIN, SPLIT, HOMOPHONES)
READ = (LEET, HOMOPHONES)
"""Those that are readings of the text."""
MOST_SPELLINGS = 80
"""Of one keyword, by pinyin and by split characters each."""
_MOST_TRIED = 2 * MOST_SPELLINGS
"""Some come twice."""
_MOST_MIXED = 10
"""Characters of a keyword that is also found partly in pinyin."""
_NEUTRAL = "5"
"""A tone that is not written."""
_MOST_READINGS = 6
"""Ways to read a keyword that are listed before it is written partly in pinyin."""

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


def spellings(keyword: str, variants: tuple[str, ...]) -> Iterator[str]:
    """Further keywords, normalised, for a normalised one; none for `leet`."""
    if PINYIN in variants:
        yield from islice(_distinct(_pinyin(keyword)), MOST_SPELLINGS)
    if SPLIT in variants:
        yield from islice(_distinct(_split(keyword)), MOST_SPELLINGS)


def _distinct(listed: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for one in islice(listed, _MOST_TRIED):
        if one not in seen:
            seen.add(one)
            yield one


@cache
def spoken() -> dict[int, list[tuple[str, str]]]:
    """`readings`, by the characters that the shadow copy has for them: 値 for 值."""
    table = readings()
    shown = [(normalise(chr(code)), code, known) for code, known in table.items()]
    others = {ord(shadow): known for shadow, _, known in shown if len(shadow) == 1}
    return others | {code: known for shadow, code, known in shown if shadow == chr(code)}


def _pinyin(keyword: str) -> Iterator[str]:
    """For Chinese keywords of two characters or more; what stands for more of it comes first."""
    table = spoken()
    if len(keyword) < 2 or not all(ord(character) in table for character in keyword):
        return
    known = [table[ord(character)] for character in keyword]
    read = product(*map(_as_typed, known))
    for number, readings_of_all in enumerate(islice(read, _MOST_READINGS)):
        syllables = [syllable for syllable, _ in readings_of_all]
        yield from _joined(syllables)
        letters = [bopomofo(syllable) for syllable in syllables]
        if all(letters):
            yield "".join(one or "" for one in letters)
        toned = [syllable + tone.strip(_NEUTRAL) for syllable, tone in readings_of_all]
        yield from _joined(toned) if number == 0 else (" ".join(toned),)
        if number == 0:
            yield from _partly(keyword, syllables)
    for readings_of_all in read:
        yield " ".join(syllable for syllable, _ in readings_of_all)


def _joined(written: list[str]) -> Iterator[str]:
    yield "".join(written)
    yield " ".join(written)


def _partly(keyword: str, syllables: list[str]) -> Iterator[str]:
    """Some characters in pinyin: "zha弹", "huo花shi". Of a long keyword, some side by side."""
    length = len(keyword)
    if length > _MOST_MIXED:
        return
    for chosen in _choices(length):
        if len("".join(syllables[at] for at in chosen)) > 1:  # "a片" is met by chance
            mixed = [syllables[at] if at in chosen else one for at, one in enumerate(keyword)]
            yield " ".join(mixed)
            if not is_loose(" ".join(mixed)):
                yield "".join(mixed)


def _choices(length: int) -> Iterator[Collection[int]]:
    """Which of so many, the likeliest first: all but one or one, some side by side, any."""
    for at in range(length):
        yield [other for other in range(length) if other != at]
        yield [at]
    for count in range(length - 1, 1, -1):
        yield from (range(at, at + count) for at in range(length - count + 1))
    for count in range(2, length):
        yield from combinations(range(length), count)


def _as_typed(readings_of_one: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """`v` for ü is also typed `u`."""
    typed = [[(one, tone), (one.replace("v", "u"), tone)] for one, tone in readings_of_one]
    return list(dict.fromkeys(chain.from_iterable(typed)))


def _split(keyword: str) -> Iterator[str]:
    """All characters that can be, then each alone, then some of them."""
    ways = [_ways(character, alone=len(keyword) == 1) for character in keyword]
    split = [at for at, listed in enumerate(ways) if listed]
    for way in range(max(map(len, ways))):
        for chosen in [split, *([at] for at in split if len(split) > 1)]:
            yield _with_parts(keyword, {at: ways[at][min(way, len(ways[at]) - 1)] for at in chosen})
    for choice in product(*([None, *ways[at]] for at in split)):
        if any(choice):
            yield _with_parts(keyword, dict(zip(split, choice, strict=True)))


def _ways(character: str, *, alone: bool) -> list[str]:
    """One above the other is seen through beside other characters only: 日生 is met by chance."""
    listed = parts().get(ord(character), [])
    return [normalise(one.replace("/", "")) for one in listed if not alone or "/" not in one]


def _with_parts(keyword: str, shown: dict[int, str | None]) -> str:
    return "".join(shown.get(at) or character for at, character in enumerate(keyword))
