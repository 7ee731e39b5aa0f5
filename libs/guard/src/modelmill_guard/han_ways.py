"""Ways to write one Chinese character: as it is, by its sound, in parts.

What stands for a character is a short text of letters of the shadow copy. A keyword is written in
any mixture of the ways of its characters (`mixed`).
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

from modelmill_guard.normalise import normalise
from modelmill_guard.shown_as import parts, readings

_INITIALS = {
    **dict(zip("bpmfdtnlgkhjqxrzcs", "ㄅㄆㄇㄈㄉㄊㄋㄌㄍㄎㄏㄐㄑㄒㄖㄗㄘㄙ", strict=True)),
    **dict(zip(("zh", "ch", "sh"), "ㄓㄔㄕ", strict=True)),
}
_ALONE = frozenset(("zhi", "chi", "shi", "ri", "zi", "ci", "si"))
_FINALS = {
    **dict(zip(("a", "o", "e", "ai", "ei", "ao", "ou"), "ㄚㄛㄜㄞㄟㄠㄡ", strict=True)),
    **dict(zip(("an", "en", "ang", "eng", "er"), "ㄢㄣㄤㄥㄦ", strict=True)),
    **{"i": "ㄧ", "ia": "ㄧㄚ", "ie": "ㄧㄝ", "iao": "ㄧㄠ", "iu": "ㄧㄡ", "ian": "ㄧㄢ"},
    **{"in": "ㄧㄣ", "iang": "ㄧㄤ", "ing": "ㄧㄥ", "iong": "ㄩㄥ", "u": "ㄨ", "ua": "ㄨㄚ"},
    **{"uo": "ㄨㄛ", "uai": "ㄨㄞ", "ui": "ㄨㄟ", "uan": "ㄨㄢ", "un": "ㄨㄣ", "uang": "ㄨㄤ"},
    **{"ong": "ㄨㄥ", "v": "ㄩ", "ve": "ㄩㄝ", "van": "ㄩㄢ", "vn": "ㄩㄣ"},
}
_WHOLE = {
    **{"yi": "i", "yin": "in", "ying": "ing", "you": "iu", "yong": "iong", "yu": "v"},
    **{"yue": "ve", "yuan": "van", "yun": "vn", "wu": "u", "wei": "ui", "wen": "un", "weng": "ong"},
}
"""What is written with y or w for the lack of an initial."""


def bopomofo(syllable: str) -> str | None:
    """The syllable's letters; None where it has none."""
    if syllable in _ALONE:
        return _INITIALS[syllable[:-1]]
    final = _WHOLE.get(syllable)
    if final is None and syllable[:1] in ("y", "w"):
        final = ("i" if syllable[0] == "y" else "u") + syllable[1:]
    if final is not None:
        return _FINALS.get(final)
    initial = syllable[:2] if syllable[:2] in _INITIALS else syllable[:1]
    if initial not in _INITIALS:
        return _FINALS.get(syllable)
    final = syllable[len(initial) :]
    if initial in ("j", "q", "x") and final.startswith("u"):
        final = "v" + final[1:]
    letters = _FINALS.get(final.replace("ue", "ve") if initial in ("n", "l") else final)
    return None if letters is None else _INITIALS[initial] + letters


PINYIN, SPLIT, HOMOPHONES = "pinyin", "split", "homophones"
_APART, _BESIDE, _WORDS = "apart", "beside", "words"
"""Kinds of parts: not side by side (日生 for 星), side by side, and words (女子 for 好)."""
LEAST_OF_PINYIN, LEAST_OF_SOUNDS = 2, 4
"""Characters of a keyword: what sounds like a shorter one, or is words, is met by chance."""
TONES = "12345"


class Ways(NamedTuple):
    """How a character may be written."""

    spelled: frozenset[str]
    """By these texts."""
    sounds: frozenset[str]
    """By characters that `sound_of` reads as one of these."""


def kinds_of_ways(keyword: str, variants: Iterable[str]) -> frozenset[str]:
    """Which of the variants a keyword is long enough for."""
    spoken_of = sum(ord(character) in spoken() for character in keyword)
    kinds: set[str] = set()
    if SPLIT in variants:
        listed = ((_BESIDE, 1), (_APART, 2), (_WORDS, LEAST_OF_SOUNDS))
        kinds.update(kind for kind, least in listed if len(keyword) >= least)
    if PINYIN in variants and spoken_of >= LEAST_OF_PINYIN:
        kinds.add(PINYIN)
    if HOMOPHONES in variants and spoken_of >= LEAST_OF_SOUNDS:
        kinds.add(HOMOPHONES)
    return frozenset(kinds)


@cache
def ways_to_write(character: str, kinds: frozenset[str]) -> Ways:
    """All of them, of these kinds."""
    spelled, known = {character}, spoken().get(ord(character), [])
    if PINYIN in kinds:
        for syllable, _ in as_typed(known):
            spelled.update(syllable + tone for tone in ("", *TONES))
            spelled.add(bopomofo(syllable) or character)
    spelled.update(
        normalise(way.strip("=").replace("/", ""))
        for way in parts().get(ord(character), ())
        if _kind_of(way) in kinds
    )
    heard = [syllable for syllable, _ in known] if HOMOPHONES in kinds else []
    characters = _characters_of_sounds()
    return Ways(
        frozenset(spelled), frozenset(characters[one][0] for one in heard if one in characters)
    )


def sound_of(character: str) -> str | None:
    """The character that stands for the commonest syllable of this one, without the tone."""
    return _sounds().get(character)


def as_sounds(sounds: Iterable[str]) -> Iterator[str]:
    """All characters that `sound_of` reads as one of these."""
    for stands_for in sounds:
        yield from _characters_of_sounds()[spoken()[ord(stands_for)][0][0]]


@cache
def spoken() -> dict[int, list[tuple[str, str]]]:
    """`readings`, by the characters that the shadow copy has for them: 値 for 值."""
    table = readings()
    shown = [(normalise(chr(code)), code, known) for code, known in table.items()]
    others = {ord(shadow): known for shadow, _, known in shown if len(shadow) == 1}
    return others | {code: known for shadow, code, known in shown if shadow == chr(code)}


def as_typed(known: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Readings with `v` for ü also typed as `u`."""
    typed = [each for one, tone in known for each in ((one, tone), (one.replace("v", "u"), tone))]
    return list(dict.fromkeys(typed))


@cache
def _characters_of_sounds() -> dict[str, str]:
    """By their commonest syllable; the first stands for it."""
    table: dict[str, str] = {}
    for code, known in spoken().items():
        table[known[0][0]] = table.get(known[0][0], "") + chr(code)
    return table


@cache
def _sounds() -> dict[str, str]:
    alike = _characters_of_sounds().values()
    return {character: characters[0] for characters in alike for character in characters}


def _kind_of(way: str) -> str:
    if way.startswith("="):
        return _WORDS
    return _APART if "/" in way else _BESIDE
