"""Cuts repetition loops of lines and phrases, as degenerate generations have them."""

from collections.abc import Iterable, Sequence
from itertools import groupby, islice

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.cleaning.stage import SEPARATOR

MAX_CHARACTER_REPEATS = 5
"""Longer runs of one character are cut to this length: "哈哈哈哈哈"."""
MAX_PHRASE_REPEATS = 3
"""The same limit for phrases of at least 2 characters, and for lines."""
MAX_PHRASE_CHARACTERS = 100

_KEPT_AS_THEY_ARE = frozenset("-=_*#+.|~·•/\\<>^ \t\n\u3000")
"""Characters used for rules, tables, indentation and tables of contents."""


class Repeats:
    """Limits consecutive repetitions of characters, phrases and lines."""

    name = "repeats"
    version = 2

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Cut loops; digits are never cut."""
        result = list(texts)
        places = list(range(len(result)))
        # A cut may reveal another loop. Texts are searched jointly, because a search has a fixed
        # cost that dominates for short texts.
        while places:
            shorter = _cut([result[place] for place in places])
            changed = [
                (place, text)
                for place, text in zip(places, shorter, strict=True)
                if text != result[place]
            ]
            for place, text in changed:
                result[place] = text
            places = [place for place, _ in changed]
        return result


def _cut(texts: Sequence[str]) -> list[str]:
    """One round of cutting."""
    result = [
        _cut_lines(text) if text.count("\n") >= MAX_PHRASE_REPEATS else text for text in texts
    ]
    for place, periods in _periods_of_loops(result).items():
        result[place] = _cut_periods(result[place], sorted(periods))
    return result


def _periods_of_loops(texts: Sequence[str]) -> dict[int, set[int]]:
    """Period lengths of loops, by text index."""
    codes = _codes_of(SEPARATOR.join(texts))
    ends = np.cumsum(np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts)))
    found: dict[int, set[int]] = {}
    for period in range(1, MAX_PHRASE_CHARACTERS + 1):
        hits = _samples_in_loops(codes, period)
        of_phrase = np.searchsorted(ends, hits, side="right")
        of_next = np.searchsorted(ends, hits + period, side="right")
        # Equal neighbouring texts are not a loop.
        inside = of_phrase == of_next
        hits, of_phrase = hits[inside], of_phrase[inside]
        long = _run_lengths(codes, hits, period) >= _longest_allowed(period)
        for place in of_phrase[long].tolist():
            found.setdefault(place, set()).add(period)
    return found


def _run_lengths(
    codes: NDArray[np.uint32], hits: NDArray[np.int64], period: int
) -> NDArray[np.int64]:
    """Length of the run that each hit belongs to, exact up to the limit."""
    if len(hits) * _longest_allowed(period) > len(codes) // 2:
        # Mostly loops: computing all runs is cheaper than walking from each hit.
        starts, ends = _runs(codes, period)
        run = np.searchsorted(starts, hits, side="right") - 1
        return ends[run] - starts[run]
    lengths = np.ones(len(hits), np.int64)
    last = len(codes) - period - 1
    for direction in (-1, 1):
        alive = np.arange(len(hits))
        for offset in range(1, _longest_allowed(period)):
            if not len(alive):
                break
            places = hits[alive] + direction * offset
            inside = (places >= 0) & (places <= last)
            alive, places = alive[inside], places[inside]
            alive = alive[codes[places] == codes[places + period]]
            lengths[alive] += 1
    return lengths


def _samples_in_loops(codes: NDArray[np.uint32], period: int) -> NDArray[np.int64]:
    """Sampled positions that equal the character `period` later, as do their neighbours.

    A loop is a run of such positions that is longer than the sampling step, so every loop has at
    least one sample.
    """
    step = _longest_allowed(period)
    first, later = codes[:-period:step], codes[period::step]
    hits = np.flatnonzero(first == later) * step
    # Discards coincidences: a loop extends for some positions to at least one side.
    depth = min(step // 2, 4)
    left, right = np.ones(len(hits), np.bool_), np.ones(len(hits), np.bool_)
    last = len(codes) - period - 1
    for offset in range(1, depth):
        before, after = hits - offset, hits + offset
        left &= (before >= 0) & (codes[before] == codes[before + period])
        beyond = np.minimum(after, last)
        right &= (after <= last) & (codes[beyond] == codes[beyond + period])
    return hits[left | right]


def _cut_periods(text: str, periods: Iterable[int]) -> str:
    codes = _codes_of(text)
    for period in periods:
        if len(_samples_in_loops(codes, period)):
            shorter = _cut_period(text, codes, period)
            if shorter != text:
                text, codes = shorter, _codes_of(shorter)
    return text


def _cut_lines(text: str) -> str:
    kept: list[str] = []
    for line, same in groupby(text.split("\n")):
        kept += islice(same, MAX_PHRASE_REPEATS if line.strip() else None)
    return "\n".join(kept)


def _runs(codes: NDArray[np.uint32], period: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of runs of positions that equal the character `period` later."""
    equal = np.concatenate(([False], codes[:-period] == codes[period:], [False]))
    edges = np.flatnonzero(equal[1:] != equal[:-1])
    return edges[::2], edges[1::2]


def _cut_period(text: str, codes: NDArray[np.uint32], period: int) -> str:
    """Cut all loops with exactly this period."""
    starts, ends = _runs(codes, period)
    pieces: list[str] = []
    done = 0
    allowed = _longest_allowed(period)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - start < allowed or start < done or not _is_worth(text[start : start + period]):
            continue
        # The run covers all repetitions after the first.
        times = (end - start) // period + 1
        keep = start + period * _times_allowed(period)
        pieces.append(text[done:keep])
        done = start + period * times
    return "".join([*pieces, text[done:]])


def _times_allowed(period: int) -> int:
    return MAX_CHARACTER_REPEATS if period == 1 else MAX_PHRASE_REPEATS


def _longest_allowed(period: int) -> int:
    """Run length of the shortest loop that is cut."""
    return period * _times_allowed(period)


def _is_worth(phrase: str) -> bool:
    """Whether a phrase may be cut: not numbers, and not ASCII drawings."""
    if len(phrase) == 1:
        return phrase not in _KEPT_AS_THEY_ARE and not phrase.isdecimal()
    return any(map(str.isalpha, phrase))


def _codes_of(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
