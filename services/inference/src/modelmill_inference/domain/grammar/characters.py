"""Sets of characters as sorted ranges of code points, and how many bytes they take."""

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]
"""First and last code point, sorted, neither touching nor overlapping; never empty in a tree."""

LAST = 0x10FFFF
_WIDTH_ENDS = (0x7F, 0x7FF, 0xFFFF, LAST)
"""The last code points that UTF-8 writes in one, two, three and four bytes."""
_NEVER: Ranges = ((0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0xD800, 0xDFFF))
"""Control characters, which no answer needs, and surrogates, which UTF-8 has not."""
_ASCII: Ranges = ((0, 0x7F),)


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """All of them, in order."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return tuple(result)


def of(text: str) -> Ranges:
    """These characters."""
    return merged((ord(character), ord(character)) for character in text)


def without(ranges: Ranges, taken: Ranges) -> Ranges:
    """Those of the first that are not of the second."""
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
    """Those of the first that are also of the second."""
    return without(ranges, without(((0, LAST),), others))


ANY: Ranges = without(((0, LAST),), _NEVER)
"""Every character that an answer may have."""


BEYOND_ASCII: Ranges = without(ANY, _ASCII)


def missing_ascii(ranges: Ranges) -> Ranges:
    """What of ASCII is not among them."""
    return without(_ASCII, ranges)


def contain(ranges: Ranges, character: str) -> bool:
    """Whether it is one of them."""
    point = ord(character)
    return any(first <= point <= last for first, last in ranges)


def width(point: int) -> int:
    """Bytes of UTF-8."""
    return next(number for number, end in enumerate(_WIDTH_ENDS, 1) if point <= end)


def narrowed(ranges: Ranges, bytes_at_most: int) -> Ranges:
    """Those of at most so many bytes; empty when there are none."""
    return both(ranges, ((0, _WIDTH_ENDS[min(bytes_at_most, 4) - 1]),))


def count(ranges: Ranges) -> int:
    """How many there are."""
    return sum(last - first + 1 for first, last in ranges)
