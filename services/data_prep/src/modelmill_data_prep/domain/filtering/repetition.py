"""How much of a text was in it before, by runs of characters and of words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelmill_data_prep.domain.code_points import CodePoints

NGRAM_CHARACTERS = 10
MIN_CHARACTERS = 60
NGRAM_WORDS = 5
MIN_WORDS = 50

_FACTOR = 0x9E3779B1
"""An odd number whose bits are well mixed, so that runs that differ get different numbers."""
_BITS = 32
_SLOTS_BITS = 17


def repeated_ngram_share(
    texts: Sequence[str], points: CodePoints, limit: float
) -> NDArray[np.float64]:
    """Of each text the share of runs of 10 characters that it has already had.

    Args:
        limit: A text that is surely at or below it gets 0, for counting exactly costs more.
    """
    runs = np.maximum(points.lengths - NGRAM_CHARACTERS + 1, 0)
    judged = points.lengths >= MIN_CHARACTERS
    shares = np.where(judged, 0.0, np.nan)
    if not judged.any():
        return shares
    again = _perhaps_again(points)
    for place in np.flatnonzero(judged & (again > limit * runs)).tolist():
        text, count = texts[place], int(runs[place])
        different = {text[first : first + NGRAM_CHARACTERS] for first in range(count)}
        shares[place] = 1 - len(different) / count
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


def _perhaps_again(points: CodePoints) -> NDArray[np.int64]:
    """Of each text at least as many runs as are there again; seldom more.

    Every run writes its place into a slot; who does not find itself there has been overwritten by
    an equal one, or by one that happens to have the same slot.
    """
    numbers = _numbers_of_runs(points)
    # The same run in another text is another run.
    numbers += points.rows.astype(np.uint32) * np.uint32(_FACTOR)
    numbers *= np.uint32(_FACTOR)
    bits = max(_SLOTS_BITS, len(numbers).bit_length() + 2)
    numbers >>= np.uint32(max(_BITS - bits, 0))
    places = np.arange(len(numbers), dtype=np.int32)
    last = np.empty(1 << bits, np.int32)
    last[numbers] = places
    again = np.flatnonzero(last[numbers] != places)
    again = again[again + NGRAM_CHARACTERS <= points.ends[points.rows[again]]]
    return points.per_text_at(again)


def _numbers_of_runs(points: CodePoints) -> NDArray[np.uint32]:
    """Of each place a number for the 10 characters that begin there, made by doubling."""
    twos = _joined(points.codes, points.codes, 1)
    fours = _joined(twos, twos, 2)
    eights = _joined(fours, fours, 4)
    return _joined(eights, twos, 8)


def _joined(left: NDArray[np.uint32], right: NDArray[np.uint32], step: int) -> NDArray[np.uint32]:
    """Numbers of the runs of `left`, followed by those of `right` that begin `step` later."""
    numbers = left * np.uint32(pow(_FACTOR, step, 1 << _BITS))
    numbers[:-step] += right[step:]
    return numbers
