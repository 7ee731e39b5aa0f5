"""Units of texts (words and CJK characters), vectorised over code points, and their frequencies.

A unit is a run of letters and digits, or one Han, kana or hangul character. Frequencies are kept in
a count-min sketch (Cormode and Muthukrishnan 2005), whose memory is constant. The minimum over a
unit's cells overestimates its count by more than e/width of all units with probability e^-depth.
Sketches of blocks can be added in any order.
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


WIDTH = 1 << 17
DEPTH = 3
STEPS_OF_A_BIT = 1 << 10
"""Information is measured in integer steps of 1/1024 bit, whose sums are the same on every machine,
unlike sums of floating-point logarithms."""
_LOG_TABLE = 1 << 12


class FrequencySketch:
    """Counts units of texts in three megabytes.

    Args:
        counts: Cells of another sketch; None for an empty one.
    """

    def __init__(self, counts: Int64s | None = None) -> None:
        self.counts: Int64s = np.zeros((DEPTH, WIDTH), np.int64) if counts is None else counts

    @property
    def total(self) -> int:
        """Number of counted units."""
        return int(self.counts[0].sum())

    def add(self, texts: Sequence[str]) -> None:
        """Count the units of texts."""
        self.add_units(units_of(texts))

    def add_units(self, units: TextUnits) -> None:
        """As the method above, for texts that are already split into units."""
        for row, cells in enumerate(_cells(units.unit_hashes)):
            self.counts[row] += np.bincount(cells, minlength=WIDTH)

    def merge(self, other: "FrequencySketch") -> None:
        """Add the counts of another sketch."""
        self.counts += other.counts

    def rarity(self, texts: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """Mean information of a text's units in bits; 0 for a text without units.

        This is the sentence rarity of Platanios et al. (2019), -sum log p(unit), divided by the
        number
        of units, because length is a factor of its own. An unseen unit counts as seen once.
        """
        return self.rarity_of(units_of(texts))

    def rarity_of(self, units: TextUnits) -> "np.ndarray[Any, np.dtype[np.float64]]":
        """As the method above, for texts that are already split into units."""
        cells = _cells(units.unit_hashes)
        least = np.min([self.counts[row][cells[row]] for row in range(DEPTH)], axis=0)
        total = np.array([max(self.total, 1)])
        bits = _steps(total) - _steps(np.maximum(least, 1))
        steps = np.maximum(units.units_of_text, 1) * STEPS_OF_A_BIT
        rarity: np.ndarray[Any, np.dtype[np.float64]] = units.sums(bits) / steps
        return rarity


def _cells(hashes: UInt64s) -> list[Int64s]:
    """Cell of each unit per row, from different bits of its hash."""
    bits = WIDTH.bit_length() - 1
    return [
        ((hashes >> np.uint64(bits * row)) & np.uint64(WIDTH - 1)).astype(np.int64)
        for row in range(DEPTH)
    ]


def _steps(counts: Int64s) -> Int64s:
    """Binary logarithm in steps of 1/1024, rounded down, from the 12 leading bits."""
    mantissa, exponent = np.frexp(counts.astype(np.float64))
    place = ((mantissa - 0.5) * 2 * _LOG_TABLE).astype(np.int64)
    return (exponent.astype(np.int64) - 1) * STEPS_OF_A_BIT + _log_table()[place]


@cache
def _log_table() -> Int64s:
    """Logarithms of 1 to 2 by repeated squaring, without floating point."""
    digits = STEPS_OF_A_BIT.bit_length() - 1
    table = []
    for place in range(_LOG_TABLE):
        # Fixed point with 60 bits, so that every machine computes the same.
        value, steps = ((_LOG_TABLE + place) << 60) // _LOG_TABLE, 0
        for _ in range(digits):
            value = (value * value) >> 60
            steps <<= 1
            if value >= 2 << 60:
                value >>= 1
                steps |= 1
        table.append(steps)
    return np.array(table, np.int64)
