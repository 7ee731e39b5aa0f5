"""Patterns by which a text is searched for where a phrase may begin, also at its end."""

import re
from collections import defaultdict
from collections.abc import Iterable
from string import ascii_lowercase

from modelmill_guard.reading import Reading

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
