"""JSON's strings and numbers as trees: compact, without escapes that nobody needs."""

import json
from typing import Any

from modelmill_service_kit.errors import InvalidInputError

from modelmill_inference.domain.grammar.characters import ANY, Ranges, both, contain, of, without
from modelmill_inference.domain.grammar.schema_keywords import Bounds
from modelmill_inference.domain.grammar.tree import (
    Characters,
    Literal,
    Node,
    Repetition,
    Sequence,
    choice,
    optional,
    sequence,
)

LONGEST_INTEGER = 15
"""Digits; every JSON reader takes so many without loss."""
MOST_DECIMALS = 6

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_PLAIN = without(ANY, of("".join(_ESCAPES)))
_ESCAPED = sequence("\\", Characters(of('"\\nrt')))
_DIGIT = Characters(of("0123456789"))
_FIRST_DIGIT = Characters(of("123456789"))


def value_text(value: Any) -> str:
    """A value as it is written without white space.

    Raises:
        InvalidInputError: a number in it is out of range.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise InvalidInputError("a number is out of range") from None
    return text if text.isprintable() else json.dumps(value, separators=(",", ":"))


def escaped(ranges: Ranges) -> Node:
    """One of these characters as it stands within a string."""
    plain = both(ranges, _PLAIN)
    branches: list[Node] = [Characters(plain)] if plain else []
    branches += [Literal(text) for mark, text in _ESCAPES.items() if contain(ranges, mark)]
    return choice(branches)


def string(least: int, most: int | None) -> Node:
    """A string of so many characters."""
    if least == 0 and most is None:
        # Runs of plain characters cost an engine one state; each counted character costs it one.
        run = Repetition(Characters(_PLAIN))
        return sequence('"', run, Repetition(sequence(_ESCAPED, run)), '"')
    if most == 0:
        return Literal('""')
    return sequence('"', Repetition(choice([Characters(_PLAIN), _ESCAPED]), least, most), '"')


def quoted(inner: Node) -> Node:
    """A string whose content is already spelled."""
    return sequence('"', inner, '"')


def integers(bounds: Bounds) -> Node | None:
    """All whole numbers between them, both included; None if there is none."""
    low, high = _ends(bounds)
    branches: list[Node] = []
    if low < 0:
        branches.append(_after_minus(_naturals(max(1, -high), -low)))
    if high >= 0:
        branches.append(_naturals(max(0, low), high))
    return choice(branches) if low <= high else None


def numbers(bounds: Bounds) -> Node | None:
    """Numbers in decimal notation between them; None if there is none."""
    low, high = _ends(bounds, 10**LONGEST_INTEGER)
    above, below = bounds.above, bounds.below
    branches: list[Node] = []
    if low < 0:
        nearest, excluded = (-high, below) if high < 0 else (0, True)
        branches += map(_after_minus, _decimals(nearest, -low, excluded, above))
    if high >= 0:
        nearest, excluded = (low, above) if low >= 0 else (0, False)
        branches += _decimals(nearest, high, excluded, below)
    return choice(branches) if branches else None


def _ends(bounds: Bounds, end: int = 10**LONGEST_INTEGER - 1) -> tuple[int, int]:
    low = min(-end, bounds.high or 0) if bounds.low is None else bounds.low
    return low, max(end, low) if bounds.high is None else bounds.high


def _after_minus(node: Node) -> Node:
    return sequence("-", node)


def _decimals(low: int, high: int, above: bool, below: bool) -> list[Node]:
    """From `low` to `high`, neither of them negative."""
    if low > high or (low == high and (above or below)):
        return []
    places = min(MOST_DECIMALS, max(0, LONGEST_INTEGER - len(str(high))) if below else 99)
    branches: list[Node] = []
    first = low + 1 if above else low
    if above and low < high and places:
        branches.append(sequence(str(low), ".", _not_zero(places)))
    if first <= high - 1:
        whole = _naturals(first, high - 1)
        fraction = optional(sequence(".", Repetition(_DIGIT, 1, places)))
        branches.append(sequence(whole, fraction) if places else whole)
    if not below and first <= high:
        branches.append(Literal(str(high)))
    return branches


def _not_zero(places: int) -> Node:
    """Decimals of which one is not 0."""
    ends: list[Node] = []
    for zeros in range(places):
        rest = places - zeros - 1
        tail: list[Node] = [Repetition(_DIGIT, 0, rest)] if rest else []
        ends.append(sequence("0" * zeros, _FIRST_DIGIT, *tail))
    return choice(ends)


def _naturals(low: int, high: int) -> Node:
    """From `low` to `high`, without leading zeros."""
    branches: list[Node] = []
    shorter, longer = len(str(low)), len(str(high))
    if shorter < longer and set(str(high)) == {"9"}:
        more = Repetition(_DIGIT, shorter, longer - 1)
        return choice([_of_one_length(str(low), "9" * shorter), Sequence((_FIRST_DIGIT, more))])
    for length in range(shorter, longer + 1):
        least = max(low, 10 ** (length - 1) if length > 1 else 0)
        most = min(high, 10**length - 1)
        branches.append(_of_one_length(str(least), str(most)))
    return choice(branches)


def _of_one_length(low: str, high: str) -> Node:
    if not low:
        return Literal("")
    rest = len(low) - 1
    if set(low[1:]) <= {"0"} and set(high[1:]) <= {"9"}:
        return _digits(low[0], high[0], rest)
    if low[0] == high[0]:
        return sequence(low[0], _of_one_length(low[1:], high[1:]))
    branches = [sequence(low[0], _of_one_length(low[1:], "9" * rest))]
    if int(high[0]) - int(low[0]) > 1:
        branches.append(_digits(chr(ord(low[0]) + 1), chr(ord(high[0]) - 1), rest))
    branches.append(sequence(high[0], _of_one_length("0" * rest, high[1:])))
    return choice(branches)


def _digits(first: str, last: str, rest: int) -> Node:
    head = Characters(((ord(first), ord(last)),))
    return Sequence((head, Repetition(_DIGIT, rest, rest))) if rest else head
