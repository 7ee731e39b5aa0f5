"""Character sets as sorted ranges of code points, and their UTF-8 length."""

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]
"""Pairs of first and last code point; sorted, disjoint, not adjacent. Never empty in a tree."""

LAST = 0x10FFFF
_WIDTH_ENDS = (0x7F, 0x7FF, 0xFFFF, LAST)
"""Largest code points of one, two, three and four bytes in UTF-8."""
_NEVER: Ranges = ((0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0xD800, 0xDFFF))
"""Control characters, and surrogates, which UTF-8 cannot encode."""
_ASCII: Ranges = ((0, 0x7F),)


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Normalised union of ranges."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return tuple(result)


def of(text: str) -> Ranges:
    """The set of a text's characters."""
    return merged((ord(character), ord(character)) for character in text)


def without(ranges: Ranges, taken: Ranges) -> Ranges:
    """Difference."""
    result: list[tuple[int, int]] = []
    for first, last in ranges:
        start = first
        for taken_first, taken_last in taken:
            if taken_last < start or taken_first > last:
                continue
            if taken_first > start:
                result.append((start, taken_first - 1))
            start = taken_last + 1
        if start <= last:
            result.append((start, last))
    return tuple(result)


def both(ranges: Ranges, others: Ranges) -> Ranges:
    """Intersection."""
    return without(ranges, without(((0, LAST),), others))


ANY: Ranges = without(((0, LAST),), _NEVER)
"""All characters that an answer may contain."""


BEYOND_ASCII: Ranges = without(ANY, _ASCII)


def missing_ascii(ranges: Ranges) -> Ranges:
    """ASCII characters that are not in the set."""
    return without(_ASCII, ranges)


def contain(ranges: Ranges, character: str) -> bool:
    """Whether the set contains a character."""
    point = ord(character)
    return any(first <= point <= last for first, last in ranges)


def width(point: int) -> int:
    """UTF-8 length of a code point."""
    return next(number for number, end in enumerate(_WIDTH_ENDS, 1) if point <= end)


def narrowed(ranges: Ranges, bytes_at_most: int) -> Ranges:
    """Characters with at most `bytes_at_most` bytes."""
    return both(ranges, ((0, _WIDTH_ENDS[min(bytes_at_most, 4) - 1]),))


def count(ranges: Ranges) -> int:
    """Size of the set."""
    return sum(last - first + 1 for first, last in ranges)
