"""Ways to read a text so that several ways to write a keyword look alike, character for character.

Where the text as read has a keyword as read, the text as written decides.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from operator import methodcaller
from string import ascii_lowercase
from typing import NamedTuple


class Reading(NamedTuple):
    """How text and keywords are read."""

    read: Callable[[str], str]
    """Gives a text of the same length."""
    spells: Callable[[str, str], bool]
    """Whether the second, which reads as the keyword, is a way to write it."""
    alike: str = ""
    """Characters that are read alike, though text other than keywords has them as they are."""
    exact: str = ""
    """Those that keywords have as they are."""


AS_WRITTEN = Reading(str, str.__eq__)


def _is_hyphened(keyword: str, written: str) -> bool:
    return all(
        shown == letter or letter == " " for letter, shown in zip(keyword, written, strict=True)
    )


HYPHENED = Reading(methodcaller("replace", "-", " "), _is_hyphened, alike="- ", exact="-")
"""A hyphen stands for a space of a keyword, but no space for a hyphen."""


MOST_BETWEEN_WORDS = 5
"""Separators; white space in a row is one."""


GOES_ON = "(?:\\Z|"
"""Opens what may follow the first letter of a way to begin; a parenthesis at its end closes it."""


def any_of(ways: Iterable[str]) -> re.Pattern[str]:
    """Finds what any of them does; those that only go on otherwise are tried as one."""
    by_start: dict[str, list[str]] = defaultdict(list)
    for way in ways:
        start, goes_on, rest = way.partition(GOES_ON)
        by_start[start + goes_on].append(rest.removesuffix(")") if goes_on else "")
    merged = (
        start + "|".join(rest) + ")" * start.endswith(GOES_ON) for start, rest in by_start.items()
    )
    return re.compile("|".join(merged) or "(?!)")


def beginnings(heads: set[str], reading: Reading | None = None) -> list[str]:
    """Letters, and up to so many separators between two; by a reading, at the start of a word."""
    by_first: dict[str, set[str]] = defaultdict(set)
    for head in heads:
        by_first[head[0]].add(head[1:])
    apart = rf"[\W_]{{0,{MOST_BETWEEN_WORDS}}}"
    return [
        f"{first}{not_after(first, reading)}{apart}{GOES_ON}{_further(rest, apart)})"
        for first, rest in sorted(by_first.items())
    ]


def not_after(first: str, reading: Reading | None) -> str:
    """That the letter touches none of its kind; one that a sign may be read as is none for sure."""
    if reading is None or not first.isascii():
        return ""
    if first.isdigit():
        return "(?<![0-9].)"
    signs = reading.read("".join(sign for sign in map(chr, range(256)) if not sign.isalpha()))
    return f"(?<![{''.join(sorted(set(ascii_lowercase) - set(signs)))}].)"


def _further(heads: set[str], apart: str) -> str:
    by_first: dict[str, set[str]] = defaultdict(set)
    for head in heads:
        by_first[head[0]].add(head[1:])
    last = {first for first, rest in by_first.items() if not any(rest)}
    ways = [
        f"{re.escape(first)}{apart}(?:\\Z|{_further(rest, apart)})"
        for first, rest in sorted(by_first.items())
        if first not in last
    ]
    return "|".join([*ways, *([f"[{re.escape(''.join(sorted(last)))}]"] if last else [])])
