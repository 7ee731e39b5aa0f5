"""Splits batches of texts into units (words and CJK characters), vectorised over code points.

A unit is a run of letters and digits, or one Han, kana or hangul character; frequencies are counted
of units.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from modelmill_data_prep.domain.mixing import mixed

OTHER, WORD, HAN, ENDING = 0, 1, 2, 3
"""Character classes: outside of units, part of a word, a unit by itself, sentence end."""
_ENDINGS = ".!?。！？…；;\n"
_TABLE_SIZE = 0x323B0
"""End of Han; characters beyond are private use or tags, and count as `OTHER`."""
_NO_LETTERS = ((0xFE00, 0xFE0F), (0x20D0, 0x20FF))
"""Variation selectors and combining marks of symbols, which are not part of words."""
_HASHED_CHARACTERS = 64
"""Characters of a word that are hashed."""
_MULTIPLIER = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio: odd, with well-distributed powers."""

Int64s = np.ndarray[Any, np.dtype[np.int64]]
UInt64s = np.ndarray[Any, np.dtype[np.uint64]]
UInt32s = np.ndarray[Any, np.dtype[np.uint32]]
UInt8s = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class TextUnits:
    """Concatenated characters of a batch, and the units in them."""

    characters: UInt32s
    """Lower-case code points, with a line feed after each text."""
    classes: UInt8s
    """Class of each character."""
    text_starts: Int64s
    """Start of each text in `characters`, and the end of the last."""
    unit_starts: Int64s
    """Start of each unit in `characters`."""
    unit_hashes: UInt64s
    """Hash of each unit, the same on every machine."""
    units_of_text: Int64s
    """Number of units per text."""

    def sums(self, of_units: "np.ndarray[Any, np.dtype[Any]]") -> Int64s:
        """Sum of a per-unit integer, per text."""
        running = np.concatenate([[0], np.cumsum(of_units, dtype=np.int64)])
        ends = np.cumsum(self.units_of_text)
        summed: Int64s = running[ends] - running[ends - self.units_of_text]
        return summed

    def count(self, of_characters: "np.ndarray[Any, np.dtype[np.bool_]]") -> Int64s:
        """Masked characters per text."""
        running = np.concatenate([[0], np.cumsum(of_characters, dtype=np.int64)])
        counted: Int64s = running[self.text_starts[1:]] - running[self.text_starts[:-1]]
        return counted


def units_of(texts: Sequence[str]) -> TextUnits:
    """Split a batch of texts into units."""
    lowered = [text.lower() for text in texts]
    joined = "".join(f"{text}\n" for text in lowered)
    characters = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    sizes = np.fromiter((len(text) + 1 for text in lowered), np.int64, len(lowered))
    text_starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    table = character_classes()
    classes = table[np.minimum(characters, _TABLE_SIZE)]
    in_word = classes == WORD
    before = np.concatenate([[False], in_word[:-1]]) if len(in_word) else in_word
    unit_starts = np.flatnonzero((in_word & ~before) | (classes == HAN))
    of_text = np.searchsorted(unit_starts, text_starts)
    return TextUnits(
        characters,
        classes,
        text_starts,
        unit_starts,
        _hashes(characters, in_word, unit_starts),
        np.diff(of_text),
    )


def _hashes(
    characters: UInt32s, in_word: "np.ndarray[Any, np.dtype[np.bool_]]", unit_starts: Int64s
) -> UInt64s:
    """Polynomial hash of each unit, with a final mix."""
    if not len(unit_starts):
        return np.zeros(0, np.uint64)
    places = np.arange(len(characters))
    # Start of the unit to which each character would belong.
    unit = np.cumsum(np.bincount(unit_starts, minlength=len(characters))) - 1
    depth = places - unit_starts[np.maximum(unit, 0)]
    counts = in_word | (depth == 0)
    counts &= (unit >= 0) & (depth < _HASHED_CHARACTERS)
    powers = _powers()
    terms = (characters.astype(np.uint64) + np.uint64(1)) * powers[
        np.where(counts, depth, _HASHED_CHARACTERS)
    ]
    return mixed(np.add.reduceat(terms, unit_starts))


@cache
def _powers() -> UInt64s:
    """Powers of the multiplier, followed by a 0 for ignored characters."""
    found = [pow(_MULTIPLIER, power, 1 << 64) for power in range(_HASHED_CHARACTERS)]
    return np.array([*found, 0], np.uint64)


@cache
def character_classes() -> UInt8s:
    """Class of each code point; the last entry stands for all beyond the table."""
    classes = np.zeros(_TABLE_SIZE + 1, np.uint8)
    for code in range(_TABLE_SIZE):
        if unicodedata.category(chr(code))[0] in "LNM":
            classes[code] = WORD
    for first, last in _NO_LETTERS:
        classes[first : last + 1] = OTHER
    for first, last in (
        *((0x2E80, 0x2FD5), (0x3005, 0x3007), (0x3041, 0x318E), (0x31A0, 0x31BF)),
        *((0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3)),
        *((0xF900, 0xFAFF), (0x20000, _TABLE_SIZE - 1)),
    ):
        classes[first : last + 1][classes[first : last + 1] == WORD] = HAN
    for character in _ENDINGS:
        classes[ord(character)] = ENDING
    return classes
