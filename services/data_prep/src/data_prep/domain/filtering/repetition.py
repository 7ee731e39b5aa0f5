"""How much of a text was in it before, by runs of characters and of words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep.domain.code_points import CodePoints

NGRAM_CHARACTERS = 10
MIN_CHARACTERS = 60
NGRAM_WORDS = 5
MIN_WORDS = 50

_FACTOR = 0x9E3779B97F4A7C15
"""An odd number whose bits are well mixed, so that runs that differ get different numbers."""
_WORD = 2**64
_SLOTS_BITS = 18


def repeated_ngram_share(points: CodePoints, limit: float) -> NDArray[np.float64]:
    """Of each text the share of runs of 10 characters that it has already had.

    Args:
        limit: A text that is surely at or below it gets 0, for counting exactly costs more.
    """
    runs = np.maximum(points.lengths - NGRAM_CHARACTERS + 1, 0)
    judged = points.lengths >= MIN_CHARACTERS
    shares = np.where(judged, 0.0, np.nan)
    if not judged.any():
        return shares
    numbers = _numbers_of_runs(points)
    again = _perhaps_again(points, numbers)
    for text in np.flatnonzero(judged & (again > limit * runs)).tolist():
        first = points.starts[text]
        own = numbers[first : first + runs[text]]
        shares[text] = 1 - len(np.unique(own)) / runs[text]
    return shares


def repeated_word_ngram_share(texts: Sequence[str], points: CodePoints) -> NDArray[np.float64]:
    """Of each text the share of runs of 5 words that it has already had."""
    shares = np.full(len(texts), np.nan)
    # A word that is followed by a blank has two characters or more.
    for place in np.flatnonzero(points.lengths >= 2 * MIN_WORDS).tolist():
        words = texts[place].split()
        if len(words) >= MIN_WORDS:
            runs = list(zip(*(words[start:] for start in range(NGRAM_WORDS)), strict=False))
            shares[place] = 1 - len(set(runs)) / len(runs)
    return shares


def _numbers_of_runs(points: CodePoints) -> NDArray[np.uint64]:
    """Of each place a number for the 10 characters that begin there, made by doubling."""
    ones = np.zeros(len(points.codes) + NGRAM_CHARACTERS, np.uint64)
    ones[: len(points.codes)] = points.codes
    twos = _joined(ones, ones, 1)
    eights = _joined(_joined(twos, twos, 2), _joined(twos, twos, 2), 4)
    return _joined(eights, twos, 8)[: len(points.codes)]


def _joined(left: NDArray[np.uint64], right: NDArray[np.uint64], step: int) -> NDArray[np.uint64]:
    factor = np.uint64(pow(_FACTOR, step, _WORD))
    numbers = left * factor
    numbers[:-step] += right[step:]
    return numbers


def _perhaps_again(points: CodePoints, numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Of each text at least as many runs as are there again; seldom more.

    Every run writes its place into a slot; who does not find itself there has been overwritten by
    an equal one, or by one that happens to have the same slot.
    """
    own = numbers + points.rows.astype(np.uint64) * np.uint64(_FACTOR)
    bits = max(_SLOTS_BITS, len(own).bit_length() + 2)
    slots = ((own * np.uint64(_FACTOR)) >> np.uint64(64 - bits)).astype(np.int64)
    places = np.arange(len(own), dtype=np.int32)
    last = np.zeros(1 << bits, np.int32)
    last[slots] = places
    whole = places + NGRAM_CHARACTERS <= points.ends[points.rows]
    return points.per_text((last[slots] != places) & whole)
